internal import Glibc
internal import JSON
internal import Reactor

/// Where one service's manifests come from: files, folders and kustomizations, which are read anew for each deployment.
struct ManifestSources: Sendable {
    /// One of them.
    enum Place: Equatable, Sendable {
        /// The absolute path of a file or folder.
        case files(String)
        /// The absolute path of a folder with a kustomization.
        case kustomization(String)
    }

    let places: [Place]
    /// What is taken off paths that people see.
    private let project: String

    init(_ places: [Place], project: String) {
        self.places = places
        self.project = project
    }

    /// What the deployments of a service's rules read; a folder with a kustomization is one by whatever key it is named.
    init(_ deployments: [Deployment], project: String) {
        self.init(
            deployments.flatMap { deployment -> [Place] in
                switch deployment.source {
                case .manifests(let paths): paths.map(Place.files)
                case .kustomize(let folder): [.kustomization(folder)]
                case .nix, .helm: []
                }
            }, project: project)
    }

    /// The folder of a kluctl project, where that is all there is.
    var kluctlProject: String? {
        guard places.count == 1, case .files(let path) = places[0], !ManifestSources.isKustomization(path),
            case .kluctl(let folder) = try? Manifests.find(at: path)
        else { return nil }
        return folder
    }

    /// Everything that the places hold now.
    ///
    /// Throws `LoopFailure` with the file, and the line where kubectl says it.
    func objects(kubectl: Kubectl, leash: String) async throws -> [JSON] {
        var objects: [JSON] = []
        for place in places {
            switch place {
            case .kustomization(let folder): objects += try await render(folder, kubectl, leash)
            case .files(let path) where ManifestSources.isKustomization(path):
                objects += try await render(path, kubectl, leash)
            case .files(let path):
                guard case .files(let files) = try Manifests.find(at: path) else {
                    throw LoopFailure(
                        failure: LoopEvent.Failure(
                            "\(shown(path)) is a kluctl project beside other manifests",
                            nextStep: "give it a service of its own"))
                }
                objects += try await Manifests.objects(in: files, kubectl: kubectl, leash: leash, project: project)
            }
        }
        return objects
    }

    /// A file with nothing in it, as people know it; `nil` where there is none.
    var emptyFile: String? {
        files.first { file in
            var status = stat()
            return stat(file, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_size == 0
        }.map(shown)
    }

    private var files: [String] {
        places.flatMap { place -> [String] in
            switch place {
            case .kustomization(let path), .files(let path): Manifests.files(at: path)
            }
        }
    }

    /// Where an object stands: the file that has its kind and its name.
    func origin(of reference: ObjectReference) -> String? {
        files.first { file in
            guard let text = try? SmallFile.read(file, limit: 1 << 20) else { return false }
            return ManifestSources.mentions(String(decoding: text, as: UTF8.self), reference)
        }.map(shown)
    }

    /// Whether some document of a file has a kind and a name, as far as its lines tell.
    static func mentions(_ text: String, _ reference: ObjectReference) -> Bool {
        var (hasKind, hasName) = (false, false)
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            if line.hasPrefix("---") { (hasKind, hasName) = (false, false) }
            let words = line.split { " \t\"',{}".contains($0) }
            for (word, next) in zip(words, words.dropFirst()) {
                if word == "kind:" || word == "kind",
                    next == reference.kind || next == ":" && words.contains(Substring(reference.kind))
                {
                    hasKind = true
                }
                if word == "name:" || word == "name",
                    next == reference.name || next == ":" && words.contains(Substring(reference.name))
                {
                    hasName = true
                }
            }
            if hasKind, hasName { return true }
        }
        return false
    }

    /// Whether a folder holds a kustomization.
    static func isKustomization(_ folder: String) -> Bool {
        ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains { access("\(folder)/\($0)", R_OK) == 0 }
    }

    private func shown(_ path: String) -> String { Manifests.shown(path, in: project) }

    // MARK: Kustomize

    private func render(_ folder: String, _ kubectl: Kubectl, _ leash: String) async throws -> [JSON] {
        // kubectl renders it and prints JSON, without a cluster.
        let output = try await kubectl.run(Manifests.printing + ["-k", folder], leash: leash)
        guard output.status.isSuccess else {
            let words = output.errorText.split(separator: "\n").map(String.init)
            if words.last == Manifests.noObjects { return [] }
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(shown(folder)): \(ManifestSources.cause(words, folder: folder))",
                    nextStep: "`kubectl kustomize \(shown(folder))` says the same"))
        }
        return try Manifests.documents(in: output.text).flatMap(Manifests.flat)
    }

    /// The cause, which stands last: kustomize repeats on the way to it what it was doing.
    static func cause(_ lines: [String], folder: String) -> String {
        let line = (lines.last ?? "").droppingPrefix("error: ")
        // `… 'a.yaml': MalformedYAMLError: yaml: line 5: … in File: a.yaml`
        if let yaml = line.firstRange(of: "MalformedYAMLError: yaml: ") {
            let rest = line[yaml.upperBound...]
            guard let file = rest.ranges(of: " in File: ").last else { return String(rest) }
            return "\(rest[file.upperBound...]): \(rest[..<file.lowerBound])"
        }
        let missing = "no such file or directory"
        if line.hasSuffix(missing), let path = line.ranges(of: "lstat ").last {
            let file = line[path.upperBound...].prefix { $0 != ":" }
            return "\(String(file).droppingPrefix("\(folder)/")) is not there"
        }
        return line
    }
}
