internal import Glibc
internal import JSON
internal import Reactor

/// The release of one chart.
actor HelmDeployment: Deploying {
    /// What an upgrade is going to do.
    private struct Pending {
        let helm: HelmCommand
        let inputs: HelmCommand.Inputs
        let definitions: ManifestApply.Plan
        let changed: [ObjectReference]
        let major: Int
        let forcesConflicts: Bool
        /// Whether there is no release yet.
        let isNew: Bool
    }

    private let service: String
    private let release: HelmRelease
    private let inputs: Deployments.Inputs
    /// For images in values, and what helm renders.
    private let folder: String
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let rollouts: RolloutFollower
    private var pending: Pending?
    private var toldWaiting: Set<String> = []
    /// Definitions that stay as they are.
    private var toldImmutable: Set<String> = []
    private var toldUnreached: Set<String> = []
    /// The images in what was rendered last, those too that it waits for.
    private(set) var images: Set<String> = []

    /// Nothing happens before the first call; `folder` is private, and made where it is missing.
    init(
        _ release: HelmRelease, of service: String, _ inputs: Deployments.Inputs, folder: String,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.release = release
        self.service = service
        self.inputs = inputs
        self.folder = folder
        self.emit = emit
        rollouts = RolloutFollower(
            inputs.connection.client, clues: inputs.clues, ledger: inputs.connection.told, emit: emit)
    }

    private var connection: ClusterConnection { inputs.connection }
    private var namespace: String { inputs.configuration.namespace }

    // MARK: Planning

    func plan(isNewNamespace: Bool) async throws -> Bool {
        pending = nil
        guard let helm = HelmCommand.find(for: connection.context, namespace: namespace) else {
            throw HelmCommand.missing(release.name)
        }
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw SystemError.last("mkdir \(folder)") }
        let given = try expanded(await inputs.images())
        images = given.used.union(given.missing)
        guard isComplete(given.missing) else { return false }
        async let version = run(helm.version)
        async let state = HelmRun(connection.leash).state(of: release.name, helm)
        async let definitions = definitions(helm)
        let now = try await state
        if let now, let remedy = helm.remedy(release.name, status: now.status) {
            throw failure("release \(release.name) is \(now.status): helm changes nothing", nextStep: remedy)
        }
        let brought = try await definitions
        let rendered = try await render(helm, given.value, brought)
        let before = try await self.objects(of: now?.text ?? "")
        let major = HelmCommand.major(try await version) ?? 3
        try Task.checkCancellation()
        let hooks = rendered.filter(HelmHooks.isHook)
        if major < 4 { await tellUnreached(hooks, isUpgrade: now != nil) }
        let plain = rendered.filter { !HelmHooks.isHook($0) }
        let (objects, waiting) = try await imaged(major < 4 ? plain : rendered)
        guard isComplete(waiting) else { return false }
        let difference = ReleaseDiff(
            from: before.filter { !HelmHooks.isHook($0) }, to: objects.filter { !HelmHooks.isHook($0) },
            namespace: namespace)
        let hookLines = HelmHooks.lines(
            from: before.filter(HelmHooks.isHook), to: major < 4 ? hooks : objects.filter(HelmHooks.isHook),
            revision: now?.revision, namespace: namespace)
        let lines = brought.lines + difference.lines + hookLines
        if lines.isEmpty, now?.status == "deployed" { return false }
        emit(.diff(lines: ManifestDiff.shortened(lines.isEmpty ? ["~ release/\(release.name)"] : lines)))
        pending = Pending(
            helm: helm, inputs: given.value, definitions: brought,
            changed: difference.changed.filter { $0.workload != nil },
            major: major, forcesConflicts: major >= 4 && (now?.isServerSide ?? true),
            isNew: now == nil || now?.status == "uninstalled")
        return true
    }

    /// Whether no image is missing; says of which one it waits for.
    private func isComplete(_ missing: Set<String>) -> Bool {
        defer { toldWaiting = missing }
        guard !missing.isEmpty else { return true }
        if missing != toldWaiting {
            emit(.notice(ManifestImages.words(ObjectReference.release(release.name), waitsFor: missing)))
        }
        return false
    }

    /// The release with images in its values: files that name some are copied.
    private func expanded(_ images: ManifestImages) throws -> ManifestImages.Replaced<HelmCommand.Inputs> {
        var result = ManifestImages.Replaced(value: HelmCommand.Inputs(release))
        for (number, path) in release.valuesFiles.enumerated() {
            let shown = Manifests.shown(path, in: inputs.configuration.directory)
            let bytes: [UInt8]
            do {
                bytes = try SmallFile.read(path, limit: 16 << 20)
            } catch {
                throw failure("values of release \(release.name): \(error)", nextStep: "mend \"valuesFiles\"")
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let replaced = try images.expanded(text, in: shown)
            result.used.formUnion(replaced.used)
            result.missing.formUnion(replaced.missing)
            guard replaced.value != text else { continue }
            let copy = "\(folder)/values-\(number).yaml"
            guard PrivateFile.write(Array(replaced.value.utf8), to: copy) != nil else {
                throw SystemError.last("write \(copy)")
            }
            result.value.valuesFiles[number] = copy
        }
        for (number, (key, value)) in release.set.sorted(by: { $0.key < $1.key }).enumerated() {
            guard let text = value.string else { continue }
            let replaced = try images.expanded(text, in: "\"set\" of release \(release.name)")
            result.used.formUnion(replaced.used)
            result.missing.formUnion(replaced.missing)
            let file = "\(folder)/set-\(number)"
            guard PrivateFile.write(Array(replaced.value.utf8), to: file) != nil else {
                throw SystemError.last("write \(file)")
            }
            result.value.texts[key] = file
        }
        return result
    }

    private func definitions(_ helm: HelmCommand) async throws -> ManifestApply.Plan {
        let apply = ManifestApply(forgetting: connection.client, namespace: namespace)
        let plan = try await apply.plan(objects(of: run(helm.definitions(release))))
        for failure in plan.immutable where !toldImmutable.contains(failure.summary) { emit(.failed(failure)) }
        toldImmutable = Set(plan.immutable.map(\.summary))
        return plan
    }

    private func render(
        _ helm: HelmCommand, _ given: HelmCommand.Inputs, _ brought: ManifestApply.Plan
    ) async throws -> [JSON] {
        do {
            let answer = try await run(helm.rendering(given))
            guard let json = try? JSON(parsing: Array(answer.utf8)) else {
                throw failure("helm does not say what it would apply for release \(release.name)")
            }
            return try await objects(of: HelmManifest.text(of: json))
        } catch let refused as LoopFailure {
            // The cluster does not know the kinds yet that the chart brings along.
            guard !brought.isEmpty, refused.failure.summary.contains("no matches for kind") else { throw refused }
            return try await objects(of: run(helm.template(given)))
        }
    }

    /// Says of hooks that keep their images: up to Helm 3 a post-renderer does not see them.
    private func tellUnreached(_ hooks: [JSON], isUpgrade: Bool) async {
        let known = await inputs.images()
        for hook in hooks where HelmHooks.counts(hook, isUpgrade: isUpgrade) {
            guard let reference = ObjectReference(hook) else { continue }
            for name in HelmHooks.unreached(in: hook, known).sorted() {
                let words =
                    "hook/\(reference) names image \(name), which a post-renderer of Helm 3 does not reach: "
                    + "use ${image:\(name)} in values"
                if toldUnreached.insert(words).inserted { emit(.notice(words)) }
            }
        }
    }

    private func objects(of text: String) async throws -> [JSON] {
        try await HelmManifest.objects(of: text, connection)
    }

    /// Objects with their images, and the images that are missing.
    private func imaged(_ rendered: [JSON]) async throws -> ([JSON], Set<String>) {
        let known = await inputs.images()
        let resources = APIResources(connection.client)
        var objects: [JSON] = []
        var missing: Set<String> = []
        for object in rendered {
            var replaced = try known.replaced(in: object)
            if !replaced.missing.isEmpty, let reference = ObjectReference(object),
                let resource = try await resources.resource(of: reference)
            {
                let live = try? await connection.client.get(
                    resource, reference.name, namespace: reference.namespace ?? namespace)
                replaced = try known.replaced(in: object, running: live)
            }
            let rolled = ObjectReference(object).map { inputs.rolled($0) } ?? []
            images.formUnion(replaced.used.subtracting(rolled).union(replaced.named).union(replaced.missing))
            missing.formUnion(replaced.missing)
            objects.append(replaced.value)
        }
        return (objects, missing)
    }

    // MARK: Carrying out

    func carryOut() async throws {
        guard let next = pending, let program = Programs.executable else { return }
        pending = nil
        await rollouts.begin()
        let started = monotonicNow()
        let definitions = ManifestApply(forgetting: connection.client, namespace: namespace)
        var done = try await definitions.apply(next.definitions)
        try await definitions.untilServed(next.definitions)
        if next.isNew { try await remember() }
        let renderer = try PostRenderer(folder: folder) { [weak self] in try await self?.transform($0) ?? [] }
        let answer: Result<String, any Error>
        do {
            var environment = next.helm.environment
            if next.major >= 4 { environment["HELM_PLUGINS"] = try renderer.plugins(program: program) }
            let command = next.helm.upgrade(
                next.inputs, postRenderer: renderer.arguments(major: next.major, program: program),
                forcesConflicts: next.forcesConflicts)
            answer = .success(try await run(command, environment: environment))
        } catch {
            answer = .failure(error)
        }
        await renderer.stop()
        do {
            let text = try answer.get()
            let revision = (try? JSON(parsing: Array(text.utf8)))?["version"]?.integer
            done.append("release/\(release.name)\(revision.map { " revision \($0)" } ?? "")")
        } catch let refused as LoopFailure {
            throw await explained(refused, renderer.failure, next.helm)
        }
        emit(.deployed(objects: done, milliseconds: Double(monotonicNow() - started) / 1e6))
        if !next.changed.isEmpty { await rollouts.follow(next.changed, since: started) }
    }

    /// Keeps that the release is of loopd's making, before it is: what was there before is never uninstalled.
    private func remember() async throws {
        let store = InventoryStore(
            client: connection.client, namespace: namespace, service: service, project: inputs.configuration.project,
            part: .releases)
        try await store.add(release: release.name)
    }

    /// What helm applies instead of what it has rendered.
    private func transform(_ rendered: [UInt8]) async throws -> [JSON] {
        let (objects, missing) = try await imaged(try await self.objects(of: String(decoding: rendered, as: UTF8.self)))
        if let name = missing.min() { throw failure("image \(name) has not been built yet") }
        var carried: [JSON] = []
        for object in objects { carried.append(await inputs.carry(object, .helm)) }
        return carried
    }

    /// A failed upgrade, with what to do about the state that it has left behind.
    private func explained(
        _ refused: LoopFailure, _ cause: LoopEvent.Failure?, _ helm: HelmCommand
    ) async -> LoopFailure {
        if let cause { return LoopFailure(failure: cause) }
        var failure = refused.failure
        guard let state = try? await HelmRun(connection.leash).state(of: release.name, helm) else { return refused }
        if let remedy = helm.remedy(release.name, status: state.status) {
            failure.nextStep = remedy
        } else if state.status == "failed" {
            failure.nextStep = "mend it and save; revision \(state.revision) has failed, and what it applied stays"
        }
        return LoopFailure(failure: failure)
    }

    private func run(_ command: [String], environment: [String: String]? = nil) async throws -> String {
        try await HelmRun(connection.leash).run(command, about: release.name, environment: environment)
    }

    private func failure(_ summary: String, nextStep: String? = nil) -> LoopFailure {
        LoopFailure(failure: LoopEvent.Failure(summary, nextStep: nextStep))
    }

    func untilRolledOut() async -> Bool { await rollouts.untilDone() && toldImmutable.isEmpty }

    func end() async { await rollouts.end() }
}
