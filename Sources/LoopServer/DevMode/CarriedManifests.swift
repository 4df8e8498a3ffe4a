internal import Glibc
internal import JSON
internal import Reactor

/// Manifests on their way to the cluster with dev mode in them, so that applying and entering are one rollout.
extension ClusterConnection {
    /// The objects of a manifest as a file for kubectl, where a workload among them is to be in dev mode; else `nil`.
    ///
    /// - Parameters:
    ///   - source: kubectl's arguments for the manifest.
    ///   - folder: a private folder for the file.
    func carried(
        _ source: [String], namespace: String, by sessions: [DevModeSession], takeOver: Bool, in folder: String
    ) async -> String? {
        guard !sessions.isEmpty else { return nil }
        let arguments = ["create", "--dry-run=client", "-o", "json", "-n", namespace] + source
        // What is wrong with the manifest, kubectl says when it applies it.
        guard let output = try? await context.kubectl.run(arguments, leash: leash), output.status.isSuccess,
            let objects = try? Manifests.documents(in: output.text).flatMap(Manifests.flat)
        else { return nil }
        var result: [JSON] = []
        for object in objects {
            let session = sessions.first { $0.isAbout(object, namespace: namespace) }
            result.append(await session?.carry(object, by: .kubectl, takeOver: takeOver) ?? object)
        }
        guard result != objects else { return nil }
        let list: JSON = ["apiVersion": "v1", "kind": "List", "items": .array(result)]
        return ClusterConnection.write(list.bytes, to: "\(folder)/manifest.json")
    }

    /// The path, when everything is there.
    private static func write(_ bytes: [UInt8], to path: String) -> String? {
        let raw = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard raw >= 0 else { return nil }
        let file = OwnedDescriptor(raw)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
            guard count > 0 else { return nil }
            rest = rest.dropFirst(count)
        }
        return path
    }
}
