internal import Reactor

/// Looks until a program listens at its ports.
struct HostReadiness: Sendable {
    /// How long a program may take before something is said of its ports.
    struct Patience: Sendable {
        /// Until it is looked for where else it listens; later again, each time after twice as long.
        var elsewhere = Duration.seconds(5)
        /// Until it is said that it does not listen at all.
        var nowhere = Duration.seconds(30)
    }

    /// Where it is to listen; not empty.
    let ports: [UInt16]
    /// The ports of the container that these stand for.
    let named: [HostPort]
    /// Where it listens for its debugger.
    let debugPort: UInt16?
    /// The process below which everything is the program's.
    let root: Int32
    let patience: Patience

    /// The ports that it listens at, once it does at all of them, or since a second at some; `nil` when the task is
    /// cancelled.
    ///
    /// `before` are the sockets that were there before its start.
    @concurrent
    func untilListening(
        before: Set<ListeningSocket>, _ say: @Sendable (LoopEvent.Kind) -> Void
    ) async throws -> [UInt16]? {
        let began = ContinuousClock.now
        var firstSeen: ContinuousClock.Instant?
        var (nextSearch, isTold, isFound) = (patience.elsewhere, false, false)
        // The kernel tells nobody when a port gets a listener, and a connection to find out would be one that the
        // program has to answer: so the list of sockets is looked at (about 40 µs), at first in step with programs that
        // start in milliseconds, later less often, and not any more once it listens.
        var pause = Duration.milliseconds(1)
        while !Task.isCancelled {
            try? await Task.sleep(for: pause)
            let (now, listening) = (ContinuousClock.now, try ListeningPorts.now())
            let open = Set(listening.sockets.filter { !before.contains($0) }.map(\.port))
            let found = ports.filter(open.contains)
            if found.count == ports.count { return found }
            if !found.isEmpty {
                firstSeen = firstSeen ?? now
                if let firstSeen, now - firstSeen >= .seconds(1) { return found }
            } else if !isFound, now - began >= nextSearch {
                nextSearch *= 2
                let others = listening.ports(ofTree: root).subtracting(debugPort.map { [$0] } ?? []).sorted()
                isFound = !others.isEmpty
                if isFound {
                    say(.notice(elsewhere(others)))
                } else if !isTold, debugPort == nil, now - began >= patience.nowhere {
                    isTold = true
                    say(.notice("the program runs, and does not listen at \(HostReadiness.list(ports)) yet"))
                }
            }
            pause = min(pause * 5 / 4, .milliseconds(now - began < .seconds(5) ? 50 : 250))
        }
        return nil
    }

    private func elsewhere(_ others: [UInt16]) -> String {
        let port = named.first { $0.host == ports[0] } ?? HostPort(container: ports[0], host: ports[0])
        let example = "{\"container\": \(port.container), \"host\": \(others[0])}"
        return "the program listens at \(HostReadiness.list(others)), not at \(HostReadiness.list(ports)): "
            + "say so in \"ports\" in the \"host\" section of loop.json, as in \(example)"
    }

    private static func list(_ ports: [UInt16]) -> String {
        let shown = ports.prefix(3).map { "\($0)" }
        guard shown.count > 1 else { return shown.joined() }
        return shown.dropLast().joined(separator: ", ") + " and " + shown[shown.count - 1]
    }
}
