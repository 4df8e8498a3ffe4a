internal import Glibc
internal import Reactor
internal import Synchronization
internal import Watcher

/// A session that runs: the cluster, the watcher, and every service with its lane.
struct SessionRun: Sendable {
    let configuration: Configuration
    let options: Session.Options
    let emit: @Sendable (LoopEvent) -> Void
    /// Its name in leases: services of one workload share what it holds.
    let name = SessionRun.randomName()
    /// What it has applied.
    var ledger = AppliedLedger()

    var services: [Service] {
        SessionRun.inOrder(configuration.services.filter(isChosen))
    }

    /// Whether the command line means a service: by its name, or by naming none.
    func isChosen(_ service: Service) -> Bool { options.services.isEmpty || options.services.contains(service.name) }

    /// Runs until the task is cancelled, or until every container is equal once when `once` is set.
    func run(once: Bool) async -> Outcome {
        await onCluster { await run(on: $0, once: once) }
    }

    /// Opens the cluster, tells of the session's beginning and end, and closes it after `body`.
    func onCluster(_ body: (ClusterConnection) async -> Outcome) async -> Outcome {
        let connection: ClusterConnection
        do {
            connection = try await ClusterConnection.open(configuration.cluster, programs: options.programs)
        } catch {
            return outcome(of: error)
        }
        report(
            .started(
                project: configuration.project, context: connection.context.name, namespace: configuration.namespace))
        let result = await body(connection)
        await connection.close()
        report(.stopped)
        return result
    }

    /// How long the start waits for images, so that manifests have them from the beginning.
    private static let imagePatience = Duration.seconds(10)

    private func run(on connection: ClusterConnection, once: Bool) async -> Outcome {
        var devModes: [String: DevModeSession] = [:]
        do {
            let scratch = try SocketDirectory.create()
            defer { scratch.remove() }
            let images = try SessionImages(
                configuration, options, chosen: Set(services.map(\.name)), connection, home: imageHome(connection),
                scratch: scratch.path, emit: emit)
            devModes = Dictionary(
                uniqueKeysWithValues: services.compactMap { service in
                    devMode(service, connection, images: images.set, once: once).map { (service.name, $0) }
                })
            var runs: [ServiceRun] = []
            var hosts: [HostRun] = []
            let claims = HostPortClaims()
            for service in services {
                let lanes = runs.filter { service.dependsOn.contains($0.service.name) }.flatMap(\.lanes)
                let host = try hostRun(service, images: images.set, claims: claims, connection, scratch: scratch.path)
                if let host { hosts.append(host) }
                let run = try serviceRun(
                    service, after: lanes, devModes, images, host: host, connection, scratch: scratch.path)
                if let run { runs.append(run) }
            }
            let sessions = Array(devModes.values)
            let inputs = deployInputs(connection, sessions, images.set, scratch: scratch.path)
            let start = StartManifests(options.deploy ? services : [], inputs, emit: report)
            let deployments = Deployments(services, inputs, start, deploys: options.deploy, emit: emit)
            let nix = NixBuilds(
                services, runs.flatMap(\.lanes), configuration, connection, deploys: options.deploy,
                roots: scratch.path,
                prepare: { await inputs.carry($0, .server) }, images: inputs.images, clues: inputs.clues, emit: emit)
            let builds = SessionBuilds(
                runs.flatMap(\.lanes), configuration, nix: nix, images: images, deployments: deployments,
                hosts: hosts, leash: connection.leash, emit: emit)
            let areBuilt = await builds.buildImages(limit: once ? nil : SessionRun.imagePatience)
            if areBuilt == nil { report(.notice("images are still being built: everything else goes on meanwhile")) }
            async let recreations: Void = finishRecreations(connection.client, limit: once ? .seconds(90) : nil)
            if once { await recreations }
            let isApplied = await deploy(start, connection)
            let isDeployed = isApplied && areBuilt != false
            await images.attach(runs, isLate: areBuilt == nil) { await builds.settle(images: $0) }
            let firstBuilds = Task {
                // Dev mode may be waiting for an image, but not for one that cannot be built.
                _ = await builds.untilImagesBuilt()
                await images.expectNoMore()
            }
            defer { firstBuilds.cancel() }
            let forwards = Task { if !once { await keepForwards(connection) } }
            let isIdle =
                runs.isEmpty && hosts.isEmpty && !hasForwards && nix.isEmpty && images.isEmpty && deployments.isEmpty
            let over = Wish<Outcome?>(nil)
            let programs = Task { [hosts] in await keep(hosts, over: over) }
            var outcome = await work(runs, builds, isIdle: isIdle, once: once, over: over)
            // Pods first, so that their own service answers before the program here has ended.
            await withDiscardingTaskGroup { group in for host in hosts { group.addTask { await host.leavePods() } } }
            programs.cancel()
            await builds.end()
            await programs.value
            forwards.cancel()
            await forwards.value
            await withDiscardingTaskGroup { group in for host in hosts { group.addTask { await host.end() } } }
            if once, outcome == .done, !isDeployed { outcome = .failed }
            await withTaskGroup { group in
                for run in runs {
                    group.addTask { await run.leave() }
                    group.addTask { await run.end() }
                }
            }
            if options.cleanup { await cleanUp(connection) }
            return outcome
        } catch {
            for dev in devModes.values { await dev.abandon() }
            return outcome(of: error)
        }
    }

    /// Watches and follows pods until something ends the session.
    private func work(
        _ runs: [ServiceRun], _ builds: SessionBuilds, isIdle: Bool, once: Bool, over: Wish<Outcome?>
    ) async -> Outcome {
        guard !isIdle else {
            report(.notice("no service has rules: there is nothing to sync"))
            return .done
        }
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
        let surveyed = Gate()
        return await withTaskGroup(of: Outcome?.self) { group in
            group.addTask { await self.follow(watcher, runs, builds) { surveyed.signal() } }
            group.addTask {
                await builds.run()
                return nil
            }
            group.addTask {
                await over.untilChanged(from: nil)
                return over.value
            }
            if once {
                group.addTask {
                    await surveyed.pass()
                    let isBuilt = await builds.untilIdle()
                    let outcome = await self.untilConverged(runs)
                    return outcome == .done && !isBuilt ? .failed : outcome
                }
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            watcher.stop()
            return Task.isCancelled ? .interrupted : first ?? .interrupted
        }
    }

    /// Returns once every container has everything, or after a minute, in which pods that come up at all would have.
    private func untilConverged(_ runs: [ServiceRun]) async -> Outcome? {
        await withTaskGroup(of: Outcome?.self) { group in
            group.addTask {
                let lanes = runs.flatMap(\.lanes)
                for lane in lanes { await lane.untilConverged() }
                if Task.isCancelled { return nil }
                for lane in lanes where await !lane.isWhole { return .failed }
                return .done
            }
            group.addTask { await self.giveUp(runs) }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    /// Feeds the lanes; once every lane has seen the tree, the services follow their pods.
    private func follow(
        _ watcher: Watcher, _ runs: [ServiceRun], _ builds: SessionBuilds,
        onSurveyed: @escaping @Sendable () -> Void
    ) async -> Outcome? {
        let ready = Gate()
        return await withTaskGroup(of: Outcome?.self) { group in
            group.addTask {
                let loop = WatchLoop(
                    watcher: watcher, lanes: runs.flatMap(\.lanes), builds: builds, startFiles: startFiles,
                    emit: self.emit
                ) {
                    onSurveyed()
                    ready.signal()
                }
                do {
                    try await loop.run()
                    return nil
                } catch {
                    return self.outcome(of: error)
                }
            }
            group.addTask {
                await ready.pass()
                await builds.untilApplied()
                return Task.isCancelled ? nil : await self.followPods(runs)
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            watcher.stop()
            return first
        }
    }

    /// Lets every service follow its pods; one that cannot, because another loopd has its workload, ends alone.
    private func followPods(_ runs: [ServiceRun]) async -> Outcome? {
        // A session that only deploys has no pods to follow, and ends when it is ended.
        if runs.isEmpty { await Gate().pass() }
        return await withTaskGroup(of: Outcome?.self) { group in
            for run in runs {
                group.addTask {
                    do {
                        try await run.run()
                        return nil
                    } catch {
                        let outcome = self.outcome(of: error, service: run.service.name)
                        if !Task.isCancelled { await run.leave() }
                        return outcome
                    }
                }
            }
            var outcome: Outcome?
            var going = runs.count
            while let ended = await group.next() {
                outcome = ended ?? outcome
                going -= 1
                if ended == .failed, going > 0 { report(.notice("the other services go on")) }
            }
            return outcome
        }
    }

    /// The end of patience of a single `sync`: pods that do not come up in a minute will not.
    ///
    /// A large transfer or a slow step may take longer.
    private func giveUp(_ runs: [ServiceRun]) async -> Outcome? {
        let limit = 60
        var patience = limit
        while patience > 0 {
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return nil }
            var isReached = true
            for lane in runs.flatMap(\.lanes) where await !lane.isReached { isReached = false }
            patience = isReached ? limit : patience - 1
        }
        report(
            .failed(
                LoopEvent.Failure(
                    "not every container could be reached within a minute",
                    nextStep: "the lines above say why; `loopd status` shows the pods")))
        return .failed
    }

    // MARK: - Beginning

    private var startFiles: StartFiles {
        let name = configuration.file.split(separator: "/").last.map(String.init) ?? configuration.file
        return StartFiles(
            project: configuration.directory, configuration: "\(configuration.directory)/\(name)",
            manifests: options.deploy ? services.flatMap(\.manifests) : [])
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

    static func randomName() -> String {
        var generator = SystemRandomNumberGenerator()
        return String(generator.next(), radix: 36)
    }

    func report(_ kind: LoopEvent.Kind) { emit(LoopEvent(kind)) }
}
