internal import Reactor

/// The forwards of one service.
struct ServiceForwards: Sendable {
    private let route: PodRoute
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let notices: Notices
    private let slots = ConnectionSlots()
    private let pause: Duration

    /// Forwards by `route`, which ends with them; a port that is taken is tried again after `pause`.
    init(
        route: PodRoute, pause: Duration = .seconds(5), emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.route = route
        self.emit = emit
        self.pause = pause
        notices = Notices(emit)
    }

    /// Carries connections until the task is cancelled; then the helper that was brought is gone.
    ///
    /// All ports or none: throws a `LoopFailure` where one is taken, or the target is not there.
    func run(_ forwards: [Forward]) async throws {
        var listeners: [ForwardListener] = []
        defer { for listener in listeners { listener.close() } }
        for forward in forwards { listeners.append(try listen(forward)) }
        do {
            let state = try await route.firstState()
            if state.isMissing { throw await route.missing() }
        } catch {
            await route.end()
            throw error
        }
        for listener in listeners { emit(listener.event) }
        await withDiscardingTaskGroup { [listeners] group in
            for listener in listeners { group.addTask { await listener.run() } }
            group.addTask { await makeWay() }
        }
        await route.end()
    }

    /// The same for each port by itself: one that is taken is told once, and tried again until it is free.
    func keep(_ forwards: [Forward]) async {
        await withDiscardingTaskGroup { group in
            for forward in forwards { group.addTask { await keep(forward) } }
            group.addTask { await makeWay() }
        }
        await route.end()
    }

    private func keep(_ forward: Forward) async {
        var isTold = false
        while !Task.isCancelled {
            do {
                let listener = try listen(forward)
                emit(listener.event)
                await listener.run()
                return listener.close()
            } catch {
                if !isTold {
                    var failure = (error as? LoopFailure)?.failure ?? LoopEvent.Failure("\(error)")
                    failure.nextStep = "it is tried again until it is free" + (failure.nextStep.map { "; \($0)" } ?? "")
                    emit(.failed(failure))
                }
                isTold = true
                // Nothing tells of a port that has become free.
                try? await Task.sleep(for: pause)
            }
        }
    }

    private func listen(_ forward: Forward) throws -> ForwardListener {
        try ForwardListener(forward, route: route, notices: notices, slots: slots)
    }

    /// Before the first connection, which then need not wait for it; or says why it would.
    private func makeWay() async {
        do {
            _ = try await route.way()
        } catch let error as LoopFailure {
            emit(.notice(error.failure.summary))
        } catch {}
    }
}
