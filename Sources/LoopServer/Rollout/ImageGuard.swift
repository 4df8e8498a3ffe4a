internal import JSON

/// Watches over an image that was set.
struct ImageGuard: Sendable {
    private let image: RolledImage
    private let client: KubeClient
    private let namespace: String

    init(_ image: RolledImage, _ client: KubeClient, _ namespace: String) {
        self.image = image
        self.client = client
        self.namespace = namespace
    }

    /// Returns true when the workload has another image than was set, false when the task is cancelled.
    ///
    /// A workload that is gone has none: it is waited for.
    func untilLost(_ setting: ImageRollout.Setting) async -> Bool {
        let watch = ResourceWatch(
            client, .init(image.kind.resource, namespace: namespace, fields: "metadata.name=\(image.name)"))
        return await watch.until { change in
            let object: JSON? =
                switch change {
                case .synced(let objects): objects.first
                case .changed(let object): object
                case .removed, .disconnected: nil
                }
            return object.map { isLost(setting, in: $0) } ?? false
        }
    }

    private func isLost(_ setting: ImageRollout.Setting, in object: JSON) -> Bool {
        // A watch may still tell what was there before it was set.
        let seen = object.at("metadata", "resourceVersion")?.string.flatMap { Int($0) }
        if object.at("metadata", "uid")?.string == setting.uid, let seen, let version = setting.version, seen < version
        {
            return false
        }
        // One that goes is gone soon.
        guard object.at("metadata", "deletionTimestamp") == nil else { return false }
        return (try? image.place(in: object)).map { $0.reference != setting.reference } ?? false
    }
}

extension FieldManagers {
    /// Who has set the image of a container, as far as the managed fields tell.
    static func owner(ofImageIn place: RolledImage.Place, _ kind: WorkloadKind, of object: JSON) -> Owner? {
        let path = TemplatePath().key(place.list).element("name", place.container).key("image")
        return owner(of: path, below: kind.podSpec, in: object)
    }
}
