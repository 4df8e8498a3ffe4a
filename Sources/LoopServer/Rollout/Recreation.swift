internal import JSON
internal import Reactor
internal import Synchronization

/// Deletes a Job or a bare pod and makes it anew.
///
/// The object is kept in a Secret from before its deletion until it is there again; creating it is tried until it works
/// or the task is cancelled, and what is left then is finished by `KeptObjects.finish`.
struct Recreation: Sendable {
    let client: KubeClient
    let namespace: String
    let kind: WorkloadKind
    let name: String
    /// How long its end may take: what is left then is told.
    var patience = Duration.seconds(5)
    let emit: @Sendable (LoopEvent.Kind) -> Void

    private var workload: String { "\(kind.rawValue)/\(name)" }
    private var secret: String { KeptObjects.secretName(kind, name) }
    private var kept: KeptObjects { KeptObjects(client: client, namespace: namespace) }

    /// Why an object is not to be deleted at all; `nil` where it may be.
    static func obstacle(to object: JSON, _ kind: WorkloadKind, mayRecreate: Bool) -> LoopEvent.Failure? {
        let name = object.at("metadata", "name")?.string ?? ""
        let workload = "\(kind.rawValue)/\(name)"
        let owners = object.at("metadata", "ownerReferences")?.array ?? []
        if kind == .pod, let owner = owners.first(where: { $0["controller"]?.bool == true }) {
            let controller = "\(owner["kind"]?.string?.lowercased() ?? "")/\(owner["name"]?.string ?? "")"
            return LoopEvent.Failure(
                "\(workload) belongs to \(controller), which makes it as it likes: it gets no other image",
                nextStep: "name the workload that makes it, for example \"deployment/NAME\"")
        }
        guard !mayRecreate else { return nil }
        let reason = kind == .job ? "the template of a Job cannot be changed" : "a pod of its own is not rolled out"
        return LoopEvent.Failure(
            "\(workload) keeps its image: \(reason)",
            nextStep: "set \"recreate\": true in its service, and loopd deletes it and makes it anew")
    }

    /// It was given up after the deletion was asked for, and before the object was there again.
    struct Unfinished: Error {}

    /// Leaves what is unfinished to whoever finishes such things next, and says that it is.
    func leave() async -> LoopEvent.Failure {
        let (kept, secret) = (kept, secret)
        let left = await KubeClient.atEnd(patience, "leave it to others") { try await kept.leave(secret) }
        var details: [String] = []
        if case .failure(let error) = left { details = ["secret/\(secret) is held for another minute: \(error)"] }
        return LoopEvent.Failure(
            "\(workload) is being deleted and was not made anew yet", details: details,
            nextStep: "`loopd restore` makes it as soon as it is gone, and so does the next `loopd`")
    }

    /// Replaces an object by one with another image, and returns what is there then: made by somebody else, perhaps.
    ///
    /// Throws `Unfinished` when the task is cancelled after the deletion was asked for, and every other error only where
    /// nothing was deleted: `LoopFailure` where the cluster refuses the new one, what it answered, or that it did not.
    func replace(_ object: JSON, by changed: JSON) async throws -> JSON {
        try await replace(object, with: RecreatedObject.manifest(of: changed, kind))
    }

    /// Replaces an object by what a manifest makes; the same as by a changed object.
    func replace(_ object: JSON, with manifest: JSON) async throws -> JSON {
        let uid = object.at("metadata", "uid")?.string ?? ""
        try await tryOut(manifest, insteadOf: object)
        do {
            try await kept.keep(manifest, kind, name, uid: uid)
            try Task.checkCancellation()
        } catch  where Task.isCancelled {
            // It may be kept by now, for nothing.
            await letGo()
            throw error
        }
        do {
            try await client.delete(
                kind.resource, name, namespace: namespace, uid: uid, dependentsFirst: kind == .job)
        } catch let error as KubeError where error.isNotFound {
            // Somebody else has deleted it.
        } catch let error as KubeError where (400..<500).contains(error.code) {
            // Another one by now, or it may not be deleted: nothing was.
            await letGo()
            throw error
        } catch {
            // Whether that came through only the object tells. Where it comes later, the Secret is still there.
            guard try await isGoing(uid) else { throw error }
        }
        return try await make(manifest, after: uid)
    }

    /// Whether the object of that uid is gone, or on its way; asks until there is an answer.
    private func isGoing(_ uid: String) async throws(Unfinished) -> Bool {
        var backoff = Backoff(first: .milliseconds(50), limit: .seconds(10))
        while !Task.isCancelled {
            do {
                let there = try await client.get(kind.resource, name, namespace: namespace)
                return there.at("metadata", "uid")?.string != uid || there.at("metadata", "deletionTimestamp") != nil
            } catch let error as KubeError where error.isNotFound {
                return true
            } catch {
                try? await Task.sleep(for: backoff.next())
            }
        }
        throw Unfinished()
    }

    /// Makes an object as soon as the one before is gone, however often that has to be tried; the Secret is deleted then.
    func make(_ manifest: JSON, after uid: String) async throws(Unfinished) -> JSON {
        var backoff = Backoff(first: .milliseconds(50), limit: .seconds(10))
        var isTold = false
        while true {
            await untilGone(uid)
            guard !Task.isCancelled else { throw Unfinished() }
            let error: any Error
            do {
                let made = try await client.create(kind.resource, namespace: namespace, manifest)
                await letGo()
                return made
            } catch let failure {
                error = failure
            }
            guard !Task.isCancelled else { throw Unfinished() }
            let answer = error as? KubeError
            // Made by somebody else, or by a try whose answer was lost.
            if answer?.isConflict == true,
                let there = try? await client.get(kind.resource, name, namespace: namespace),
                there.at("metadata", "uid")?.string != uid
            {
                await letGo()
                return there
            }
            if answer?.isConflict != true, !isTold {
                isTold = true
                emit(
                    .failed(
                        LoopEvent.Failure(
                            "\(workload) is deleted and cannot be made anew yet: \(answer?.message ?? "\(error)")",
                            nextStep: "loopd goes on trying; secret/\(secret) has it,"
                                + " and `loopd restore` makes it, too")))
            }
            try? await Task.sleep(for: backoff.next())
        }
    }

    /// Forgets the object that is kept for it.
    func forget() async throws { try await kept.forget(secret) }

    /// Forgets it, or says that its Secret stays.
    private func letGo() async {
        let limit = Task.isCancelled ? patience : KubeClient.timeLimit
        guard case .failure(let error) = await KubeClient.atEnd(limit, "forget it", forget) else { return }
        emit(.notice("secret/\(secret) is not needed any more and stays (\(error)): `loopd restore` removes it"))
    }

    /// Asks the cluster whether it would take the object and its pods.
    ///
    /// The name is taken, which the cluster says last: everything else has been found right then. Throws `LoopFailure`.
    func tryOut(_ manifest: JSON, insteadOf object: JSON) async throws {
        do {
            _ = try await client.create(kind.resource, namespace: namespace, manifest, dryRun: true)
        } catch let error as KubeError where error.isConflict {
            // It is as it should be.
        } catch let error as KubeError where (400..<500).contains(error.code) && error.code != 401 && error.code != 429
        {
            // A quota that it uses up itself is free when it goes; and some webhooks take part in no trial.
            let isOpen = PodTrial.Refusal(error)?.isQuota == true || error.message.contains("does not support dry run")
            if isOpen { return }
            throw refused(error.message)
        }
        guard kind == .job else { return }
        let trial = PodTrial(client: client, namespace: namespace)
        do {
            try await trial.check(manifest, insteadOf: object)
        } catch let failure as LoopFailure {
            throw refused(failure.failure.details.first ?? failure.failure.summary)
        }
    }

    private func refused(_ reason: String) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "\(workload) was not deleted: the cluster would not take the new one", details: [reason]))
    }

    /// Returns when the object of that uid is gone, for which its pods have the time that their spec gives them, or the task
    /// is cancelled.
    private func untilGone(_ uid: String) async {
        let watch = ResourceWatch(
            client, .init(kind.resource, namespace: namespace, fields: "metadata.name=\(name)"))
        let (name, workload, emit) = (name, workload, emit)
        let reminder = Task {
            try await Task.sleep(for: .seconds(60))
            emit(
                .notice(
                    "\(workload) is still being deleted: its pods take their time, or a finalizer holds it;"
                        + " it is made anew as soon as it is gone"))
        }
        defer { reminder.cancel() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            group.addTask {
                var objects = ObjectSet()
                while let change = await watch.next() {
                    objects.apply(change)
                    guard objects.isSynced, objects.disconnection == nil else { continue }
                    if objects.objects[name]?.at("metadata", "uid")?.string != uid { return }
                }
            }
            await group.next()
            group.cancelAll()
        }
    }
}

extension KeptObjects {
    /// What became of an object that was to be made anew.
    struct Finished: Equatable, Sendable {
        let kept: Kept
        /// Why it is not there again; `nil` where it is.
        let problem: String?
    }

    /// Makes what an earlier loopd has deleted to make it anew, and was killed before it did: all at the same time, each
    /// for at most `limit`, or until the task is cancelled.
    ///
    /// What a loopd that runs has in hand is left to it, and what need not be made is left out. `onEnd` gets each as soon as
    /// it is there again or given up. Throws where nobody can tell what is kept.
    @discardableResult
    func finish(
        where isMeant: (Kept) -> Bool = { _ in true }, limit: Duration? = .seconds(90),
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void, onEnd: @escaping @Sendable (Finished) -> Void = { _ in }
    ) async throws -> [Finished] {
        let now = Timestamp.now().seconds
        let meant = try await all().filter { isMeant($0) && $0.lease?.isHeld(at: now) != true }
        return await withTaskGroup(of: Finished?.self) { group in
            for kept in meant { group.addTask { await finish(kept, limit: limit, emit) } }
            var ended: [Finished] = []
            for await case let finished? in group {
                onEnd(finished)
                ended.append(finished)
            }
            return ended.sorted { $0.kept.secret < $1.kept.secret }
        }
    }

    private func finish(
        _ kept: Kept, limit: Duration?, _ emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) async -> Finished? {
        let reason = Mutex<String?>(nil)
        do {
            guard try await isDeleted(kept) else {
                try await forget(kept.secret)
                return nil
            }
            let recreation = Recreation(client: client, namespace: namespace, kind: kept.kind, name: kept.name) {
                kind in
                switch kind {
                case .failed(let failure): reason.withLock { $0 = failure.summary }
                case .notice(let text): reason.withLock { $0 = text }
                default: break
                }
                emit(kind)
            }
            if let limit {
                _ = try await KubeClient.within(limit, "make \(kept.workload) anew") {
                    try await recreation.make(kept.manifest, after: kept.uid)
                }
            } else {
                _ = try await recreation.make(kept.manifest, after: kept.uid)
            }
            return Finished(kept: kept, problem: nil)
        } catch {
            return Finished(kept: kept, problem: reason.withLock { $0 } ?? "\(error)")
        }
    }

    /// Whether it is gone, or on its way, and nobody has made another one.
    private func isDeleted(_ kept: Kept) async throws -> Bool {
        do {
            let there = try await client.get(kept.kind.resource, kept.name, namespace: namespace)
            return there.at("metadata", "uid")?.string == kept.uid && there.at("metadata", "deletionTimestamp") != nil
        } catch let error as KubeError where error.isNotFound {
            return true
        }
    }
}
