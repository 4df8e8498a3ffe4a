internal import Glibc
internal import JSON
internal import Reactor

/// Something on disk that says what a cluster should hold.
enum Manifests: Equatable, Sendable {
    /// Files of manifests.
    case files([String])
    /// A folder that kluctl knows what to do with.
    case kluctl(String)

    /// What a path is: a file, a folder of files (or the folder `manifests` in it), or a kluctl project.
    ///
    /// Throws `LoopFailure` where there is nothing to apply.
    static func find(at path: String) throws -> Manifests {
        guard let isFolder = isFolder(path) else {
            throw LoopFailure(failure: LoopEvent.Failure("\(path) is not there: nothing can be applied"))
        }
        guard isFolder else { return .files([path]) }
        if isKluctl(path) { return .kluctl(path) }
        let below = "\(path)/manifests"
        let folder = Manifests.isFolder(below) == true ? below : path
        let files = self.files(in: folder).sorted()
        guard !files.isEmpty else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(folder) holds no manifest: nothing can be applied",
                    nextStep: "build a .yaml or .json file, a folder of them, or a kluctl project"))
        }
        return .files(files)
    }

    private static func isKluctl(_ folder: String) -> Bool {
        if [".kluctl.yaml", ".kluctl.yml"].contains(where: { access("\(folder)/\($0)", F_OK) == 0 }) { return true }
        // A Deployment is often called that, too; only of an object it says the kind.
        guard let text = try? SmallFile.read("\(folder)/deployment.yaml", limit: 1 << 20) else { return false }
        return !String(decoding: text, as: UTF8.self).split(separator: "\n").contains { $0.hasPrefix("kind:") }
    }

    private static let endings = [".yaml", ".yml", ".json"]

    /// The files at a path: itself, or those in the folder.
    static func files(at path: String) -> [String] { isFolder(path) == true ? files(in: path).sorted() : [path] }

    private static func files(in folder: String, depth: Int = 0) -> [String] {
        guard depth < 16, let entries = opendir(folder) else { return [] }
        defer { closedir(entries) }
        var files: [String] = []
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            guard !name.hasPrefix(".") else { continue }
            let path = "\(folder)/\(name)"
            if isFolder(path) == true {
                files += self.files(in: path, depth: depth + 1)
            } else if endings.contains(where: { name.hasSuffix($0) }) {
                files.append(path)
            }
        }
        return files
    }

    private static func isFolder(_ path: String) -> Bool? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return status.st_mode & S_IFMT == S_IFDIR
    }

    // MARK: Reading

    /// The objects in files of manifests, lists taken apart.
    ///
    /// JSON is read here; YAML by kubectl, which asks no cluster for that. Throws `LoopFailure`, whose paths are those in the
    /// folder `project`.
    static func objects(
        in files: [String], kubectl: Kubectl, leash: String, project: String? = nil
    ) async throws -> [JSON] {
        var objects: [JSON] = []
        var yaml: [String] = []
        for file in files {
            let text: [UInt8]
            do {
                text = try SmallFile.read(file, limit: 64 << 20)
            } catch {
                throw LoopFailure(failure: LoopEvent.Failure("\(error)"))
            }
            let first = text.first { !" \t\r\n".utf8.contains($0) }
            if first == UInt8(ascii: "{") || first == UInt8(ascii: "["), let value = try? JSON(parsing: text) {
                objects += flat(value)
            } else {
                yaml.append(file)
            }
        }
        if !yaml.isEmpty { objects += try await read(yaml, kubectl, leash, project) }
        for object in objects where ObjectReference(object) == nil {
            let name = object.at("metadata", "name")?.string ?? object["kind"]?.string ?? object.text
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(files.count == 1 ? shown(files[0], in: project) : "the manifests"): \(name.prefix(80)) is no "
                        + "object of Kubernetes",
                    nextStep: "each one needs \"apiVersion\", \"kind\" and \"metadata\".\"name\""))
        }
        return objects
    }

    /// The objects of a value: an array, a `List`, or the one that it is.
    static func flat(_ value: JSON) -> [JSON] {
        if let elements = value.array { return elements.flatMap(flat) }
        if value["kind"]?.string?.hasSuffix("List") == true, let items = value["items"]?.array {
            return items.flatMap(flat)
        }
        return value.isNull ? [] : [value]
    }

    /// A patch that changes nothing is kubectl's way to print files as JSON without a cluster.
    static let printing = ["patch", "--local", "--type=merge", "-p={}", "-o=json"]
    /// What kubectl says of files with nothing but comments in them.
    static let noObjects = "error: no objects passed to patch"

    private static func read(
        _ files: [String], _ kubectl: Kubectl, _ leash: String, _ project: String?
    ) async throws -> [JSON] {
        let output = try await kubectl.run(
            printing + files.flatMap { ["-f", ClusterConnection.listed($0)] }, leash: leash)
        let words = output.errorText.split(separator: "\n").map(String.init)
        guard !output.status.isSuccess, words.last != noObjects else {
            return try documents(in: output.text).flatMap(flat)
        }
        let said = YAMLComplaint(words.last ?? "", among: files)
        guard let file = said.file else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(files.count == 1 ? shown(files[0], in: project) : "the manifests") cannot be read",
                    details: Array(words.prefix(6)), nextStep: "mend the file"))
        }
        var place = shown(file, in: project)
        if let line = said.line {
            // kubectl counts the lines of each document for itself, and has printed those before.
            let before =
                files.count == 1
                ? output : try await kubectl.run(printing + ["-f", ClusterConnection.listed(file)], leash: leash)
            let text = String(decoding: (try? SmallFile.read(file, limit: 64 << 20)) ?? [], as: UTF8.self)
            place += ":\(YAMLComplaint.line(line, after: try documents(in: before.text).count, in: text))"
        }
        throw LoopFailure(failure: LoopEvent.Failure("\(place): \(said.words)", nextStep: "mend the file"))
    }

    /// A path as people know it.
    static func shown(_ path: String, in project: String?) -> String {
        project.map { path.droppingPrefix("\($0)/") } ?? path
    }

    /// The documents that kubectl printed one after the other, each of which ends with a brace of its own line.
    static func documents(in text: String) throws -> [JSON] {
        var documents: [JSON] = []
        var lines: [Substring] = []
        for line in text.split(separator: "\n") {
            lines.append(line)
            guard line == "}" else { continue }
            documents.append(try JSON(parsing: Array(lines.joined(separator: "\n").utf8)))
            lines = []
        }
        return documents
    }
}
