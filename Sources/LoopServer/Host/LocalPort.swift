internal import Glibc
internal import Reactor

/// A program on this machine that may be down, starting, or between two starts.
protocol LocalProgram: Sendable {
    /// Returns once it listens, or with false when it does not within the limit, or when the task is cancelled.
    func untilUp(limit: Duration) async -> Bool
}

/// The way to a port of a program on this machine.
struct LocalPort: Sendable {
    let program: any LocalProgram
    let port: UInt16
    /// How long a connection waits for the program.
    let patience: Duration

    /// A connection to the program, waiting for it while it is down; `nil` when it does not come up in time, or when the
    /// task is cancelled.
    func connect() async -> Stream? {
        let deadline = ContinuousClock.now + patience
        var pause = Backoff(first: .milliseconds(1), limit: .milliseconds(50))
        while await program.untilUp(limit: max(.zero, deadline - .now)), !Task.isCancelled {
            if let stream = await dial() { return stream }
            // It ends, or has not begun to listen at this one of its ports: nothing tells when it does.
            guard ContinuousClock.now < deadline, (try? await Task.sleep(for: pause.next())) != nil else { return nil }
        }
        return nil
    }

    /// Programs listen at either family, or at both.
    private func dial() async -> Stream? {
        for host in ["127.0.0.1", "::1"] {
            if let stream = try? await Stream.connect(to: .tcp(host: host, port: port)) { return stream }
        }
        // Or at another address only.
        guard let host = try? ListeningPorts.now().address(of: port) else { return nil }
        return try? await Stream.connect(to: .tcp(host: host, port: port))
    }
}
