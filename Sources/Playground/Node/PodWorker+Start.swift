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
        // A container after a sidecar, or an ephemeral one, may wait for this one.
        if record.kind != .ephemeral { nudge() }
        if let hook = record.spec.at("lifecycle", "postStart"),
            await !runHook(hook, "PostStart", name, run, within: .seconds(max(grace, 30))), !Task.isCancelled
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
