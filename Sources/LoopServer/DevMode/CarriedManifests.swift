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
        return PrivateFile.write(list.bytes, to: "\(folder)/manifest.json")
    }
}
