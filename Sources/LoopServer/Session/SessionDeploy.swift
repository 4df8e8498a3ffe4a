internal import JSON
internal import Reactor
internal import Synchronization

/// One deployment, as `loopd deploy` does it: everything is built and compared first, then asked about, then applied.
extension SessionRun {
    /// What a service's deployment is waiting for.
    private struct Waiting {
        let deployer: Deployer
        let path: String
        let pending: Deployer.Pending
        let service: String
    }

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

    /// False when something has failed, which is reported.
    private func deploy(
        on connection: ClusterConnection, dryRun: Bool, confirm: @Sendable () async -> Bool
    ) async throws -> Bool {
        let manifests = services.flatMap(\.manifests)
        let entries = NixRules(services.map { ServicePlan($0, project: configuration.directory) }).entries.filter {
            !$0.plan.service.rules[$0.rule].needsPods
        }
        guard !manifests.isEmpty || !entries.isEmpty else {
            report(.notice("no service has manifests or a rule that deploys: there is nothing to deploy"))
            return true
        }
        let scratch = try SocketDirectory.create()
        defer { scratch.remove() }
        let devModes = services.compactMap { devMode($0, connection, once: true) }
        let isNewNamespace = try await !connection.hasNamespace(configuration.namespace)
        var lines = isNewNamespace ? ["+ namespace/\(configuration.namespace)"] : []
        lines += try await connection.difference(
            manifests, namespace: configuration.namespace, isNewNamespace: isNewNamespace, carriedBy: devModes,
            in: scratch.path)
        if !lines.isEmpty { report(.diff(lines: ManifestDiff.shortened(lines))) }
        var waiting: [Waiting] = []
        for entry in entries {
            guard let next = await prepare(entry, connection, devModes, isNewNamespace: isNewNamespace) else {
                return false
            }
            waiting.append(next)
        }
        let isChange = !lines.isEmpty || waiting.contains { if case .nothing = $0.pending { false } else { true } }
        guard isChange else {
            report(.deployed(objects: [], milliseconds: 0))
            return true
        }
        if dryRun { return true }
        guard await confirm() else {
            report(.notice("nothing was applied"))
            return true
        }
        return try await carryOut(waiting, manifests, connection, devModes, scratch: scratch.path)
    }

    /// An object that the server is to apply, with dev mode in it where it is meant to be.
    func carried(_ object: JSON, by sessions: [DevModeSession]) async -> JSON {
        let session = sessions.first { $0.isAbout(object, namespace: configuration.namespace) }
        return await session?.carry(object, by: .server, takeOver: options.takeOver) ?? object
    }

    /// Builds what a rule deploys and compares it with the cluster; `nil` when that failed, which is reported.
    private func prepare(
        _ entry: NixRules.Entry, _ connection: ClusterConnection, _ devModes: [DevModeSession], isNewNamespace: Bool
    ) async -> Waiting? {
        let service = entry.plan.service
        let emit = emit
        let emitKind: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: service.name)) }
        guard let installable = entry.installable, case .deploy(let deployment) = service.rules[entry.rule].action,
            let path = await build(entry, installable, connection, emitKind)
        else { return nil }
        var apply = ManifestApply(connection.client, namespace: configuration.namespace, service: service.name)
        apply.prepare = { await carried($0, by: devModes) }
        let deployer = Deployer(kluctl: deployment.kluctl, connection, apply, emit: emitKind)
        let pending = await deployer.attempt { try await deployer.plan(path, isNewNamespace: isNewNamespace) }
        return pending.map { Waiting(deployer: deployer, path: path, pending: $0, service: service.name) }
    }

    private func build(
        _ entry: NixRules.Entry, _ installable: Installable, _ connection: ClusterConnection,
        _ emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) async -> String? {
        let built = Mutex<String?>(nil)
        let lane = NixBuilds.lane(
            entry, installable, isForNodes: false, NodeSystems(connection.client), leash: connection.leash, emit: emit
        ) { _, _, answer in
            let path = NixBuilds.output(answer, installable, emit)
            built.withLock { $0 = path }
            return path != nil
        }
        let run = Task { await lane.run() }
        await lane.trigger(firstEvent: monotonicNow())
        await withTaskCancellationHandler {
            await lane.untilIdle()
        } onCancel: {
            run.cancel()
        }
        run.cancel()
        await run.value
        return built.withLock { $0 }
    }

    private func carryOut(
        _ waiting: [Waiting], _ manifests: [String], _ connection: ClusterConnection, _ devModes: [DevModeSession],
        scratch: String
    ) async throws -> Bool {
        let started = monotonicNow()
        var objects: [String] = []
        if try await connection.ensureNamespace(configuration.namespace) {
            objects.append("namespace/\(configuration.namespace) created")
        }
        objects += try await connection.apply(
            manifests, namespace: configuration.namespace, carriedBy: devModes, takeOver: options.takeOver, in: scratch)
        if !objects.isEmpty {
            report(.deployed(objects: objects, milliseconds: Double(monotonicNow() - started) / 1e6))
        }
        var isWhole = true
        for next in waiting {
            let isApplied: Void? = await next.deployer.attempt {
                try await next.deployer.carryOut(next.pending, of: next.path)
            }
            isWhole = isWhole && isApplied != nil
        }
        for next in waiting {
            let isRolledOut = await next.deployer.untilRolledOut()
            isWhole = isWhole && isRolledOut
        }
        return isWhole
    }
}

extension ClusterConnection {
    /// Whether a namespace is there, as far as anybody may look.
    fileprivate func hasNamespace(_ name: String) async throws -> Bool {
        do {
            _ = try await client.get(.namespaces, name)
            return true
        } catch let error as KubeError {
            return !error.isNotFound
        }
    }

    /// What applying manifests would change, object by object.
    fileprivate func difference(
        _ manifests: [String], namespace: String, isNewNamespace: Bool, carriedBy sessions: [DevModeSession],
        in folder: String
    ) async throws -> [String] {
        // Into a namespace that is not there nothing can be tried.
        if isNewNamespace { return manifests.map { "+ \($0)" } }
        let lines = try await apply(
            manifests, namespace: namespace, carriedBy: sessions, in: folder, dryRun: true)
        return lines.map { line in
            let words = line.split(separator: " ")
            let sign = words.count > 1 && words[1] == "created" ? "+" : "~"
            return "\(sign) \(words.first ?? "")"
        }
    }
}
