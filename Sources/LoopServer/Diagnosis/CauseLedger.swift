internal import Reactor
internal import Synchronization

/// The causes that a session has told: a deployment and the service whose pods it makes would both tell them.
final class CauseLedger: Sendable {
    private struct Told {
        let key: [String]
        let container: String?
        /// In the nanoseconds of `monotonicNow`.
        let time: UInt64
    }

    private let told = Mutex<[String: [Told]]>([:])

    /// Notes a cause of a target in a namespace; false where it has been told.
    func claim(_ diagnosis: Diagnosis, of target: Target, in namespace: String) -> Bool {
        told.withLock { told in
            let known = told["\(namespace)/\(target)"] ?? []
            if known.contains(where: { $0.key == diagnosis.key }) { return false }
            told["\(namespace)/\(target)"] =
                known + [Told(key: diagnosis.key, container: diagnosis.container, time: monotonicNow())]
            return true
        }
    }

    /// Whether a cause about a container of that name has been told, and is not over.
    func hasTold(of container: String, of target: Target, in namespace: String) -> Bool {
        told.withLock { $0["\(namespace)/\(target)"]?.contains { $0.container == container } ?? false }
    }

    /// All was well with a target at a time: what happens to it from then on is news, and has perhaps been told already.
    func forget(_ target: Target, in namespace: String, before time: UInt64 = monotonicNow()) {
        told.withLock { $0["\(namespace)/\(target)"]?.removeAll { $0.time < time } }
    }
}
