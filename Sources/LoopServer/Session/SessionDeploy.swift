internal import JSON
internal import Reactor

/// One deployment, as `loopd deploy` does it: everything is built and compared first, then asked about, then applied.
extension SessionRun {
    /// Deploys once; stops after the comparison when `dryRun` is set, or when `confirm` says no.
    func deploy(dryRun: Bool, confirm: @escaping @Sendable () async -> Bool) async -> Outcome {
        await onCluster { connection in
            do {
                let isWhole = try await deploy(on: connection, dryRun: dryRun, confirm: confirm)
                return Task.isCancelled ? .interrupted : isWhole ? .done : .failed
            } catch {
                let result = outcome(of: error)
                return Task.isCancelled ? .interrupted : result
            }
        }
    }

    /// Something to deploy, and whether there is something to carry out.
    private struct Waiting {
        let work: any Deploying
        let emit: @Sendable (LoopEvent.Kind) -> Void
        var isChange = false
    }

    /// False when something has failed, which is reported.
    private func deploy(
        on connection: ClusterConnection, dryRun: Bool, confirm: @Sendable () async -> Bool
    ) async throws -> Bool {
        let scratch = try SocketDirectory.create()
        defer { scratch.remove() }
        let devModes = services.compactMap { devMode($0, connection, once: true) }
        let images = try SessionImages(
            configuration, options, chosen: Set(services.map(\.name)), connection, home: imageHome(connection),
            scratch: scratch.path, emit: emit)
        var inputs = deployInputs(connection, devModes, images.set, scratch: scratch.path)
        inputs.isAsked = true
        let start = StartManifests(services, inputs, emit: report)
        await tellOfRemovedServices(connection)
        var waiting = works(inputs)
        guard services.contains(where: { !$0.manifests.isEmpty }) || !waiting.isEmpty else {
            report(.notice("no service has manifests or a rule that deploys: there is nothing to deploy"))
            return true
        }
        // A look changes nothing in a registry either: what runs keeps its image in it.
        if !dryRun, await !build(images, inputs, start) { return false }
        let isNewNamespace = try await !connection.hasNamespace(configuration.namespace)
        var lines = isNewNamespace ? ["+ namespace/\(configuration.namespace)"] : []
        lines += try await start.difference(isNewNamespace: isNewNamespace)
        if !lines.isEmpty { report(.diff(lines: ManifestDiff.shortened(lines))) }
        for number in waiting.indices {
            let next = waiting[number]
            guard
                let isChange = await DeployAttempt.run(
                    next.emit, { try await next.work.plan(isNewNamespace: isNewNamespace) })
            else { return false }
            waiting[number].isChange = isChange
        }
        guard !lines.isEmpty || waiting.contains(where: \.isChange) else {
            if !dryRun { try await start.remember() }
            report(.deployed(objects: [], milliseconds: 0))
            return await areRolledOut(waiting)
        }
        if dryRun { return await areRolledOut(waiting) }
        guard await confirm() else {
            report(.notice("nothing was applied"))
            return true
        }
        return try await carryOut(waiting, start, inputs)
    }

    /// Builds the images that the manifests name; false when one could not be built, which is reported.
    private func build(
        _ images: SessionImages, _ inputs: Deployments.Inputs, _ start: StartManifests
    ) async -> Bool {
        let connection = inputs.connection
        let builds = SessionBuilds(
            [], configuration, nix: NixBuilds([], [], configuration, connection, deploys: false, emit: emit),
            images: images, deployments: Deployments([], inputs, start, emit: emit), leash: connection.leash, emit: emit
        )
        let areBuilt = await builds.buildImages()
        await builds.end()
        return areBuilt ?? false
    }

    /// What the rules of the services deploy.
    private func works(_ inputs: Deployments.Inputs) -> [Waiting] {
        let emit = emit
        func teller(_ service: String) -> @Sendable (LoopEvent.Kind) -> Void {
            { emit(LoopEvent($0, service: service)) }
        }
        let nix = NixRules(services.map { ServicePlan($0, project: configuration.directory) }).entries.filter {
            !$0.plan.service.rules[$0.rule].needsPods
        }
        let built = nix.compactMap { entry -> Waiting? in
            let tell = teller(entry.plan.service.name)
            return NixDeployment(entry, inputs, emit: tell).map { Waiting(work: $0, emit: tell) }
        }
        let others = DeployRules(services, project: configuration.directory).entries.enumerated().map { number, entry in
            let tell = teller(entry.service)
            return Waiting(work: Deployments.work(entry, number, inputs, emit: tell), emit: tell)
        }
        return built + others
    }

    private func carryOut(
        _ waiting: [Waiting], _ start: StartManifests, _ inputs: Deployments.Inputs
    ) async throws -> Bool {
        let connection = inputs.connection
        let started = monotonicNow()
        let isMade = try await connection.ensureNamespace(configuration.namespace)
        var objects = isMade ? ["namespace/\(configuration.namespace) created"] : []
        objects += try await start.apply()
        if !objects.isEmpty {
            report(.deployed(objects: objects, milliseconds: Double(monotonicNow() - started) / 1e6))
        }
        let rollouts = RolloutFollower(connection.client, clues: inputs.clues, ledger: connection.told, emit: report)
        let workloads = await start.workloads
        if !workloads.isEmpty { await rollouts.follow(workloads, since: started) }
        var isWhole = true
        for next in waiting {
            if next.isChange {
                let isApplied: Void? = await DeployAttempt.run(next.emit) { try await next.work.carryOut() }
                isWhole = isWhole && isApplied != nil
            } else {
                next.emit(.deployed(objects: [], milliseconds: 0))
            }
        }
        let areWhole = [await rollouts.untilDone(), await areRolledOut(waiting)]
        return isWhole && areWhole.allSatisfy(\.self)
    }

    /// Whether what was applied runs, and nothing had to stay as it was.
    private func areRolledOut(_ waiting: [Waiting]) async -> Bool {
        var isWhole = true
        for next in waiting {
            let isRolledOut = await next.work.untilRolledOut()
            isWhole = isWhole && isRolledOut
        }
        return isWhole
    }
}

extension ClusterConnection {
    /// Whether a namespace is there, as far as anybody may look.
    func hasNamespace(_ name: String) async throws -> Bool {
        do {
            _ = try await client.get(.namespaces, name)
            return true
        } catch let error as KubeError {
            return !error.isNotFound
        }
    }
}
