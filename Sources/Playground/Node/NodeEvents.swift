internal import JSON
internal import Synchronization

/// The node's events about pods.
///
/// The same event again raises the count of the first, as on a real node.
final class NodeEvents: Sendable {
    private struct Key: Hashable {
        let uid: String
        let fieldPath: String
        let reason: String
        let message: String
    }
    private let store: ObjectStore
    private let nodeName: String
    private let names = Mutex<(known: [Key: String], last: Int)>(([:], 0))

    init(store: ObjectStore, nodeName: String) {
        self.store = store
        self.nodeName = nodeName
    }

    func record(_ pod: JSON, _ reason: String, _ message: String, fieldPath: String = "", isWarning: Bool = false) {
        let metadata = pod["metadata"] ?? [:]
        let key = Key(uid: metadata["uid"]?.string ?? "", fieldPath: fieldPath, reason: reason, message: message)
        let namespace = metadata["namespace"]?.string
        let now = JSON.string(Timestamp.now.description)
        if let known = names.withLock({ $0.known[key] }) {
            let counted = try? store.modify(.event, namespace, known, by: nil) { event in
                event["count"] = .integer((event["count"]?.integer ?? 1) + 1)
                event["lastTimestamp"] = now
            }
            // The first one may have expired meanwhile.
            if counted != nil { return }
        }
        let pod = metadata["name"]?.string ?? ""
        let name = "\(pod).\(nextSuffix())"
        var object: JSON = [
            "kind": "Pod", "namespace": .string(namespace ?? ""), "name": .string(pod), "uid": .string(key.uid),
            "apiVersion": "v1",
        ]
        object["resourceVersion"] = metadata["resourceVersion"]
        if !fieldPath.isEmpty { object["fieldPath"] = .string(fieldPath) }
        let event: JSON = [
            "kind": "Event", "apiVersion": "v1",
            "metadata": ["name": .string(name), "namespace": .string(namespace ?? "")],
            "involvedObject": object, "reason": .string(reason), "message": .string(message),
            "source": ["component": "kubelet", "host": .string(nodeName)], "firstTimestamp": now, "lastTimestamp": now,
            "count": 1, "type": isWarning ? "Warning" : "Normal", "eventTime": .null,
            "reportingComponent": "kubelet", "reportingInstance": .string(nodeName),
        ]
        // An event is a courtesy: a namespace that is going away refuses it, and nothing depends on it.
        guard (try? store.create(.event, event, by: nil)) != nil else { return }
        names.withLock { $0.known[key] = name }
    }

    /// Forgets what was counted for a pod.
    func forget(uid: String) {
        names.withLock { names in names.known = names.known.filter { $0.key.uid != uid } }
    }

    /// The time as a hexadecimal number that only grows: events of one second stand in their order by name.
    private func nextSuffix() -> String {
        let now = Timestamp.now
        return names.withLock { names in
            names.last = max(names.last + 1, (now.seconds * 1_000_000 + now.microseconds) * 1000)
            return String(names.last, radix: 16)
        }
    }
}
