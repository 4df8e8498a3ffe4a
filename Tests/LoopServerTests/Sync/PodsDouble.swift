import Synchronization

@testable import LoopServer

/// The cluster's side of pods, as a test wants it.
final class PodsDouble: PodActions {
    private let state = Mutex<(deleted: [String], failures: [any Error])>(([], []))
    private let hook = Mutex<(@Sendable (ContainerInstance) async -> Void)?>(nil)
    /// What every container is said to have printed last.
    let lines = ["one line", "another"]

    /// The pods that were deleted, in order.
    var deleted: [String] { state.withLock(\.deleted) }

    /// What happens in the cluster before a deletion is answered.
    func beforeAnswer(_ body: @escaping @Sendable (ContainerInstance) async -> Void) {
        hook.withLock { $0 = body }
    }

    /// Lets the next deletions fail, one after the other.
    func fail(with errors: any Error...) { state.withLock { $0.failures = errors } }

    func delete(_ instance: ContainerInstance) async throws {
        let failure = state.withLock { state -> (any Error)? in
            if !state.failures.isEmpty { return state.failures.removeFirst() }
            state.deleted.append(instance.pod)
            return nil
        }
        if let failure { throw failure }
        await hook.withLock({ $0 })?(instance)
        // As a request does that is cut off.
        try Task.checkCancellation()
    }

    func lastLines(of instance: ContainerInstance, _ count: Int) async -> [String] { Array(lines.suffix(count)) }
}
