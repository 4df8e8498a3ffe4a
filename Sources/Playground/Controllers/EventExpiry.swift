internal import JSON

/// Forgets events an hour after they last happened.
struct EventExpiry: Controller {
    let store: ObjectStore
    private static let lifetime = 3600

    var watched: [ResourceKind] { [.event] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        // Counting up only moves the end away; the look at the old end finds the new one.
        event.type == .added ? [itself(event.object)] : []
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        guard let event = store.get(.event, key.namespace, key.name) else { return nil }
        let times = [event["lastTimestamp"], event["eventTime"], event.at("metadata", "creationTimestamp")]
        let last = times.compactMap { $0?.string.flatMap { Timestamp($0) } }.max() ?? .now
        let left = last.seconds + Self.lifetime - Timestamp.now.seconds
        if left > 0 { return .seconds(left) }
        try store.remove(.event, key.namespace, key.name)
        return nil
    }
}
