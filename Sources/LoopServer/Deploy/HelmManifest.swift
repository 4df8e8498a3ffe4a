internal import Glibc
internal import JSON
internal import Reactor

/// What helm prints as manifests.
enum HelmManifest {
    /// The manifest of a release that helm tells as JSON, and after it those of its hooks.
    static func text(of release: JSON) -> String {
        let hooks = (release["hooks"]?.array ?? []).compactMap { $0["manifest"]?.string }
        return ([release["manifest"]?.string ?? ""] + hooks).joined(separator: "\n---\n")
    }

    /// The objects in it.
    static func objects(of text: String, _ connection: ClusterConnection) async throws -> [JSON] {
        guard text.contains(where: { !$0.isWhitespace }) else { return [] }
        let folder = try SocketDirectory.create()
        // There may be Secrets in it.
        defer { folder.remove() }
        let path = "\(folder.path)/rendered.yaml"
        guard PrivateFile.write(Array(text.utf8), to: path) != nil else { throw SystemError.last("write \(path)") }
        return try await Manifests.objects(
            in: [path], kubectl: connection.context.kubectl, leash: connection.leash, project: folder.path)
    }
}
