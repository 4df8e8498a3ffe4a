internal import Glibc
internal import JSON
internal import Reactor

extension PodWorker {
    /// Starts a container; `nil` when that failed, with the cause in its record.
    func start(_ name: String) async -> ContainerRun? {
        guard let record = record(name) else { return nil }
        do {
            let image = try await image(for: record)
            let prepared: ContainerStarter.Prepared
            do {
                let target = try targetProcess(of: record)
                prepared = try await starter(pod).prepare(record.spec, image, pidNamespaceOf: target)
            } catch let error as CreateError {
                fail(name, reason: "CreateContainerError", "\(error)")
                return nil
            } catch {
                fail(name, reason: "CreateContainerConfigError", "\(error)")
                return nil
            }
            guard !Task.isCancelled else {
                starter(pod).discard(prepared.id)
                return nil
            }
            return try await launch(name, image, prepared)
        } catch let error as PullError {
            if error.reason == "ErrImagePull" {
                event(
                    "Failed", "Failed to pull image \"\(record.image)\": \(error)", of: record, isWarning: true)
            }
            fail(name, reason: error.reason, error.message, eventMessage: "Error: \(error.reason)")
            return nil
        } catch {
            fail(name, reason: "CreateContainerError", "\(error)")
            return nil
        }
    }

    private func image(for record: ContainerRecord) async throws -> Image {
        let policy = record.spec["imagePullPolicy"]?.string ?? "IfNotPresent"
        if await context.images.isPresent(record.image, policy: policy) {
            let image = try await context.images.image(record.image, policy: policy)
            event(
                "Pulled",
                "Container image \"\(record.image)\" already present on machine and can be accessed by the pod",
                of: record)
            return image
        }
        let start = ContinuousClock.now
        if policy != "Never" { event("Pulling", "Pulling image \"\(record.image)\"", of: record) }
        let image = try await context.images.image(record.image, policy: policy)
        let time = "\((ContinuousClock.now - start).components.attoseconds / 1_000_000_000_000_000)ms"
        event(
            "Pulled",
            "Successfully pulled image \"\(record.image)\" in \(time) (\(time) including waiting). "
                + "Image size: \(image.size) bytes.", of: record)
        return image
    }

    /// The process whose pid namespace an ephemeral container joins.
    private func targetProcess(of record: ContainerRecord) throws -> Int32? {
        guard let target = record.spec["targetContainerName"]?.string, !target.isEmpty else { return nil }
        guard let run = runs[target], !run.process.hasEnded else {
            throw ConfigurationError("unable to find target container \"\(target)\"")
        }
        return run.process.pid
    }

    private func launch(
        _ name: String, _ image: Image, _ prepared: ContainerStarter.Prepared
    ) async throws -> ContainerRun? {
        change(name) { record in
            if !record.containerID.isEmpty { record.restartCount += 1 }
            record.containerID = ContainerRecord.scheme + prepared.id
            record.imageID = image.id
            record.identity = prepared.identity
            record.last = record.termination ?? record.last
        }
        guard let record = record(name) else { return nil }
        event("Created", "Container created", of: record)
        let run: ContainerRun
        do {
            run = try await starter(pod).start(prepared, name: name, attempt: record.restartCount)
        } catch let error as StartError {
            change(name) {
                $0.last = ContainerRecord.Termination(
                    exitCode: 128, reason: "StartError", message: "\(error)", startedAt: Timestamp(seconds: 0),
                    finishedAt: .now, containerID: $0.containerID)
            }
            fail(name, reason: "RunContainerError", "\(error)")
            return nil
        }
        runs[name] = run
        try? RunRecord(pod: uid, container: name, attempt: record.restartCount, run: run).save(in: context.layout)
        removeOldLogs(of: name, attempt: record.restartCount)
        change(name) { record in
            record.state = .running(since: run.startedAt)
            record.isStarted = record.spec["startupProbe"] == nil
            record.isReady = record.kind == .main && record.isStarted && record.spec["readinessProbe"] == nil
        }
        event("Started", "Container started", of: record)
        publish()
        if record.isSidecar { nudge() }
        if let hook = record.spec.at("lifecycle", "postStart"),
            await !runHook(hook, "PostStart", name, run, within: .seconds(max(grace, 30)))
        {
            run.process.signal(SIGKILL)
        }
        return run
    }

    private func fail(_ name: String, reason: String, _ message: String, eventMessage: String? = nil) {
        change(name) {
            $0.state = .waiting(reason: reason, message: message)
            $0.isReady = false
            $0.isStarted = false
        }
        event("Failed", eventMessage ?? "Error: \(message)", of: record(name), isWarning: true)
        publish()
    }

    /// Keeps the present and the previous run's output.
    private func removeOldLogs(of name: String, attempt: Int) {
        let folder = context.layout.logs(ofContainer: name, inPod: uid)
        for file in Disk.names(in: folder) {
            if let number = Int(file.prefix { $0 != "." }), number < attempt - 1 { _ = unlink("\(folder)/\(file)") }
        }
    }
}

/// What is on disk about a run, so that the next playground finds it again.
struct RunRecord {
    let pod: String
    let container: String
    let attempt: Int
    let id: String
    let pid: Int32
    let startTime: UInt64
    let startedAt: Timestamp
    let stopSignal: Int32
    let template: JSON

    private static let file = "run.json"

    init(pod: String, container: String, attempt: Int, run: ContainerRun) {
        self.pod = pod
        self.container = container
        self.attempt = attempt
        id = run.id
        pid = run.process.pid
        startTime = run.process.startTime
        startedAt = run.startedAt
        stopSignal = run.stopSignal
        template = run.template
    }

    /// The record in a container's folder; `nil` where it was never started.
    init?(_ id: String, in layout: NodeLayout) {
        guard let bytes = try? Disk.read("\(layout.container(id))/\(RunRecord.file)"),
            let json = try? JSON(parsing: bytes), let pod = json["pod"]?.string,
            let container = json["container"]?.string, let pid = json["pid"]?.integer.flatMap(Int32.init(exactly:)),
            let startTime = json["startTime"]?.integer.flatMap(UInt64.init(exactly:)),
            let startedAt = json["startedAt"]?.string.flatMap({ Timestamp($0) })
        else { return nil }
        self.id = id
        self.pod = pod
        self.container = container
        self.pid = pid
        self.startTime = startTime
        self.startedAt = startedAt
        attempt = Int(json["attempt"]?.integer ?? 0)
        stopSignal = json["stopSignal"]?.integer.flatMap(Int32.init(exactly:)) ?? SIGTERM
        template = json["process"] ?? [:]
    }

    func save(in layout: NodeLayout) throws {
        let json: JSON = [
            "pod": .string(pod), "container": .string(container), "attempt": .integer(Int64(attempt)),
            "pid": .integer(Int64(pid)), "startTime": .integer(Int64(startTime)),
            "startedAt": .string(startedAt.description), "stopSignal": .integer(Int64(stopSignal)), "process": template,
        ]
        try Disk.write(json.bytes, to: "\(layout.container(id))/\(RunRecord.file)", mode: 0o600)
    }

    static func all(in layout: NodeLayout) -> [RunRecord] {
        Disk.names(in: layout.containers).compactMap { RunRecord($0, in: layout) }
    }
}

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

    private func adopt(_ saved: RunRecord) {
        guard let process = ContainerProcess(pid: saved.pid, startTime: saved.startTime),
            let log = try? ContainerLog(
                context.layout.log(ofContainer: saved.container, inPod: uid, attempt: saved.attempt)),
            let pump = try? LogPump(from: context.layout.container(saved.id), into: log)
        else {
            // It ended while nobody looked: its code is lost, its remains go when the node has started.
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
                user: UInt32(user["uid"]?.integer ?? 0), group: UInt32(user["gid"]?.integer ?? 0),
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
