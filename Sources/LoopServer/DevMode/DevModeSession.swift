internal import JSON
internal import Reactor

/// One workload's dev mode while a session runs: enters it, heals it when somebody takes it back, and leaves it.
///
/// What the cluster holds is the truth, and the annotation there says what was changed; this only remembers how far it is.
actor DevModeSession {
    /// What the session wants.
    enum Purpose: Sendable {
        /// The workload shall be in dev mode until the session ends.
        case keep(DevInputs)
        /// What an earlier session has left is to be undone.
        case clear
        /// It is used as it is.
        case use
    }

    private enum State {
        case outside
        case inside(DevRecord, uid: String, version: Int?)
        /// It does not work here, or somebody does not want it.
        case leftAlone(DevRecord?)
    }

    /// A rollout that dev mode has caused and that nobody was told of yet.
    private struct Rollout {
        let started: UInt64
        let container: String
    }

    let purpose: Purpose
    nonisolated let kind: WorkloadKind
    nonisolated let name: String
    let client: KubeClient
    let namespace: String
    private let session: String
    private let holder: String
    private let patience: Duration
    let emit: @Sendable (LoopEvent.Kind) -> Void
    private var state = State.outside
    private var rollout: Rollout?
    private var isCleared = false
    private var reverts = 0
    /// The ConfigMaps that the workload had its helper from, of earlier loopds too.
    private var programs: Set<String> = []
    /// When the manifest was applied in dev mode, and the template that there was before.
    private var carried: (started: UInt64, template: JSON?)?

    /// `session` is its name in leases; `patience` is for each step of its end.
    init(
        _ purpose: Purpose, _ kind: WorkloadKind, _ name: String, client: KubeClient, namespace: String,
        session: String, patience: Duration = patience, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.purpose = purpose
        self.kind = kind
        self.name = name
        self.client = client
        self.namespace = namespace
        self.session = session
        self.patience = patience
        holder = Lease.mine(session: "", now: 0).holder
        self.emit = emit
    }

    private var workload: String { "\(kind.rawValue)/\(name)" }

    // MARK: - Following the workload

    /// Does what the workload's newest state asks for; the caller holds its lease.
    ///
    /// Returns when that is done, or given up in a line; throws only when cancelled. What only a container can tell waits
    /// until one is running.
    func hold(_ object: JSON, isRunning: Bool = true) async throws {
        switch purpose {
        case .use: return
        case .clear:
            guard !isCleared else { return }
            isCleared = true
            if let record = DevRecord(of: object) { await undo(record) }
        case .keep(let inputs):
            switch state {
            case .outside: try await enter(inputs, isRunning: isRunning)
            case .leftAlone: return
            case .inside(let record, let uid, let version):
                // What is older than what was written last says nothing, unless it is another workload of that name.
                let isSame = object.at("metadata", "uid")?.string == uid
                if isSame, let seen = DevModeSession.version(of: object), let version, seen < version { return }
                if isFine(object, record, uid) { return }
                try await heal(inputs, record, uid)
            }
        }
    }

    /// Enters it again where its variables name one of these images: they have other references now.
    func renew(images: Set<String>) async {
        guard case .keep(let inputs) = purpose, case .inside = state, inputs.names(images) else { return }
        // Who follows the workload may not have seen yet that another loopd has it.
        if let object = try? await client.get(kind.resource, name, namespace: namespace),
            let lease = Lease(of: object), lease.session != session, lease.isFresh(at: Timestamp.now().seconds)
        {
            return standBack()
        }
        try? await enter(inputs)
    }

    /// Writes nothing any more: another loopd has the workload, or it does not work here.
    func standBack() {
        switch state {
        case .outside: state = .leftAlone(nil)
        case .inside(let record, _, _): state = .leftAlone(record)
        case .leftAlone: return
        }
    }

    /// Whether a pod belongs to what was entered.
    func admits(_ pod: PodState) -> Bool {
        guard case .inside(let record, _, _) = state else { return true }
        return pod.devProgram == record.program
            && pod.lastingContainers.contains { $0.name == record.container && $0.isInDevMode }
    }

    /// Tells of a rollout as soon as one of its containers runs.
    func tellRunning() {
        guard let rollout else { return }
        self.rollout = nil
        let milliseconds = Double(monotonicNow() - rollout.started) / 1e6
        emit(.devMode(.init(.entered, container: rollout.container, milliseconds: milliseconds)))
    }

    private func isFine(_ object: JSON, _ record: DevRecord, _ uid: String) -> Bool {
        object.at("metadata", "uid")?.string ?? "" == uid && DevRecord(of: object) != nil && record.isHeld(by: object)
            && hasImage(object, record)
    }

    /// Whether the container has the image that its command and its volumes were taken from.
    private func hasImage(_ object: JSON, _ record: DevRecord) -> Bool {
        let template = object.at("spec", "template") ?? .null
        return DevTemplate.target(of: template, record.container)?["image"]?.string == record.image
    }

    private func heal(_ inputs: DevInputs, _ record: DevRecord, _ uid: String) async throws {
        guard let object = try? await client.get(kind.resource, name, namespace: namespace) else { return }
        if isFine(object, record, uid) { return }
        // A manifest has brought another form of dev mode along: nobody took anything back.
        if let theirs = DevRecord(of: object), theirs.isHeld(by: object) { return try await enter(inputs) }
        let lost = record.lost(in: object)
        // Another workload of the name, another image, or an annotation that is gone: nobody took anything back.
        guard object.at("metadata", "uid")?.string ?? "" == uid, !lost.isEmpty else { return try await enter(inputs) }
        reverts += 1
        let manager = FieldManagers.reverter(of: lost, in: object) ?? "somebody"
        guard reverts <= 2 else {
            state = .leftAlone(record)
            emit(
                .failed(
                    LoopEvent.Failure(
                        "dev mode: \(manager) took it back a third time; \(workload) is left alone",
                        details: lost.prefix(3).map { "\($0.path.text) was changed" },
                        nextStep: "its restart steps do not work now: pause \(manager), then start loopd again")))
            return
        }
        emit(.devMode(.init(.reverted, container: record.container, by: manager)))
        try await enter(inputs)
    }

    // MARK: - Entering

    /// How often the cluster may answer with an error before dev mode is given up: a webhook that is gone fails for ever.
    private static let tries = 10

    private func enter(_ inputs: DevInputs, isRunning: Bool = true) async throws {
        var failures = 0
        var backoff = Backoff(first: .milliseconds(10), limit: .seconds(10))
        var isTold = false
        while true {
            do {
                try await enterOnce(inputs)
                return
            } catch is DevTemplate.SupervisedByImage {
                state = .leftAlone(nil)
                return emit(.detail("dev mode: the image of \(workload) runs the helper by itself"))
            } catch let failure as LoopFailure {
                return giveUp(failure.failure)
            } catch let unknown as DevTemplate.CommandUnknown {
                // The first container that runs will tell.
                return isRunning ? giveUp(unknown.failure) : ()
            } catch let error as KubeError where error.isNotFound {
                // Gone since: the watch tells, and tells when it is back.
                return
            } catch let error as KubeError where error.isForbidden || error.code == 422 || error.code == 400 {
                return giveUp(refusal(error))
            } catch {
                try Task.checkCancellation()
                // Another writer, or the cluster hiccups.
                let isConflict = (error as? KubeError)?.isConflict == true
                if !isConflict, let answer = error as? KubeError, !answer.isUnanswered {
                    failures += 1
                    if failures == DevModeSession.tries { return giveUp(refusal(answer)) }
                }
                if !isConflict, !isTold {
                    isTold = true
                    emit(.notice("dev mode: \(workload) cannot be changed yet: \(error)"))
                }
                try await Task.sleep(for: backoff.next())
            }
        }
    }

    private func refusal(_ error: KubeError) -> LoopEvent.Failure {
        LoopEvent.Failure(
            "dev mode: \(workload) cannot be changed: \(error.message)",
            nextStep: "it goes on as it is, and restarts of its process do not work")
    }

    func giveUp(_ failure: LoopEvent.Failure) {
        standBack()
        emit(.failed(failure))
    }

    /// One try to bring the workload into dev mode, with another image where one is given; returns it as it is then.
    @discardableResult
    func enterOnce(_ inputs: DevInputs, image: (RolledImage, reference: String)? = nil) async throws -> JSON {
        let object = try await client.get(kind.resource, name, namespace: namespace)
        if let failure = DevRecord.unreadable(in: object) { throw LoopFailure(failure: failure) }
        let step = try await DevStep(
            object, remembered: remembered(object), inputs, holder: holder, isRunning: true, image: image)
        let configMap = ProgramConfigMap(client: client, namespace: namespace)
        var written = object
        if let patch = DevWorkload.patch(from: object, to: step.target) {
            if step.changesTemplate {
                try await PodTrial(client: client, namespace: namespace).check(step.target, insteadOf: step.base)
            }
            try await configMap.ensure(step.program)
            written = try await client.patch(kind.resource, name, namespace: namespace, as: .json, patch)
        }
        // Again, or for the first time: whoever removes unused ones has not seen the workload use it before.
        try await configMap.ensure(step.program)
        programs.formUnion([DevRecord(of: object)?.program, step.record.program].compactMap { $0 })
        let wasOutside = if case .outside = state { true } else { false }
        note(step.record, in: written)
        // The rollout of an image is told by whoever brings it.
        if image == nil || wasOutside { await tellEntered(step, from: object, to: written, isFirst: wasOutside) }
        return written
    }

    /// Takes what was written as what is there.
    func note(_ record: DevRecord, in written: JSON) {
        state = .inside(
            record, uid: written.at("metadata", "uid")?.string ?? "", version: DevModeSession.version(of: written))
    }

    /// Whether the workload is this session's to bring into dev mode, or to change there.
    func isHeld(_ object: JSON) -> Bool {
        switch state {
        case .outside: Lease(of: object)?.session == session
        case .inside: true
        case .leftAlone: false
        }
    }

    /// What was changed in this very workload, where its annotation is gone.
    private func remembered(_ object: JSON) -> DevRecord? {
        guard case .inside(let record, let uid, _) = state, object.at("metadata", "uid")?.string == uid else {
            return nil
        }
        return record
    }

    private func tellEntered(_ step: DevStep, from old: JSON, to new: JSON, isFirst: Bool) async {
        var started: UInt64?
        // Not the generation: that of a Deployment counts annotations, too.
        let template = new.at("spec", "template")
        if template != old.at("spec", "template") {
            started = monotonicNow()
        } else if let carried, carried.template != template {
            started = carried.started
        }
        carried = nil
        if isFirst { for detail in step.details { emit(.notice("dev mode: \(detail)")) } }
        if let started {
            rollout = Rollout(started: started, container: step.record.container)
            if let reason = DevStep.standstill(of: new, kind) { emit(.notice("dev mode: \(workload) \(reason)")) }
        } else if isFirst {
            emit(.devMode(.init(.takenUp, container: step.record.container)))
        }
        do {
            let program = step.record.program
            try await StuckPods(client: client, namespace: namespace).replace(of: new, kind) {
                $0.devProgram != program
            }
        } catch {
            emit(.notice("dev mode: \(workload) has pods that have to be deleted by hand: \(error)"))
        }
    }

    /// etcd numbers its versions.
    private static func version(of object: JSON) -> Int? {
        object.at("metadata", "resourceVersion")?.string.flatMap { Int($0) }
    }

    // MARK: - With the manifests

    /// The workload's manifest in dev mode, so that applying it and entering are one rollout; unchanged where it is not
    /// meant to be there, or cannot.
    func carry(_ manifest: JSON, by applier: Applier, takeOver: Bool) async -> JSON {
        let object = try? await client.get(kind.resource, name, namespace: namespace)
        let known = object.flatMap { DevRecord(of: $0) }
        let lease = object.flatMap { Lease(of: $0) }
        let isTheirs = !takeOver && lease.map { isForeign($0) } ?? false
        switch (purpose, isTheirs) {
        case (.use, _), (_, true):
            // Applied as it is, it would end what another session is in.
            guard let known, let object else { return manifest }
            return DevWorkload.carried(manifest, known, from: object)
        case (.clear, false): return manifest
        case (.keep(let inputs), false):
            if case .leftAlone = state { return manifest }
            // Beside fields of others that dev mode is to replace, the server refuses or keeps both.
            if let object, known == nil, !applier.hasApplied(object) { return manifest }
            do {
                let step = try await DevStep(
                    manifest, remembered: nil, inputs, holder: holder, isRunning: object != nil, known: known)
                try await PodTrial(client: client, namespace: namespace).check(step.target, insteadOf: manifest)
                try await ProgramConfigMap(client: client, namespace: namespace).ensure(step.program)
                carried = (monotonicNow(), object?.at("spec", "template"))
                return step.target
            } catch {
                // Whoever enters afterwards meets the same obstacle, and tells.
                return manifest
            }
        }
    }

    private func isForeign(_ lease: Lease) -> Bool {
        lease.session != session && lease.isHeld(at: Timestamp.now().seconds)
    }

    // MARK: - Leaving

    /// How long undoing may take at the end of a session; what is not done then is left to `restore`.
    static let patience = Duration.seconds(4)

    /// Undoes what is still as it was made; also for a task that is cancelled, which is how most sessions end.
    func leave(mayWrite: @escaping @Sendable (JSON) -> Bool) async {
        guard case .keep = purpose else { return }
        switch state {
        case .outside, .leftAlone(nil): await undo(nil, mayWrite: mayWrite)
        case .inside(let record, _, _), .leftAlone(let record?): await undo(record, mayWrite: mayWrite)
        }
        state = .leftAlone(nil)
    }

    /// Undoes what was applied with the manifest, where the session ended before it had the workload's lease.
    func abandon() async {
        guard carried != nil else { return }
        await leave { workload in
            Lease(of: workload)?.isHeld(at: Timestamp.now().seconds) != true
        }
        carried = nil
    }

    private func undo(_ remembered: DevRecord?, mayWrite: @escaping @Sendable (JSON) -> Bool = { _ in true }) async {
        let restore = DevRestore(client: client, namespace: namespace)
        let (kind, name) = (kind, name)
        let result = await KubeClient.atEnd(patience, "undo dev mode") {
            try await restore.restore(kind, name, remembered: remembered, mayWrite: mayWrite)
        }
        switch result {
        case .success(let restored?):
            emit(.devMode(.init(.restored, container: restored.container, kept: restored.kept)))
            async let left = restore.settle(kind, name, restored, limit: patience)
            await removePrograms(programs.union([restored.program]))
            for line in await left { emit(.notice("dev mode: \(line)")) }
        case .failure(let error as KubeError) where error.isNotFound:
            await removePrograms(programs)
        // Where nothing was changed, nothing is left.
        case .failure(let error) where remembered != nil || carried != nil || error is LoopFailure:
            let isKnown = remembered != nil || error is LoopFailure
            let reason = (error as? LoopFailure)?.failure.summary ?? "\(error)"
            emit(
                .failed(
                    LoopEvent.Failure(
                        "dev mode: \(workload) \(isKnown ? "is still" : "may still be") in it: \(reason)",
                        nextStep: "undo it: loopd restore")))
        case .success(nil), .failure: break
        }
    }

    /// Deletes the helper's programs that no workload uses any more.
    private func removePrograms(_ names: Set<String>) async {
        guard !names.isEmpty else { return }
        let configMap = ProgramConfigMap(client: client, namespace: namespace)
        let removed = await KubeClient.atEnd(patience, "clean up") { try await configMap.removeUnused(names) }
        guard case .failure(let error) = removed else { return }
        let list = names.sorted().map { "configmap/\($0)" }.joined(separator: ", ")
        emit(.notice("dev mode: \(list) stays until the next workload leaves dev mode: \(error)"))
    }
}
