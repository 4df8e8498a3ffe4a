internal import LoopServer
internal import Playground
internal import Reactor

/// The seam to the playground itself.
enum PlaygroundService {
    /// Runs the playground until a signal comes; `ready` is called once it answers.
    static func run(
        _ playground: PlaygroundProcess, until signals: Signals, _ console: Console, ready: @Sendable () -> Void
    ) async -> Outcome {
        console.complain("the playground is not there yet")
        return .failed
    }

    /// Ends what a playground has left and removes its folder.
    static func remove(_ playground: PlaygroundProcess) async throws {
    }
}
