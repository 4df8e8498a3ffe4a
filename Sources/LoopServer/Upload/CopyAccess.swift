internal import Glibc
internal import Reactor
internal import Synchronization
internal import Watcher
internal import Wire

/// What kubectl itself does in a container, a process each time.
protocol ContainerCommands: Sendable {
    /// Copies what is in `folder` to the folder `target` in the container, making it.
    ///
    /// Throws with kubectl's own words.
    func copy(_ folder: String, to target: String, pod: String, container: String) async throws
    /// Runs a program without input to its end.
    func run(_ command: [String], pod: String, container: String) async throws -> Output
}

/// The last way into a container: one `kubectl cp` a batch, then one shell that puts everything in its place.
///
/// It cannot list or compare, so that every connection sends everything; nothing is seen half-written all the same, because
/// files are renamed into place from a folder beside it. Each file's hash is taken where the container has `sha256sum`.
final class CopyAccess: ContainerAccess {
    private struct State {
        var staged: [UInt32: (path: String, digest: SHA256Digest)] = [:]
        var destinations: [Int: String] = [:]
        var batch = 0
        var isEnded = false
    }

    let description = "kubectl cp: slow, without comparison"
    let service: (any SupervisedService)? = nil
    let architecture: String?
    private let commands: any ContainerCommands
    private let instance: ContainerInstance
    /// A private folder for what waits to be copied.
    private let folder: String
    private let state = Mutex(State())

    /// A way into a container that has `tar` and `sh`.
    ///
    /// `folder` is private to it and exists.
    init(
        commands: any ContainerCommands, instance: ContainerInstance, folder: String, architecture: String? = nil
    ) {
        self.architecture = architecture
        self.commands = commands
        self.instance = instance
        self.folder = folder
    }

    var isOpen: Bool { state.withLock { !$0.isEnded } }

    // Each command is a connection of its own: there is nothing that could be lost in between.
    func whenEnded(_ body: @escaping @Sendable () -> Void) {}

    func open(_ destination: Destination, number: Int) async throws -> Opened {
        state.withLock { $0.destinations[number] = destination.path }
        let probe = """
            mkdir -p "$1" 2>/dev/null
            if [ ! -d "$1" ]; then echo 20; elif [ -w "$1" ]; then echo 0; else echo 13; fi
            id -u 2>/dev/null
            """
        let lines = try await shell(probe, [destination.path]).split(separator: "\n").map(String.init)
        return Opened(
            destination: UInt32(number), kind: .folder, staging: [], isSameMount: true, owner: 0,
            obstacle: lines.first.flatMap { Int32($0) } ?? EIO, mode: 0,
            uid: lines.dropFirst().first.flatMap { UInt32($0) } ?? 0)
    }

    func list(destination: Int, paths: [RelativePath]?) async throws -> [RelativePath: Entry]? { nil }

    func digests(destination: Int, of paths: [RelativePath]) async throws -> [RelativePath: SHA256Digest] { [:] }

    func stage(
        destination: Int, stage: UInt32, path: RelativePath, from file: LocalFile, progress: (Int64) -> Void
    ) async throws -> Delivery {
        let name = "\(folder)/stage-\(stage)"
        let output = Glibc.open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard output >= 0 else { throw SystemError.last("create \(name)") }
        defer { close(output) }
        var offset: Int64 = 0
        while offset < file.size {
            let bytes = try file.read(at: offset, limit: 1 << 20)
            guard write(output, bytes, bytes.count) == bytes.count else { throw SystemError.last("write \(name)") }
            offset += Int64(bytes.count)
        }
        let digest = file.digest
        state.withLock { $0.staged[stage] = (name, digest) }
        return Delivery(digest: digest, bytesSent: UInt64(file.size))
    }

    func stagedPath(destination: Int, stage: UInt32) async throws -> String? { nil }

    func abandon(destination: Int, stage: UInt32) {
        guard let staged = state.withLock({ $0.staged.removeValue(forKey: stage) }) else { return }
        _ = unlink(staged.path)
    }

    func commit(destination: Int, _ operations: [FileOperation]) async throws -> [OperationResult] {
        let (target, batch, staged) = state.withLock { state in
            state.batch += 1
            return (state.destinations[destination] ?? "/", state.batch, state.staged)
        }
        let local = "\(folder)/batch-\(batch)"
        guard mkdir(local, 0o700) == 0 else { throw SystemError.last("mkdir \(local)") }
        defer { CopyAccess.remove(local) }
        var script = CopyScript(target: target)
        for (number, operation) in operations.enumerated() {
            if case .place(let stage, _, _, _) = operation, let content = staged[stage] {
                guard rename(content.path, "\(local)/\(number)") == 0 else {
                    throw SystemError.last("rename \(content.path)")
                }
                _ = state.withLock { $0.staged.removeValue(forKey: stage) }
                script.add(operation, number: number, digest: content.digest)
            } else {
                script.add(operation, number: number, digest: nil)
            }
        }
        try script.write(to: "\(local)/apply")
        let remote = "\(target == "/" ? "" : target)/.loopd-cp-\(batch)"
        try await commands.copy(local, to: remote, pod: instance.pod, container: instance.container)
        let output = try await shell("sh \"$1/apply\" \"$1\"; rm -rf \"$1\"", [remote])
        return CopyScript.results(output, count: operations.count)
    }

    func run(_ arguments: [String], output: (ProgramOutput) -> Void) async throws -> ProgramExit {
        let done = try await commands.run(arguments, pod: instance.pod, container: instance.container)
        output(ProgramOutput(channel: .standardOutput, bytes: done.standardOutput))
        output(ProgramOutput(channel: .standardError, bytes: done.standardError))
        return .code(done.status.shellCode)
    }

    func end() async { drop() }

    func drop() {
        let first = state.withLock { state in
            defer { state.isEnded = true }
            return !state.isEnded
        }
        if first { CopyAccess.remove(folder) }
    }

    private func shell(_ script: String, _ arguments: [String]) async throws -> String {
        let done = try await commands.run(
            ["sh", "-c", script, "loopd"] + arguments, pod: instance.pod, container: instance.container)
        guard done.status.isSuccess else {
            let words = done.errorText.split(separator: "\n").last.map(String.init) ?? "\(done.status)"
            throw LinkError.disconnected("kubectl exec: \(words)")
        }
        return done.text
    }

    /// Removes a folder of plain files.
    private static func remove(_ folder: String) {
        if let names = opendir(folder) {
            while let entry = readdir(names) {
                let name = withUnsafePointer(to: entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { _ = unlink("\(folder)/\(name)") }
            }
            closedir(names)
        }
        _ = rmdir(folder)
    }
}
