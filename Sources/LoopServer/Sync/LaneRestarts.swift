internal import Glibc
internal import Reactor
internal import Wire

/// The `restart` steps: how a service takes up what has landed.
extension ServiceLane {
    /// Stops the service and starts it again, in the same container.
    func restartProcess(_ replica: Replica, _ access: any ContainerAccess) async throws -> Bool {
        guard let service = access.service else { return tellNoSupervisor(replica) }
        let (pod, started) = (replica.instance.pod, monotonicNow())
        let reminder = Task { await remind(of: "restart", in: pod) }
        defer { reminder.cancel() }
        replica.serviceEnds.beginRestart()
        let state: ServiceState
        do {
            state = try await service.restart(grace: replica.instance.gracePeriod)
        } catch LinkError.refused(let failure) where failure.code == ESHUTDOWN {
            // The container is being stopped: whatever comes after it starts with what has landed, or is compared.
            replica.serviceEnds.restartWasLost()
            report(.detail("\(pod): not restarted: \(String(decoding: failure.text, as: UTF8.self))"))
            return true
        } catch LinkError.refused(let failure) {
            replica.serviceEnds.restartWasRefused()
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(pod): cannot start the service again: \(String(decoding: failure.text, as: UTF8.self))",
                        nextStep: downUntil)))
            return false
        } catch {
            replica.serviceEnds.restartWasLost()
            throw error
        }
        let end = replica.serviceEnds.restarted(state)
        if case .running(let pid, _) = state {
            report(.restarted(pod: pod, pid: pid, milliseconds: Double(monotonicNow() - started) / 1e6))
        } else {
            report(.detail("\(pod): the service is held: it starts with what has landed when it is released"))
        }
        if let end { tell(end, of: replica) }
        return true
    }

    /// Sends the service's main process a signal.
    func signal(_ number: Int32, _ replica: Replica, _ access: any ContainerAccess) async throws -> Bool {
        guard let service = access.service else { return tellNoSupervisor(replica) }
        let (pod, started, name) = (replica.instance.pod, monotonicNow(), SignalName.of(number))
        do {
            try await service.signal(number)
        } catch LinkError.refused(let failure) {
            let reason = String(decoding: failure.text, as: UTF8.self)
            report(.failed(LoopEvent.Failure("\(pod): cannot send \(name) to the service: \(reason)")))
            return false
        }
        report(.signalled(pod: pod, signal: name, milliseconds: Double(monotonicNow() - started) / 1e6))
        return true
    }

    /// Deletes the pod, so that its controller makes another one, as soon as none is missing for that already.
    func restartPod(_ replica: Replica) async throws -> Bool {
        let instance = replica.instance
        guard instance.hasController else {
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(instance.pod): not restarted: it has no controller, so nobody would make it anew",
                        nextStep: "restart it with what made it, or use \"restart\": \"process\" with \"dev\": true")))
            return false
        }
        while let replacement, !replacement.isThere(replicas.values, wanted: wantedPods) {
            await nextChange()
            try Task.checkCancellation()
        }
        let started = monotonicNow()
        // Also one that gets the same batch just now is one of those that there have to be.
        replacement = PodReplacement(uid: instance.id.podUID, before: replicas.values.count(where: \.isConverged))
        // A task of its own: that the pod goes is often heard before the answer, and cancels this step.
        let deletion = Task { [pods] in try await pods.delete(instance) }
        do {
            try await deletion.value
        } catch {
            replacement = nil
            changed()
            // The cluster does not answer: it is owed until it does.
            guard let error = error as? KubeError, !error.isUnanswered else { throw error }
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(instance.pod): cannot be deleted: \(error.message)",
                        nextStep: error.isForbidden
                            ? "\"restart\": \"pod\" needs the permission to delete pods in \(instance.namespace)" : nil)
                ))
            return false
        }
        replica.isLeaving = true
        report(.podDeleted(pod: instance.pod, milliseconds: Double(monotonicNow() - started) / 1e6))
        return true
    }

    /// What a service that is down waits for.
    var downUntil: String {
        plan.service.rules.contains { $0.then.contains(.restart(.process)) }
            ? "it stays down until the next change"
            : "it stays down until its pod is restarted: no rule has \"restart\": \"process\""
    }

    /// Says once that nothing in the container can restart its process.
    private func tellNoSupervisor(_ replica: Replica) -> Bool {
        guard !hasToldNoSupervisor else { return false }
        hasToldNoSupervisor = true
        report(
            .failed(
                LoopEvent.Failure(
                    "\(replica.instance.pod): its process was not restarted: loopd's helper has not started it",
                    nextStep: plan.service.dev == nil
                        ? "\"dev\": true at the service allows it; \"restart\": \"pod\" works without"
                        : "the service could not enter dev mode; \"restart\": \"pod\" works without")))
        return false
    }
}

/// A pod that was deleted so that another one takes its place.
struct PodReplacement {
    let uid: String
    /// How many pods were in step before.
    let before: Int

    /// Whether the pod is gone and as many as before, or as are wanted by now, have everything again.
    ///
    /// Where nobody says how many there should be, none may follow.
    func isThere(_ replicas: some Collection<Replica>, wanted: Int?) -> Bool {
        guard !replicas.contains(where: { $0.instance.id.podUID == uid }) else { return false }
        return wanted.map { replicas.count(where: \.isQuiet) >= min(before, $0) } ?? true
    }
}

/// What a lane asks of the cluster about whole pods.
protocol PodActions: Sendable {
    /// Deletes a pod with the grace that its spec has; one that is gone, or has another in its place, is left at that.
    func delete(_ instance: ContainerInstance) async throws
    /// The last lines that a container has printed; none where they cannot be read.
    func lastLines(of instance: ContainerInstance, _ count: Int) async -> [String]
}
