internal import Synchronization

/// The causes that a session has told: a deployment and the service whose pods it makes would both tell them.
final class CauseLedger: Sendable {
    private let told = Mutex<[String: Set<[String]>]>([:])

    /// Notes a cause of a target; false where it has been told.
    func claim(_ key: [String], of target: Target) -> Bool {
        told.withLock { $0["\(target)", default: []].insert(key).inserted }
    }

    /// All is well with a target: what happens to it from now on is news.
    func forget(_ target: Target) { told.withLock { $0["\(target)"] = nil } }
}
