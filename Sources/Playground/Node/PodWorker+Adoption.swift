internal import JSON

extension PodWorker {
    /// Takes over what an earlier playground left: the status's memory, and containers that still run.
    func adopt() {
        for (kind, key) in [
            (ContainerRecord.Kind.initial, "initContainerStatuses"), (.main, "containerStatuses"),
            (.ephemeral, "ephemeralContainerStatuses"),
        ] {
            for status in pod.at("status", key)?.array ?? [] {
                guard let index = records.firstIndex(where: { $0.kind == kind && $0.name == status["name"]?.string })
                else { continue }
                records[index].restore(status)
            }
        }
        let left = RunRecord.all(in: context.layout).filter { $0.pod == uid }
        for saved in left { adopt(saved) }
        for record in records where record.isRunning && runs[record.name] == nil {
            change(record.name) { $0.lose() }
        }
    }

    /// Removes what is left of containers that have ended since the node looked for orphans.
    func removeRemains() async {
        for id in remains {
            await context.runc.delete(id)
            starter(pod).discard(id)
        }
        remains = []
    }

    private func adopt(_ saved: RunRecord) {
        guard let process = ContainerProcess(pid: saved.pid, startTime: saved.startTime),
            let log = try? ContainerLog(
                context.layout.log(ofContainer: saved.container, inPod: uid, attempt: saved.attempt)),
            let pump = try? LogPump(from: context.layout.container(saved.id), into: log)
        else {
            // It ended while nobody looked: its code is lost.
            remains.append(saved.id)
            return
        }
        runs[saved.container] = ContainerRun(
            id: saved.id, process: process, log: log, pump: pump, template: saved.template,
            stopSignal: saved.stopSignal,
            startedAt: saved.startedAt)
        change(saved.container) { record in
            record.containerID = ContainerRecord.scheme + saved.id
            record.restartCount = saved.attempt
            if !record.isRunning {
                record.state = .running(since: saved.startedAt)
                record.isStarted = record.spec["startupProbe"] == nil
                record.isReady = record.kind == .main && record.isStarted && record.spec["readinessProbe"] == nil
            }
        }
    }
}

extension ContainerRecord {
    /// Takes what an earlier playground wrote into the status.
    mutating func restore(_ status: JSON) {
        restartCount = Int(status["restartCount"]?.integer ?? 0)
        containerID = status["containerID"]?.string ?? ""
        imageID = status["imageID"]?.string ?? ""
        isReady = status["ready"]?.bool ?? false
        isStarted = status["started"]?.bool ?? false
        last = Termination(status.at("lastState", "terminated"))
        if let user = status.at("user", "linux") {
            let groups = (user["supplementalGroups"]?.array ?? []).compactMap {
                $0.integer.flatMap(UInt32.init(exactly:))
            }
            identity = Identity(
                user: UInt32(clamping: user["uid"]?.integer ?? 0), group: UInt32(clamping: user["gid"]?.integer ?? 0),
                supplementalGroups: groups)
        }
        if let termination = Termination(status.at("state", "terminated")) {
            state = .terminated(termination)
        } else if let since = status.at("state", "running", "startedAt")?.string.flatMap({ Timestamp($0) }) {
            state = .running(since: since)
        } else if let waiting = status.at("state", "waiting") {
            state = .waiting(reason: waiting["reason"]?.string ?? "", message: waiting["message"]?.string ?? "")
        }
    }

    /// It ran when the earlier playground last looked, and is gone: nobody knows how it ended.
    fileprivate mutating func lose() {
        guard case .running(let since) = state else { return }
        state = .terminated(
            Termination(
                exitCode: ContainerExit.lost.code, reason: "ContainerStatusUnknown",
                message: "The container ended while the playground was not running; its exit code is unknown",
                startedAt: since, finishedAt: .now, containerID: containerID))
        isReady = false
        isStarted = false
    }
}
