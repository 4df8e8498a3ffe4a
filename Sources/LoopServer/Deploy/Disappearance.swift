internal import JSON
internal import Reactor

/// Objects that are on their way out of the cluster.
struct Disappearance: Sendable {
    /// One of them.
    struct Leaving: Hashable, Sendable {
        let reference: ObjectReference
        let resource: KubeResource
        /// The very object, not another one of its name; `nil` for whatever has the name.
        let uid: String?
    }

    let client: KubeClient

    /// Waits until all of them are gone; returns those that are still there at the limit, or when the task is cancelled.
    func wait(for objects: [Leaving], limit: Duration) async -> [Leaving] {
        await withTaskGroup(of: Leaving?.self) { group in
            for object in objects { group.addTask { await isGone(object, limit: limit) ? nil : object } }
            return await group.reduce(into: []) { left, object in if let object { left.append(object) } }
        }
    }

    private func isGone(_ object: Leaving, limit: Duration) async -> Bool {
        let watch = ResourceWatch(
            client,
            .init(
                object.resource, namespace: object.reference.namespace,
                fields: "metadata.name=\(object.reference.name)"))
        return await atMost(limit) { await watch.until { Disappearance.isEnd($0, of: object) } } ?? false
    }

    private static func isEnd(_ change: ResourceChange, of object: Leaving) -> Bool {
        func isOther(_ found: JSON) -> Bool { object.uid != nil && found.at("metadata", "uid")?.string != object.uid }
        switch change {
        case .synced(let objects): return objects.allSatisfy(isOther)
        case .changed(let found): return isOther(found)
        case .removed(let found): return !isOther(found)
        // With the definition of its kind it has gone, too.
        case .disconnected(_, let isRefusal): return isRefusal
        }
    }
}
