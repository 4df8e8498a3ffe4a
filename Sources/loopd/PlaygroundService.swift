internal import LoopServer
internal import Playground
internal import Reactor

/// The playground itself: run in this process, and removed.
enum PlaygroundService {
    /// Something of a playground that could not be removed.
    struct Remains: Error, CustomStringConvertible {
        let lines: [String]

        var description: String { lines.joined(separator: "; ") }
    }

    /// Runs the playground until a signal comes; `ready` is called once it answers, `tell` with the cause where it fails.
    ///
    /// Its containers keep running: a playground that is started again takes them over.
    static func run(
        _ playground: PlaygroundProcess, hidden: [String], until signals: Signals, _ console: Console,
        tell: (String) -> Void, ready: @escaping @Sendable () -> Void
    ) async -> Outcome {
        let server = PlaygroundServer(stateDirectory: playground.directory, hidden: hidden)
        let work = Task { try await server.run { _ in ready() } }
        let interruption = Task {
            if (try? await signals.next()) != nil { work.cancel() }
        }
        defer { interruption.cancel() }
        do {
            try await work.value
            return .done
        } catch is CancellationError {
            return .done
        } catch {
            console.complain("\(error)")
            tell("\(error)")
            return .failed
        }
    }

    /// Ends what a playground has left and removes its folder.
    ///
    /// None may run there.
    static func remove(_ playground: PlaygroundProcess) async throws {
        let left = try await PlaygroundServer.remove(stateDirectory: playground.directory)
        if !left.isEmpty { throw Remains(lines: left) }
    }
}
