internal import LoopServer
internal import Playground
internal import Reactor

/// The seam to the playground itself.
enum PlaygroundService {
    /// Runs the playground until a signal comes; `ready` is called once it answers.
    static func run(
        _ playground: PlaygroundProcess, until signals: Signals, _ console: Console,
        ready: @escaping @Sendable () -> Void
    ) async -> Outcome {
        let server = PlaygroundServer(stateDirectory: playground.directory)
        let serving = Task { try await server.run { _ in ready() } }
        let interruption = Task {
            _ = try await signals.next()
            serving.cancel()
        }
        defer { interruption.cancel() }
        do {
            try await serving.value
            return .done
        } catch is CancellationError {
            return .done
        } catch {
            console.complain("\(error)")
            return .failed
        }
    }

    /// Ends what a playground has left and removes its folder.
    ///
    /// Throws with a line for each thing that could not be removed.
    static func remove(_ playground: PlaygroundProcess) async throws {
        let left = try await PlaygroundServer.remove(stateDirectory: playground.directory)
        guard left.isEmpty else { throw Leftovers(lines: left) }
    }

    private struct Leftovers: Error, CustomStringConvertible {
        let lines: [String]
        var description: String { lines.joined(separator: "; ") }
    }
}
