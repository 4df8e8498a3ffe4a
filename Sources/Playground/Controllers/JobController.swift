internal import JSON

/// Runs a Job's pods to their end, as often as it asks for.
struct JobController: Controller {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "job-controller")
    }

    var watched: [ResourceKind] { [.job, .pod] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        kind == .job ? [itself(event.object)] : owners(.job, concernedBy: event)
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        let found = store.get(.job, key.namespace, key.name)
        try releaseOrphans(of: key, besides: found?.at("metadata", "uid"))
        guard let job = found else { return nil }
        let pods = Ownership.claim(.pod, for: job, .job, in: store)
        if JobPlan.isFinished(job) {
            for pod in pods { try release(pod) }
            return try expire(job, key)
        }
        var plan = JobPlan(job, pods, now: .now)
        // Counted first, then let go: whoever is killed in between counts nobody twice.
        if !(plan.uncounted.succeeded + plan.uncounted.failed).isEmpty {
            try report(key, plan, keepsUncounted: true)
            let counted = Set(plan.uncounted.succeeded + plan.uncounted.failed)
            for pod in pods where counted.contains(pod.at("metadata", "uid")?.string ?? "") { try release(pod) }
            try report(key, plan)
            guard let now = store.get(.job, key.namespace, key.name) else { return nil }
            plan = JobPlan(now, Ownership.claim(.pod, for: now, .job, in: store), now: .now)
        }
        if let ending = plan.ending {
            for pod in plan.active { try end(pod) }
            try report(key, plan, ending: ending)
            return nil
        }
        for pod in plan.surplus {
            try end(pod)
            let name = pod.at("metadata", "name")?.string ?? ""
            events.record(job, .job, reason: "SuccessfulDelete", message: "Deleted pod: \(name)")
        }
        var hasFailed = false
        let backoff = plan.backoff
        if backoff == 0 {
            for _ in 0..<plan.missing where !hasFailed { hasFailed = !create(for: job) }
        }
        let pending = Ownership.claim(.pod, for: job, .job, in: store)
        try report(key, JobPlan(store.get(.job, key.namespace, key.name) ?? job, pending, now: .now))
        if hasFailed { return .seconds(1) }
        let waits = [plan.missing > 0 && backoff > 0 ? backoff : nil, plan.remainingTime].compactMap { $0 }
        return waits.min().map { .seconds(max(1, $0)) }
    }

    /// Creates a pod; `false` where that was refused.
    private func create(for job: JSON) -> Bool {
        var pod = OwnedPod.from(job.at("spec", "template"), of: job, .job)
        pod.edit("metadata") { $0["finalizers"] = [JobPlan.finalizer] }
        do {
            let created = try OwnedPod.create(pod, in: store)
            events.record(
                job, .job, reason: "SuccessfulCreate",
                message: "Created pod: \(created.at("metadata", "name")?.string ?? "")")
            return true
        } catch {
            events.record(job, .job, type: "Warning", reason: "FailedCreate", message: "Error creating: \(error)")
            return false
        }
    }

    /// Deletes a pod whose end counts nothing.
    private func end(_ pod: JSON) throws {
        try release(pod)
        let key = itself(pod)
        do {
            try store.delete(.pod, key.namespace, key.name)
        } catch let error as StatusError where error.code == 404 {
            return
        }
    }

    /// Lets go of a pod that is counted.
    private func release(_ pod: JSON) throws {
        guard JobPlan.isTracked(pod) else { return }
        let key = itself(pod)
        do {
            try store.modify(.pod, key.namespace, key.name) { pod in
                let others = (pod.at("metadata", "finalizers")?.array ?? []).filter { $0 != JobPlan.finalizer }
                pod["metadata"]?["finalizers"] = .array(others)
            }
        } catch let error as StatusError where error.code == 404 {
            return
        }
    }

    /// Lets go of the pods of Jobs of that name which are gone: nobody counts them any more.
    private func releaseOrphans(of key: ObjectKey, besides uid: JSON?) throws {
        for pod in store.list(.pod, key.namespace).items where JobPlan.isTracked(pod) {
            guard let owner = Ownership.controller(of: pod), owner["kind"] == "Job",
                owner["name"] == .string(key.name), owner["uid"] != uid
            else { continue }
            try release(pod)
        }
    }

    /// Deletes a Job that has ended for long enough; returns when that is.
    private func expire(_ job: JSON, _ key: ObjectKey) throws -> Duration? {
        guard let patience = job.at("spec", "ttlSecondsAfterFinished")?.integer,
            job.at("metadata", "deletionTimestamp") == nil
        else { return nil }
        let ends = (job.at("status", "conditions")?.array ?? []).filter {
            ["Complete", "Failed"].contains($0["type"]?.string ?? "")
        }.compactMap { $0["lastTransitionTime"]?.string.flatMap { Timestamp($0)?.seconds } }
        let left = (ends.max() ?? 0) + Int(Int32(clamping: patience)) - Timestamp.now.seconds
        if left > 0 { return .seconds(left) }
        var options = DeleteOptions()
        options.uid = job.at("metadata", "uid")?.string
        options.propagation = .foreground
        try store.delete(.job, key.namespace, key.name, options)
        return nil
    }

    private func report(
        _ key: ObjectKey, _ plan: JobPlan, keepsUncounted: Bool = false, ending: JobPlan.Ending? = nil
    ) throws {
        let now = JSON.string(Timestamp.now.description)
        let active = ending == nil ? plan.active.count : 0
        let failed = plan.failed + (ending == nil ? 0 : plan.active.count)
        let ready = ending == nil ? plan.active.count(where: PodState.isReady) : 0
        let changed = try store.modify(.job, key.namespace, key.name, part: .status) { job in
            var status = job["status"] ?? [:]
            status["startTime"] = plan.isSuspended ? nil : status["startTime"] ?? now
            for (field, count) in [("active", active), ("succeeded", plan.succeeded), ("failed", failed)] {
                status[field] = count > 0 ? .integer(Int64(count)) : nil
            }
            status["terminating"] = .integer(Int64(plan.terminating))
            status["ready"] = .integer(Int64(ready))
            var uncounted = JSON.object(JSONObject())
            if keepsUncounted {
                for (field, uids) in [("succeeded", plan.uncounted.succeeded), ("failed", plan.uncounted.failed)]
                where !uids.isEmpty {
                    uncounted[field] = .array(uids.map(JSON.string))
                }
            }
            status["uncountedTerminatedPods"] = uncounted
            var conditions = status["conditions"]?.array ?? []
            Self.suspend(&conditions, plan.isSuspended, now)
            if let ending {
                for type in ending.isSuccess ? ["SuccessCriteriaMet", "Complete"] : ["FailureTarget", "Failed"] {
                    conditions.append(Self.condition(type, true, ending.reason, ending.message, now))
                }
                if ending.isSuccess { status["completionTime"] = now }
            }
            status["conditions"] = conditions.isEmpty ? nil : .array(conditions)
            job["status"] = (try? ObjectDecoder.decode(status, as: Schema.structure("JobStatus")))?.value ?? status
        }
        guard let ending else { return }
        events.record(
            changed, .job, type: ending.isSuccess ? "Normal" : "Warning",
            reason: ending.isSuccess ? "Completed" : ending.reason,
            message: ending.isSuccess ? "Job completed" : ending.message)
    }

    /// Notes that a Job is suspended, or goes on.
    private static func suspend(_ conditions: inout [JSON], _ isSuspended: Bool, _ now: JSON) {
        let index = conditions.firstIndex { $0["type"] == "Suspended" }
        let isNoted = index.map { conditions[$0]["status"] == "True" } ?? false
        guard isNoted != isSuspended else { return }
        let new =
            isSuspended
            ? condition("Suspended", true, "JobSuspended", "Job suspended", now)
            : condition("Suspended", false, "JobResumed", "Job resumed", now)
        if let index { conditions[index] = new } else { conditions.append(new) }
    }

    private static func condition(
        _ type: String, _ isTrue: Bool, _ reason: String, _ message: String, _ now: JSON
    ) -> JSON {
        [
            "type": .string(type), "status": isTrue ? "True" : "False", "lastProbeTime": now,
            "lastTransitionTime": now, "reason": .string(reason), "message": .string(message),
        ]
    }
}
