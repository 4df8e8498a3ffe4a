internal import Glibc
internal import Reactor
internal import Synchronization
internal import Watcher

/// A session that runs: the cluster, the watcher, and every service with its lane.
struct SessionRun: Sendable {
    let configuration: Configuration
    let options: Session.Options
    let emit: @Sendable (LoopEvent) -> Void

    private var services: [Service] {
        let chosen = configuration.services.filter {
            options.services.isEmpty || options.services.contains($0.name)
        }
        return SessionRun.inOrder(chosen)
    }

    /// Runs until the task is cancelled, or until every container is equal once when `once` is set.
    func run(once: Bool) async -> Outcome {
        let connection: ClusterConnection
        do {
            connection = try await ClusterConnection.open(configuration.cluster, programs: options.programs)
        } catch {
            return outcome(of: error)
        }
        report(
            .started(
                project: configuration.project, context: connection.context.name, namespace: configuration.namespace))
        let result = await run(on: connection, once: once)
        await connection.close()
        report(.stopped)
        return result
    }

    private func run(on connection: ClusterConnection, once: Bool) async -> Outcome {
        do {
            try await deploy(connection)
            let scratch = try SocketDirectory.create()
            defer { scratch.remove() }
            var runs: [ServiceRun] = []
            for service in services {
                let lanes = runs.filter { service.dependsOn.contains($0.service.name) }.map(\.lane)
                if let run = try serviceRun(service, after: lanes, connection, scratch: scratch.path) {
                    runs.append(run)
                }
            }
            let outcome = await work(runs, once: once)
            await withTaskGroup { group in
                for run in runs {
                    group.addTask { await run.lane.end() }
                    group.addTask { await run.end() }
                }
            }
            return outcome
        } catch {
            return outcome(of: error)
        }
    }

    /// Watches and follows pods until something ends the session.
    private func work(_ runs: [ServiceRun], once: Bool) async -> Outcome {
        let watcher: Watcher
        do {
            watcher = try Watcher(root: configuration.directory, options: watchOptions)
        } catch {
            report(.failed(LoopEvent.Failure("\(configuration.directory) cannot be watched: \(error)")))
            return .failed
        }
        if !once, let notice = fileSystemNotice(configuration.directory), configuration.watch.poll == nil {
            report(.notice(notice))
        }
        defer { watcher.stop() }
        return await withTaskGroup(of: Outcome?.self) { group in
            group.addTask { await self.follow(watcher, runs) }
            if once {
                group.addTask {
                    for run in runs { await run.lane.untilConverged() }
                    if Task.isCancelled { return nil }
                    for run in runs where await !run.lane.isWhole { return .failed }
                    return .done
                }
                group.addTask { await self.giveUp(runs) }
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            watcher.stop()
            return Task.isCancelled ? .interrupted : first ?? .interrupted
        }
    }

    /// Feeds the lanes; once every lane has seen the tree, the services follow their pods.
    private func follow(_ watcher: Watcher, _ runs: [ServiceRun]) async -> Outcome? {
        let ready = Gate()
        return await withTaskGroup(of: Outcome?.self) { group in
            group.addTask {
                let loop = WatchLoop(watcher: watcher, lanes: runs.map(\.lane), emit: self.emit) { ready.signal() }
                do {
                    try await loop.run()
                    return nil
                } catch {
                    return self.outcome(of: error)
                }
            }
            group.addTask {
                await ready.pass()
                return Task.isCancelled ? nil : await self.followPods(runs)
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            watcher.stop()
            return first
        }
    }

    private func followPods(_ runs: [ServiceRun]) async -> Outcome? {
        await withTaskGroup(of: Outcome?.self) { group in
            for run in runs {
                group.addTask {
                    do {
                        try await run.run()
                        return nil
                    } catch {
                        return self.outcome(of: error, service: run.service.name)
                    }
                }
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    /// The end of patience of a single `sync`: pods that do not come up in a minute will not.
    private func giveUp(_ runs: [ServiceRun]) async -> Outcome? {
        guard (try? await Task.sleep(for: .seconds(60))) != nil else { return nil }
        report(
            .failed(
                LoopEvent.Failure(
                    "not every container could be brought up to date within a minute",
                    nextStep: "the lines above say why; `loopd status` shows the pods")))
        return .failed
    }

    // MARK: - Beginning

    private func deploy(_ connection: ClusterConnection) async throws {
        guard options.deploy else { return }
        let started = monotonicNow()
        do {
            var objects: [String] = []
            if try await connection.ensureNamespace(configuration.namespace) {
                objects.append("namespace/\(configuration.namespace) created")
            }
            let manifests = services.flatMap(\.manifests)
            guard !manifests.isEmpty || !objects.isEmpty else { return }
            objects += try await connection.apply(manifests, namespace: configuration.namespace)
            report(.deployed(objects: objects, milliseconds: Double(monotonicNow() - started) / 1e6))
        } catch let failure as LoopFailure {
            // The pods may be there from before: the loop goes on.
            report(.failed(failure.failure))
        } catch let error as KubeError {
            report(.failed(LoopEvent.Failure("namespace \(configuration.namespace): \(error.message)")))
        }
    }

    private func serviceRun(
        _ service: Service, after dependencies: [ServiceLane], _ connection: ClusterConnection, scratch: String
    ) throws -> ServiceRun? {
        guard let target = service.target else { return nil }
        let plan = ServicePlan(service, project: configuration.directory)
        let pods = KubePods(
            client: connection.client, namespace: configuration.namespace, kubectl: connection.context.kubectl,
            leash: connection.leash)
        let vias = Set(service.rules.map(\.sync.via))
        let folder = "\(scratch)/\(service.name)"
        guard mkdir(folder, 0o700) == 0 else { throw SystemError.last("mkdir \(folder)") }
        let emit = emit
        let name = service.name
        let ladder = Ladder(
            objects: pods, exec: pods, commands: pods, programs: options.programs,
            helperImage: configuration.cluster.usedHelperImage,
            transport: vias.contains(.cp) ? .cp : vias.contains(.exec) ? .exec : .automatic,
            destinations: plan.destinations.map(\.path), scratch: folder
        ) { emit(LoopEvent($0, service: name)) }
        let lane = ServiceLane(
            plan, tree: LocalTree(root: configuration.directory), connector: ladder,
            ignore: try IgnoreRules(root: configuration.directory, patterns: configuration.watch.ignore),
            journal: Journal(path: journalPath(service, connection), destinations: plan.destinations),
            dependencies: dependencies, emit: emit)
        return ServiceRun(
            service, target: target, lane: lane, client: connection.client, namespace: configuration.namespace,
            session: SessionRun.randomName(), takeOver: options.takeOver, emit: emit)
    }

    /// One journal for each service on each cluster, beside those of other projects.
    private func journalPath(_ service: Service, _ connection: ClusterConnection) -> String? {
        let folder = "\(options.stateDirectory)/journals"
        for path in [options.stateDirectory, folder] where mkdir(path, 0o700) != 0 && errno != EEXIST { return nil }
        let parts = [
            connection.context.name, connection.context.server, configuration.namespace, configuration.directory,
            service.name,
        ]
        let digest = SHA256Digest(of: Array(parts.joined(separator: "\0").utf8))
        return "\(folder)/\(service.name)-\(digest.hex.prefix(16))"
    }

    private var watchOptions: WatchOptions {
        var options = WatchOptions()
        options.debounce = configuration.watch.debounce
        options.maxWait = configuration.watch.maxWait
        options.ignore = configuration.watch.ignore
        options.poll = configuration.watch.poll
        return options
    }

    /// Services after those that they depend on; the order of the file otherwise.
    static func inOrder(_ services: [Service]) -> [Service] {
        var placed: [Service] = []
        var waiting = services
        while !waiting.isEmpty {
            let names = Set(waiting.map(\.name))
            let free = waiting.firstIndex { $0.dependsOn.allSatisfy { !names.contains($0) } }
            // A circle, which the configuration refuses, would otherwise wait for ever.
            placed.append(waiting.remove(at: free ?? 0))
        }
        return placed
    }

    private static func randomName() -> String {
        var generator = SystemRandomNumberGenerator()
        return String(generator.next(), radix: 36)
    }

    // MARK: - Words

    private func outcome(of error: any Error, service: String? = nil) -> Outcome {
        switch error {
        case is CancellationError: return .interrupted
        case let error as ClusterError:
            emit(LoopEvent(.failed(error.failure)))
            return .cluster
        case let held as LeaseHeld:
            emit(LoopEvent(.failed(held.failure), service: service))
            return .failed
        case let failure as LoopFailure:
            emit(LoopEvent(.failed(failure.failure), service: service))
            return .failed
        default:
            if Task.isCancelled { return .interrupted }
            emit(LoopEvent(.failed(LoopEvent.Failure("\(error)")), service: service))
            return .failed
        }
    }

    private func report(_ kind: LoopEvent.Kind) { emit(LoopEvent(kind)) }
}
