import Synchronization

@testable import LoopServer

/// The cluster's side of pods, as a test wants it.
final class PodsDouble: PodActions {
    private let state = Mutex<(deleted: [String], failures: [any Error])>(([], []))
    /// What every container is said to have printed last.
    let lines = ["one line", "another"]

    /// The pods that were deleted, in order.
    var deleted: [String] { state.withLock(\.deleted) }

    /// Lets the next deletions fail, one after the other.
    func fail(with errors: any Error...) { state.withLock { $0.failures = errors } }

    func delete(_ instance: ContainerInstance) async throws {
        let failure = state.withLock { state -> (any Error)? in
            if !state.failures.isEmpty { return state.failures.removeFirst() }
            state.deleted.append(instance.pod)
            return nil
        }
        if let failure { throw failure }
    }

    func lastLines(of instance: ContainerInstance, _ count: Int) async -> [String] { Array(lines.suffix(count)) }
}
