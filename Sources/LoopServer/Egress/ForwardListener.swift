internal import Glibc
internal import Reactor
internal import Wire

/// A port of this machine that leads to a port of a service's pods, whichever pod is there.
struct ForwardListener: Sendable {
    let forward: Forward
    private let listeners: [LoopbackListener]
    private let route: PodRoute
    private let notices: Notices
    private let slots: ConnectionSlots

    /// Listens; throws a `LoopFailure` that says who has the port already.
    init(_ forward: Forward, route: PodRoute, notices: Notices, slots: ConnectionSlots) throws {
        self.forward = forward
        self.route = route
        self.notices = notices
        self.slots = slots
        let first: LoopbackListener
        do {
            first = try LoopbackListener(port: forward.local)
        } catch let error as SystemError {
            throw LoopFailure(failure: ForwardListener.failure(forward, error))
        }
        // `localhost` is both addresses, and programs try this one first. A machine may be without it.
        var second: LoopbackListener?
        do {
            second = try LoopbackListener(host: "::1", port: first.port)
        } catch let error as SystemError where error.code == EADDRINUSE {
            let owner = ListeningPorts.holder(of: first.port, at: ["::1", "::"])
            notices.tell(
                "[::1]:\(first.port) is taken by \(owner): localhost may lead there, 127.0.0.1 leads to the pod")
        } catch {}
        listeners = [first] + [second].compactMap(\.self)
    }

    /// The port here.
    var port: UInt16 { listeners[0].port }

    /// What it is, for people and programs.
    var event: LoopEvent.Kind {
        .forwarding(local: "127.0.0.1:\(port)", target: "port \(forward.remote) of \(route.target)")
    }

    /// Carries connections until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for listener in listeners {
                group.addTask { await listener.run(notices: notices, slots: slots) { await carry($0) } }
            }
        }
    }

    func close() { for listener in listeners { listener.close() } }

    private func carry(_ stream: Stream) async {
        do {
            await Relay.join(try await connect(), stream)
        } catch {
            if let failure = (error as? LoopFailure)?.failure {
                notices.tell(failure.summary)
            } else if !(error is CancellationError) {
                notices.tell("port \(forward.remote) of \(route.target): \(error)")
            }
            stream.reset()
        }
    }

    /// Once more by the next way, where the first one ends meanwhile.
    private func connect() async throws -> LinkSocket {
        do {
            return try await connect(by: try await route.way())
        } catch LinkError.disconnected {
            return try await connect(by: try await route.way())
        }
    }

    /// To loopback, where a program for debugging listens only, perhaps at `::1`; where nobody listens there, to the pod's
    /// own address.
    private func connect(by way: PodRoute.Way) async throws -> LinkSocket {
        do {
            return try await way.link.connect(to: "127.0.0.1", port: forward.remote)
        } catch let LinkError.refused(reason) where reason.code == ECONNREFUSED {
            for address in ["::1", way.pod.address].compactMap(\.self) {
                // A pod may be without IPv6: whatever the reason is, nobody listens there.
                do { return try await way.link.connect(to: address, port: forward.remote) } catch LinkError.refused {}
            }
            let declared = way.pod.declaredPorts.filter { $0 != forward.remote }.map { "\($0)" }
            let more = declared.isEmpty ? "" : "; its containers declare \(declared.joined(separator: ", "))"
            throw LoopFailure(
                failure: LoopEvent.Failure("\(way.pod.name): nothing listens at port \(forward.remote)\(more)"))
        }
    }

    private static func failure(_ forward: Forward, _ error: SystemError) -> LoopEvent.Failure {
        let free = "0:\(forward.remote) takes a free one"
        switch error.code {
        case EADDRINUSE:
            return LoopEvent.Failure(
                "port \(forward.local) is taken by \(ListeningPorts.holder(of: forward.local))", nextStep: free)
        case EACCES:
            return LoopEvent.Failure(
                "port \(forward.local) is for root: this user may not listen below 1024", nextStep: free)
        default: return LoopEvent.Failure("port \(forward.local) cannot be listened at: \(error)", nextStep: free)
        }
    }
}
