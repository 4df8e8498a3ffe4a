internal import Glibc
internal import Reactor

/// Builds an image with Nix: an archive, the folder of an OCI layout, or a program that streams an archive.
struct NixImageBuilder: ImageBuilder {
    let image: Image
    let installable: Installable
    /// The system to build for, in Nix's words; `nil` is this machine's.
    let system: String?
    /// The link that keeps Nix from collecting the result.
    let root: String?
    let access: ImageAccess
    let leash: String
    /// loopd's own environment.
    let inherited: [String: String]

    /// A builder of one image.
    init(
        image: Image, installable: Installable, system: String? = nil, root: String? = nil, access: ImageAccess,
        leash: String, inherited: [String: String] = ProcessEnvironment.inherited
    ) {
        self.image = image
        self.installable = installable
        self.system = system
        self.root = root
        self.access = access
        self.leash = leash
        self.inherited = inherited
    }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        let path = try await build(output)
        let place = NixStore(environment: inherited).place(of: path)
        switch try await offPool({ NixImage(at: place) }) {
        case .archive, .layout: return try await deliver(place, to: home)
        case .stream(let program):
            let folder = try await offPool { try ScratchFolder() }
            defer { folder.remove() }
            let file = "\(folder.path)/image.tar"
            try await stream(program, into: file, output)
            return try await deliver(file, to: home)
        case nil:
            throw refusal(
                "\(path) is no image: neither an archive, nor the folder of an OCI layout, nor a program that streams one",
                nextStep: "nixpkgs' dockerTools.buildLayeredImage and dockerTools.streamLayeredImage make one")
        }
    }

    /// The store path that Nix builds.
    private func build(_ output: @Sendable (String) -> Void) async throws -> String {
        let words = NixCommand.build(
            installable, system: system, isEmulated: system.map(NixSystem.isEmulated) ?? false,
            overrides: FlakeLock.overrides(for: installable), root: root)
        var tail: [String] = []
        var answer: [UInt8] = []
        let status = try await Leashed.follow(
            words, in: installable.directory, environment: inherited, leash: leash, hasAnswer: true, isGroupOnly: true
        ) { piece in
            switch piece {
            case .answer(let bytes): answer += bytes
            case .line(let line):
                tail.append(line)
                if tail.count > 200 { tail.removeFirst() }
                output(line)
            }
        }
        guard status.isSuccess else {
            let failure = NixFailure(installable: installable, system: system ?? NixSystem.native)
            throw LoopFailure(failure: failure.explain(status, tail))
        }
        guard let path = NixCommand.output(of: answer), NixStore.name(of: path) != nil else {
            let said = String(decoding: answer.prefix(200), as: UTF8.self)
            throw refusal("nix build \(installable.words) names no store path: \(said)")
        }
        return path
    }

    /// Runs a program that prints an archive.
    private func stream(_ program: String, into file: String, _ output: @escaping @Sendable (String) -> Void)
        async throws
    {
        let descriptor = try await offPool {
            let raw = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
            guard raw >= 0 else { throw SystemError.last("make \(file)") }
            return raw
        }
        defer { close(descriptor) }
        var launch = Launch([leash, "--grace-ms", "2000", "--", program])
        launch.standardInput = .pipe
        launch.standardOutput = .descriptor(descriptor)
        let child = try await Child.spawn(launch)
        var tail: [String] = []
        let status = await withTaskCancellationHandler {
            await child.print(hasAnswer: false) { piece in
                guard case .line(let line) = piece else { return }
                tail.append(line)
                if tail.count > 12 { tail.removeFirst() }
                output(line)
            }
            return await child.wait()
        } onCancel: {
            child.standardInput?.close()
        }
        child.standardInput?.close()
        try Task.checkCancellation()
        guard !status.isSuccess else { return }
        let isFull = tail.contains { $0.lowercased().contains("no space left on device") }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "image \(image.name): the program that streams it failed: \(status)",
                details: tail.map { ProgramText.shortened(ProgramText.plain($0), to: 200) },
                nextStep: isFull ? "make room in \(file.dropLast("/image.tar".count)), or set TMPDIR" : nil))
    }

    private func deliver(_ path: String, to home: ImageHome) async throws -> BuiltImage {
        switch home {
        case .registry(let names):
            let repository = names.pushRepository(of: image.name)
            let delivered = try await access.pushArchive(path, repository)
            if let alias = image.alias {
                let reference = "\(repository):\(delivered.tag)"
                if try await access.digest("\(repository):\(alias)") != access.digest(reference) {
                    try await access.tag(reference, alias)
                }
            }
            return BuiltImage(
                reference: "\(names.pullRepository(of: image.name)):\(delivered.tag)", bytesSent: delivered.bytesSent,
                isUnchanged: delivered.isUnchanged, configuration: delivered.configuration)
        case .nodes(let loader):
            let delivered = try await access.loadArchive(path, image, loader)
            return BuiltImage(
                reference: "\(image.name):\(delivered.tag)", bytesSent: delivered.bytesSent,
                isUnchanged: delivered.isUnchanged, configuration: delivered.configuration)
        }
    }

    private func refusal(_ cause: String, nextStep: String? = nil) -> LoopFailure {
        LoopFailure(failure: LoopEvent.Failure("image \(image.name): \(cause)", nextStep: nextStep))
    }
}

/// What a store path holds, where that is an image.
enum NixImage: Equatable, Sendable {
    /// A tar, compressed or not.
    case archive
    /// The folder of an OCI layout.
    case layout
    /// A program that prints a tar.
    case stream(String)

    /// Looks at what is at a path on this disk; `nil` for anything else.
    ///
    /// Blocks for as long as the disk does.
    init?(at path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        if status.st_mode & S_IFMT == S_IFDIR {
            if access("\(path)/oci-layout", F_OK) == 0, access("\(path)/index.json", F_OK) == 0 {
                self = .layout
                return
            }
            guard let program = NixImage.onlyProgram(in: "\(path)/bin") else { return nil }
            self = .stream(program)
        } else if status.st_mode & S_IFMT == S_IFREG {
            let start = NixImage.start(of: path)
            if status.st_mode & 0o111 != 0,
                start.starts(with: Array("#!".utf8)) || start.starts(with: [0x7F, 0x45, 0x4C, 0x46])
            {
                self = .stream(path)
            } else if start.starts(with: [0x1F, 0x8B]) || start.starts(with: [0x28, 0xB5, 0x2F, 0xFD])
                || start.count >= 262 && start[257..<262].elementsEqual("ustar".utf8)
            {
                self = .archive
            } else {
                return nil
            }
        } else {
            return nil
        }
    }

    private static func start(of path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 512)
        let got = read(descriptor, &buffer, 512)
        return Array(buffer.prefix(max(0, got)))
    }

    private static func onlyProgram(in folder: String) -> String? {
        guard let listing = opendir(folder) else { return nil }
        defer { closedir(listing) }
        var found: [String] = []
        while let entry = readdir(listing) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { found.append("\(folder)/\(name)") }
        }
        return found.count == 1 && access(found[0], X_OK) == 0 ? found[0] : nil
    }
}
