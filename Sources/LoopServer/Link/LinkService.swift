internal import Wire

/// The service of a container in dev mode: the helper's supervisor starts it, so that it can be restarted in place.
///
/// `welcome.capabilities` contains `.service` where there is a supervisor; elsewhere all of these are refused with ENOENT.
extension HelperLink {
    /// Tells how the service is, at once and at every change, until the task is cancelled or the link ends.
    ///
    /// While anybody follows, the service's end is not the container's. When the last follower goes, the container of one
    /// that has ended ends with it; when the last one goes who holds the service, it is started again. A ping goes out
    /// each `heartbeat` seconds meanwhile, or at every `pulse` in tests: by their absence the helper notices that this
    /// host is gone.
    func follow(heartbeat: UInt16 = 1, pulse: Duration? = nil, _ each: (ServiceState) -> Void) async throws {
        let stream = try begin(.service(.follow(heartbeatSeconds: heartbeat)))
        defer {
            send(.service(.unfollow), on: stream)
            finish(stream)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.ping(every: pulse ?? .seconds(Int(heartbeat))) }
            defer { group.cancelAll() }
            while true { each(try state(in: try await stream.next())) }
        }
    }

    /// Ends the link when nothing was heard for five of the beats that `follow` makes, until the task is cancelled.
    ///
    /// The helper gives up earlier. Beats are counted instead of time, so that a busy machine does not take its own pauses
    /// for the helper's.
    func endWhenSilent(heartbeat: UInt16) async {
        var (seen, silent) = (signs, 0)
        // A silent link tells nothing: only its silence does.
        while silent < 5, (try? await Task.sleep(for: .seconds(Int(heartbeat)))) != nil {
            let now = signs
            silent = now == seen ? silent + 1 : 0
            seen = now
        }
        if silent >= 5 { drop("no answer to five pings") }
    }

    /// Ends the service's processes, which get `grace` to do it themselves, and starts it again.
    ///
    /// Returns when the new program runs, with its process id; refused with the reason when it cannot be executed. A held
    /// service stays held.
    func restart(grace: Duration) async throws -> ServiceState {
        try await ask(.restart(graceMilliseconds: grace.wireMilliseconds))
    }

    /// How the service is now.
    func serviceState() async throws -> ServiceState {
        try await ask(.state)
    }

    /// Sends the service's main process a signal.
    func signalService(_ number: Int32) async throws {
        _ = try await ask(.signal(number))
    }

    /// Ends the service and keeps it down until this link releases it, or does not follow it any more.
    ///
    /// Refused while this link does not follow: first wait for a state from `follow`.
    func hold(grace: Duration) async throws {
        _ = try await ask(.hold(graceMilliseconds: grace.wireMilliseconds))
    }

    /// Gives up this link's hold: the service is started unless another one holds it, and this returns once it runs, or
    /// stays down for the other one.
    func release() async throws {
        _ = try await ask(.release)
    }

    /// The absolute path, as the container sees it, of content that is staged and not committed yet.
    func locate(destination: UInt32, stage: UInt32) async throws -> String {
        let stream = try begin(.locate(Locate(destination: destination, stage: stage)))
        defer { finish(stream) }
        switch try await stream.next() {
        case .located(let path): return String(decoding: path, as: UTF8.self)
        case let other: throw unexpected(other)
        }
    }

    private func ask(_ request: ServiceRequest) async throws -> ServiceState {
        let stream = try begin(.service(request))
        defer { finish(stream) }
        return try state(in: try await stream.next())
    }

    private func state(in answer: Message) throws -> ServiceState {
        guard case .serviceState(let state) = answer else { throw unexpected(answer) }
        return state
    }

    private func ping(every pulse: Duration) async throws {
        while true {
            try await Task.sleep(for: pulse)
            // The answer is a sign of life like any other.
            send(.ping(0))
        }
    }
}

extension Duration {
    /// Whole milliseconds, as far as the wire can say them.
    var wireMilliseconds: UInt32 {
        let (seconds, attoseconds) = components
        let milliseconds = seconds.multipliedReportingOverflow(by: 1000)
        guard !milliseconds.overflow else { return seconds < 0 ? 0 : .max }
        return UInt32(clamping: milliseconds.partialValue + attoseconds / 1_000_000_000_000_000)
    }
}
