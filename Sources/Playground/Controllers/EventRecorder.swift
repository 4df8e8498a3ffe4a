internal import JSON
internal import Synchronization

/// Writes events about objects; the same event again only counts up.
final class EventRecorder: Sendable {
    private struct Subject: Hashable {
        let uid: String
        let reason: String
        let message: String
    }

    private let store: ObjectStore
    private let component: String
    private let names = Mutex<[Subject: String]>([:])

    /// A recorder that speaks as a component: `deployment-controller`.
    init(store: ObjectStore, component: String) {
        self.store = store
        self.component = component
    }

    /// Records an event about an object.
    ///
    /// A failure to record is nobody's failure.
    func record(_ object: JSON, _ kind: ResourceKind, type: String = "Normal", reason: String, message: String) {
        let namespace = object.at("metadata", "namespace")?.string ?? "default"
        let subject = Subject(
            uid: object.at("metadata", "uid")?.string ?? "", reason: reason, message: message)
        let now = JSON.string(Timestamp.now.description)
        if let name = names.withLock({ $0[subject] }) {
            let counted = try? store.modify(.event, namespace, name, by: nil) { event in
                event["count"] = .integer((event["count"]?.integer ?? 1) &+ 1)
                event["lastTimestamp"] = now
            }
            if counted != nil { return }
        }
        var event = EventRecorder.event(about: object, kind, type: type, reason: reason, message: message)
        event["source"] = ["component": .string(component)]
        event["firstTimestamp"] = now
        event["lastTimestamp"] = now
        event["count"] = 1
        event["type"] = .string(type)
        event["eventTime"] = .null
        event["reportingComponent"] = .string(component)
        event["reportingInstance"] = ""
        guard let created = try? store.create(.event, event, by: nil) else { return }
        let name = created.at("metadata", "name")?.string ?? ""
        names.withLock { names in
            // Old names only save a second event of the same words: forgetting them all is cheap.
            if names.count > 1000 { names.removeAll() }
            names[subject] = name
        }
    }

    /// Records an event in the newer form, which the scheduler uses.
    func recordNew(_ object: JSON, _ kind: ResourceKind, type: String, reason: String, action: String, message: String)
    {
        var event = EventRecorder.event(about: object, kind, type: type, reason: reason, message: message)
        event["source"] = [:]
        event["firstTimestamp"] = .null
        event["lastTimestamp"] = .null
        event["type"] = .string(type)
        event["eventTime"] = .string(Timestamp.now.precise)
        event["action"] = .string(action)
        event["reportingComponent"] = .string(component)
        event["reportingInstance"] = .string("\(component)-playground")
        _ = try? store.create(.event, event, by: nil)
    }

    private static func event(
        about object: JSON, _ kind: ResourceKind, type: String, reason: String, message: String
    ) -> JSON {
        let name = object.at("metadata", "name")?.string ?? ""
        let namespace = object.at("metadata", "namespace") ?? "default"
        var involved: JSON = ["kind": .string(kind.kind)]
        if kind.isNamespaced { involved["namespace"] = namespace }
        involved["name"] = .string(name)
        involved["uid"] = object.at("metadata", "uid")
        involved["apiVersion"] = .string(kind.apiVersion)
        involved["resourceVersion"] = object.at("metadata", "resourceVersion")
        // By the time, as in Kubernetes: events of one object list in their order.
        let now = Timestamp.now
        let suffix = String((now.seconds * 1_000_000 + now.microseconds) * 1000 + Int.random(in: 0..<1000), radix: 16)
        return [
            "metadata": ["name": .string("\(name).\(suffix)"), "namespace": namespace], "involvedObject": involved,
            "reason": .string(reason), "message": .string(message),
        ]
    }
}
