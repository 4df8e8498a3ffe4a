internal import JSON
internal import Reactor

/// Brings one image into one workload, and follows it until its pods run, and afterwards whether it stays.
///
/// Nothing of it ends a session: what fails is reported.
actor ImageRollout {
    /// What became of the newest image.
    private enum Progress: Equatable {
        case nothing
        case rolling
        case ended(isRolledOut: Bool)
    }

    nonisolated let image: RolledImage
    nonisolated let client: KubeClient
    nonisolated let namespace: String
    nonisolated let emit: @Sendable (LoopEvent.Kind) -> Void
    private let recreate: Bool
    private let dev: DevModeSession?
    private let clues: RegistryClues.Source
    private let ledger: CauseLedger?
    private let patience: Duration
    private var progress = Progress.nothing
    private var waiters: [Int: AsyncStream<Void>.Continuation] = [:]
    private var serial = 0
    private var setting: Task<Setting?, Never>?
    private var following: Task<Void, Never>?
    /// Whether what follows it ends it at a limit of its own.
    private var isFollowed = false
    private var wanted: String?
    /// What was deleted and is not there again yet.
    private var recreating: Task<JSON, any Error>?
    private var reverts = 0
    /// Whether fields of the workload are loopd's: this one has written, or one that was killed.
    private var ownsFields = false
    /// What could not be set because the workload is not there.
    private(set) var absent: String?

    /// - Parameters:
    ///   - recreate: whether what cannot be changed (a Job, a bare pod) may be deleted and made anew.
    ///   - dev: the session's dev mode of the workload, whichever service it belongs to.
    ///   - clues: what image names mean to the cluster.
    ///   - ledger: what others of the session tell about the same workload.
    ///   - patience: for each step of its end.
    init(
        _ image: RolledImage, recreate: Bool, dev: DevModeSession?, client: KubeClient, namespace: String,
        clues: @escaping RegistryClues.Source = { RegistryClues() }, ledger: CauseLedger? = nil,
        patience: Duration = DevModeSession.patience,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.image = image
        self.recreate = recreate
        self.dev = dev
        self.client = client
        self.namespace = namespace
        self.clues = clues
        self.ledger = ledger
        self.patience = patience
        self.emit = emit
    }

    /// The rollout of a rule's image; `nil` for a service that is no workload: the programs that make its pods name the
    /// image themselves.
    init?(
        _ image: Image, of service: Service, dev: DevModeSession?, client: KubeClient, namespace: String,
        clues: @escaping RegistryClues.Source = { RegistryClues() }, ledger: CauseLedger? = nil,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        guard case .workload(let kind, let name) = service.target else { return nil }
        self.init(
            RolledImage(kind: kind, name: name, image: image.name, container: image.container ?? service.container),
            recreate: service.recreate, dev: dev, client: client, namespace: namespace, clues: clues,
            ledger: ledger, emit: emit)
    }

    // MARK: - Setting the image

    /// Sets the image, and returns when the workload has it; following goes on.
    ///
    /// A workload that has it already is left as it is. A later call supersedes this one, which then returns false. False
    /// also when the image could not be set, which was reported. A cluster that does not answer is asked again until the
    /// task is cancelled.
    func roll(to reference: String) async -> Bool {
        // What is on its way already goes on.
        if reference == wanted, let setting { return await value(of: setting) != nil }
        setting?.cancel()
        following?.cancel()
        isFollowed = false
        wanted = reference
        if absent != reference { absent = nil }
        reverts = 0
        progress = .rolling
        return await start(reference, by: nil)
    }

    /// Sets the image and follows it; false where it was not set, or another one is wanted by now.
    private func start(_ reference: String, by manager: String?) async -> Bool {
        let task = Task { await self.set(reference, by: manager) }
        setting = task
        let result = await value(of: task)
        guard setting == task else { return false }
        guard let result else {
            wanted = nil
            end(isRolledOut: false)
            return false
        }
        following = Task { await self.follow(result) }
        return true
    }

    private func value(of task: Task<Setting?, Never>) async -> Setting? {
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
    }

    private func set(_ reference: String, by manager: String?) async -> Setting? {
        var backoff = Backoff(first: .milliseconds(10), limit: .seconds(10))
        var isTold = false
        let isKnownAbsent = absent == reference
        absent = nil
        while !Task.isCancelled {
            do {
                return try await setOnce(reference, by: manager)
            } catch let failure as LoopFailure {
                emit(.failed(failure.failure))
                return nil
            } catch let error as KubeError where error.isConflict {
                // A rollout writes the workload's status many times a second.
            } catch let error as KubeError
                where (400..<500).contains(error.code) && error.code != 401 && error.code != 429
            {
                if Task.isCancelled { return nil }
                if error.isNotFound { absent = reference }
                if !(error.isNotFound && isKnownAbsent) { emit(.failed(await refusal(error))) }
                return nil
            } catch {
                if Task.isCancelled { return nil }
                if !isTold { emit(.notice("\(image.workload) cannot get its image yet: \(error)")) }
                isTold = true
            }
            try? await Task.sleep(for: backoff.next())
        }
        return nil
    }

    private func setOnce(_ reference: String, by manager: String?) async throws -> Setting {
        // What was deleted is made first, whatever image it gets.
        if let recreating { _ = try? await finish(recreating) }
        try Task.checkCancellation()
        let (object, made) = try await present()
        ownsFields = ownsFields || FieldManagers.ownsImage(in: object, image.kind)
        guard let patch = try image.patch(object, to: reference) else {
            return Setting(reference: reference, object: object, started: made)
        }
        let place = try image.place(in: object)
        defer { ownsFields = true }
        if !image.kind.rollsOut {
            if let obstacle = Recreation.obstacle(to: object, image.kind, mayRecreate: recreate) {
                throw LoopFailure(failure: obstacle)
            }
            tell(place, reference, by: manager)
            return try await recreate(object, reference)
        }
        try Task.checkCancellation()
        if let dev, let changed = try await dev.roll(image, to: reference, in: object) {
            return try await patched(changed, place, reference, by: manager)
        }
        let target = try DevWorkload.withImage(image, reference, in: object)
        let whole = DevRecord(of: object) == nil ? patch : DevWorkload.patch(from: object, to: target) ?? patch
        let changed = try await client.patch(
            image.kind.resource, image.name, namespace: namespace, as: .json, whole)
        return try await patched(changed, place, reference, by: manager)
    }

    /// The workload, and since when it is made anew where it was found deleted for that: by a session that was killed, or
    /// by a request that came through when nobody waited for it any more.
    private func present() async throws -> (JSON, made: UInt64?) {
        do {
            return (try await client.get(image.kind.resource, image.name, namespace: namespace), nil)
        } catch let error as KubeError where error.isNotFound && !image.kind.rollsOut {
            let objects = KeptObjects(client: client, namespace: namespace)
            guard let kept = try await objects.find(image.kind, image.name) else { throw error }
            let started = monotonicNow()
            let recreation = recreation
            let task = Task { () async throws -> JSON in try await recreation.make(kept.manifest, after: kept.uid) }
            recreating = task
            return (try await finish(task), started)
        }
    }

    private var recreation: Recreation {
        Recreation(
            client: client, namespace: namespace, kind: image.kind, name: image.name, patience: patience, emit: emit)
    }

    private func patched(
        _ changed: JSON, _ place: RolledImage.Place, _ reference: String, by manager: String?
    ) async throws -> Setting {
        let started = monotonicNow()
        tell(place, reference, by: manager)
        if let reason = DevStep.standstill(of: changed, image.kind) { emit(.notice("\(image.workload) \(reason)")) }
        if !OutdatedPods.isOnDelete(changed) {
            // A StatefulSet waits for ever for a pod that is not ready, also for one that runs the image before.
            try? await StuckPods(client: client, namespace: namespace).replace(of: changed, image.kind) { pod in
                (pod.containers + pod.initContainers).contains {
                    $0.name == place.container && $0.image != reference
                }
            }
        }
        return Setting(reference: reference, object: changed, started: started)
    }

    private func recreate(_ object: JSON, _ reference: String) async throws -> Setting {
        let started = monotonicNow()
        let recreation = recreation
        let changed = try image.set(reference, in: object)
        // A task of its own: what is deleted is made anew, whatever else is wanted by then.
        let task = Task { try await recreation.replace(object, by: changed) }
        recreating = task
        return Setting(reference: reference, object: try await finish(task), started: started)
    }

    /// Waits for the end of a recreation; throws when this task is cancelled, while that one goes on.
    private func finish(_ task: Task<JSON, any Error>) async throws -> JSON {
        let (results, result) = AsyncStream<Result<JSON, any Error>>.makeStream()
        Task { result.yield(await task.result) }
        for await ended in results {
            if recreating == task { recreating = nil }
            return try ended.get()
        }
        throw CancellationError()
    }

    private func tell(_ place: RolledImage.Place, _ reference: String, by manager: String?) {
        emit(.rollingOut(workload: image.workload, container: place.container, image: reference, by: manager))
    }

    // MARK: - Following it

    private func follow(_ setting: Setting) async {
        let isLost = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await self.bringUp(setting)
                return false
            }
            group.addTask { await ImageGuard(self.image, self.client, self.namespace).untilLost(setting) }
            defer { group.cancelAll() }
            while let isLost = await group.next() { if isLost { return true } }
            return false
        }
        guard isLost, !Task.isCancelled else { return }
        await heal(setting)
    }

    private func bringUp(_ setting: Setting) async {
        isFollowed = true
        let progress = RolloutProgress(
            image: image, client: client, namespace: namespace, clues: clues, ledger: ledger, emit: emit)
        if RolloutProgress.isPaused(setting.object) { end(isRolledOut: false) }
        guard let ready = await progress.untilReady(setting, onBehind: { await self.end(isRolledOut: false) }) else {
            if !Task.isCancelled { end(isRolledOut: false) }
            return
        }
        guard !Task.isCancelled else { return }
        if let started = setting.started {
            let milliseconds = Double(max(ready, started) - started) / 1e6
            emit(.rolledOut(workloads: [image.workload], milliseconds: milliseconds))
        }
        end(isRolledOut: true)
    }

    /// Sets an image again that somebody has taken back, twice at most.
    private func heal(_ old: Setting) async {
        isFollowed = false
        var object = old.object
        var backoff = Backoff(first: .milliseconds(50), limit: .seconds(10))
        while true {
            do {
                object = try await client.get(image.kind.resource, image.name, namespace: namespace)
                break
            } catch let error as KubeError where error.isNotFound {
                // Gone again: the next one is waited for.
                break
            } catch {
                guard (try? await Task.sleep(for: backoff.next())) != nil else { return }
            }
        }
        guard !Task.isCancelled else { return }
        guard let place = try? image.place(in: object), place.reference != old.reference else {
            // A glimpse of what was there for a moment.
            following = Task { await self.follow(Setting(reference: old.reference, object: object)) }
            return
        }
        let isSame = object.at("metadata", "uid")?.string == old.uid
        let owner = isSame ? FieldManagers.owner(ofImageIn: place, image.kind, of: object) : nil
        let manager = owner?.manager
        if let owner, owner.manager == FieldManagers.own, !owner.isApply {
            // Somebody wants that: a rollback, for one. What this session applies carries its own images.
            wanted = nil
            end(isRolledOut: false)
            return emit(
                .notice(
                    "\(image.workload): another loopd has set \(place.reference), which stays until the next change"))
        }
        if isSame || !image.kind.rollsOut { reverts += 1 }
        guard reverts <= 2, image.kind.rollsOut else {
            wanted = nil
            end(isRolledOut: false)
            let who = manager ?? "somebody"
            let times = image.kind.rollsOut ? " a third time" : ""
            emit(
                .failed(
                    LoopEvent.Failure(
                        "\(image.workload): \(who) has taken \(old.reference) back\(times); it is left alone",
                        details: ["container \(place.container) has \(place.reference)"],
                        nextStep: "pause \(who); the next change of the image rolls it out again")))
            return
        }
        progress = .rolling
        _ = await start(old.reference, by: isSame ? manager ?? "somebody" : nil)
    }

    // MARK: - Its end

    /// Whether the pods of what was set last run: waits until the rollout is given up, and at most `limit` for the image to
    /// be set at all.
    ///
    /// False when they do not, or the task is cancelled; why was reported.
    func untilRolledOut(limit: Duration = .seconds(120)) async -> Bool {
        _ = await atMost(limit) { await self.untilEnded() }
        // What is followed has a limit of its own.
        if isFollowed { await untilEnded() }
        if case .ended(true) = progress { return true }
        return progress == .nothing
    }

    private func untilEnded() async {
        let (ends, end) = AsyncStream<Void>.makeStream()
        serial += 1
        let id = serial
        waiters[id] = end
        defer { waiters[id] = nil }
        while isRolling, await ends.first(where: { true }) != nil {}
    }

    private var isRolling: Bool { progress == .rolling }

    /// Whether the newest image could not be set, or does not run.
    var hasFailed: Bool { progress == .ended(isRolledOut: false) }

    private func end(isRolledOut: Bool) {
        progress = .ended(isRolledOut: isRolledOut)
        for waiter in waiters.values { waiter.yield() }
    }

    /// Follows nothing any more, and lets go of the fields that were set; what was deleted to be made anew is made before, if
    /// that works within a few seconds.
    ///
    /// Also for a task that is cancelled, which is how most sessions end. The connection is needed until it returns.
    func end() async {
        setting?.cancel()
        following?.cancel()
        if case .rolling = progress { end(isRolledOut: false) }
        if let recreating { await end(recreating) }
        await release()
    }

    /// Gives the image's fields back, so that nobody's later apply meets a conflict; in dev mode, that does it when it goes.
    private func release() async {
        guard ownsFields else { return }
        let restore = DevRestore(client: client, namespace: namespace)
        let (kind, name) = (image.kind, image.name)
        let released = await KubeClient.atEnd(patience, "release fields") { try await restore.giveBack(kind, name) }
        guard case .failure(let error) = released, (error as? KubeError)?.isNotFound != true else { return }
        emit(.notice("the image of \(image.workload) stays loopd's field (\(error)): `loopd restore` gives it back"))
    }

    private func end(_ recreating: Task<JSON, any Error>) async {
        let deadline = Task {
            // A deletion may wait for finalizers for ever: leaving takes no longer than this.
            try await Task.sleep(for: patience)
            recreating.cancel()
        }
        let result = await recreating.result
        deadline.cancel()
        guard case .failure(let error) = result else { return }
        if let failure = error as? LoopFailure { return emit(.failed(failure.failure)) }
        // What was not deleted is as it was.
        guard error is Recreation.Unfinished else { return }
        emit(.failed(await recreation.leave()))
    }
}
