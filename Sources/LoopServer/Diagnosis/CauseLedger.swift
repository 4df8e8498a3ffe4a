internal import Synchronization

/// The causes that a session has told: a deployment and the service whose pods it makes would both tell them.
final class CauseLedger: Sendable {
    private struct Told {
        var keys: Set<[String]> = []
        var containers: Set<String> = []
    }

    private let told = Mutex<[String: Told]>([:])

    /// Notes a cause of a target; false where it has been told.
    func claim(_ diagnosis: Diagnosis, of target: Target) -> Bool {
        told.withLock { told in
            if let container = diagnosis.container { told["\(target)", default: Told()].containers.insert(container) }
            return told["\(target)", default: Told()].keys.insert(diagnosis.key).inserted
        }
    }

    /// Whether a cause about a container of that name has been told, and is not over.
    func hasTold(of container: String, in target: Target) -> Bool {
        told.withLock { $0["\(target)"]?.containers.contains(container) ?? false }
    }

    /// All is well with a target: what happens to it from now on is news.
    func forget(_ target: Target) { told.withLock { $0["\(target)"] = nil } }
}
