internal import Reactor
internal import Wire

/// The service of a container in dev mode, as its supervisor tells of it.
extension ServiceLane {
    /// Follows the service for as long as the way stands, so that its end is not its container's.
    func follow(_ replica: Replica, _ access: any ContainerAccess) {
        guard let service = access.service else { return }
        hasToldNoSupervisor = false
        replica.serviceEnds.beginFollowing()
        replica.following = Task {
            do {
                try await service.follow { state in
                    if let end = replica.serviceEnds.hear(state, at: monotonicNow()) { tell(end, of: replica) }
                }
            } catch {
                guard !Task.isCancelled else { return }
                replica.lostWay = error
                replica.gate.signal()
            }
        }
    }

    /// Tells that a service has ended by itself, with what it printed last.
    func tell(_ end: ServiceEnds.End, of replica: Replica) {
        let (instance, nextStep) = (replica.instance, downUntil)
        let after = end.milliseconds.map { " \(Figures.duration(milliseconds: $0)) after its start" } ?? ""
        guard end.exit != .code(0) else {
            return report(.notice("\(instance.pod): the service has ended (exit code 0)\(after); \(nextStep)"))
        }
        let how =
            switch end.exit {
            case .code(let code): "with exit code \(code)"
            case .signal(let number): "by signal \(SignalName.of(number))"
            }
        Task {
            // The last line is on another way, through the runtime's log; what it says is worth a moment.
            try? await Task.sleep(for: .milliseconds(200))
            let lines = await pods.lastLines(of: instance, 10)
            guard replicas[instance.id] != nil else { return }
            let runsAgain = replica.serviceEnds.isMadeUp(for: end)
            // What was over before loopd came, and runs by now, is no news.
            if runsAgain, end.milliseconds == nil { return }
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(instance.pod): the service ended \(how)\(after)", details: lines,
                        nextStep: runsAgain ? nil : nextStep)))
        }
    }
}
