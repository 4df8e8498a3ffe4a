internal import JSON

/// Takes dev mode out of workloads.
struct DevRestore: Sendable {
    /// What was taken back.
    struct Restored: Equatable, Sendable {
        var container: String
        /// Fields that somebody else has changed, and that stay as they are.
        var kept: [String]
        /// The ConfigMap that is not needed any more, unless another workload does.
        var program: String
        /// The workload as it is since.
        var workload: JSON
    }

    let client: KubeClient
    let namespace: String

    /// Undoes every change that still is as it was made; `nil` where the workload is not in dev mode, or `mayWrite` says no.
    ///
    /// - Parameter remembered: what was changed, for a workload whose annotation somebody has removed.
    func restore(
        _ kind: WorkloadKind, _ name: String, remembered: DevRecord? = nil,
        mayWrite: @Sendable (JSON) -> Bool = { _ in true }
    ) async throws -> Restored? {
        var backoff = Backoff(first: .milliseconds(10))
        while true {
            let workload = try await client.get(kind.resource, name, namespace: namespace)
            guard mayWrite(workload) else { return nil }
            if let failure = DevRecord.unreadable(in: workload) { throw LoopFailure(failure: failure) }
            guard let record = DevRecord(of: workload) ?? remembered else { return nil }
            let target = DevWorkload.undone(workload, record)
            guard let patch = DevWorkload.patch(from: workload, to: target) else { return nil }
            do {
                let patched = try await client.patch(kind.resource, name, namespace: namespace, as: .json, patch)
                let spec = workload.at("spec", "template", "spec") ?? .null
                let kept = record.changes.filter { !$0.isHeld(in: spec) && !$0.isUndone(in: spec) }
                return Restored(
                    container: record.container, kept: kept.map(\.path.text), program: record.program,
                    workload: patched)
            } catch let error as KubeError where error.isConflict {
                // A rollout writes the workload's status many times a second.
                try await Task.sleep(for: backoff.next())
            }
        }
    }

    /// Replaces pods that would stay, and lets go of the fields that loopd has changed.
    ///
    /// The workload is as it was, whatever becomes of these: each has `limit`, and what was not done is returned in lines.
    func settle(
        _ kind: WorkloadKind, _ name: String, _ restored: Restored, limit: Duration = DevModeSession.patience
    ) async -> [String] {
        async let replaced = KubeClient.atEnd(limit, "replace pods") {
            try await StuckPods(client: client, namespace: namespace).replace(of: restored.workload, kind) {
                $0.devProgram != nil
            }
        }
        async let released = KubeClient.atEnd(limit, "release fields") {
            try await release(kind, name, restored.workload)
        }
        var left: [String] = []
        if case .failure(let error) = await replaced {
            left.append("\(kind.rawValue)/\(name) may have pods that have to be deleted by hand: \(error)")
        }
        if case .failure(let error) = await released {
            left.append("fields of \(kind.rawValue)/\(name) stay loopd's, and an apply may meet a conflict: \(error)")
        }
        return left
    }

    /// Lets go of the fields that loopd has changed; in dev mode that is done when it goes.
    func giveBack(_ kind: WorkloadKind, _ name: String) async throws {
        let workload = try await client.get(kind.resource, name, namespace: namespace)
        guard DevRecord.text(in: workload) == nil else { return }
        try await release(kind, name, workload)
    }

    /// Lets go of the fields that loopd has changed.
    private func release(_ kind: WorkloadKind, _ name: String, _ patched: JSON) async throws {
        var backoff = Backoff(first: .milliseconds(10))
        var workload = patched
        while let patch = FieldManagers.release(of: workload) {
            do {
                _ = try await client.patch(kind.resource, name, namespace: namespace, as: .json, patch)
                return
            } catch let error as KubeError where error.isConflict {
                try await Task.sleep(for: backoff.next())
                workload = try await client.get(kind.resource, name, namespace: namespace)
            }
        }
    }
}

/// Pods that no controller replaces by itself after their template has changed.
struct StuckPods: Sendable {
    let client: KubeClient
    let namespace: String

    /// Deletes the pods of a workload that are of an old template and would stay: under `OnDelete`, and those of a
    /// StatefulSet that are not ready, for which it waits for ever.
    func replace(of workload: JSON, _ kind: WorkloadKind, where isOld: (PodState) -> Bool) async throws {
        let isOnDelete = workload.at("spec", "updateStrategy", "type")?.string == "OnDelete"
        guard isOnDelete || kind == .statefulset, let uid = workload.at("metadata", "uid")?.string else { return }
        let scope = KubeClient.Scope(.pods, namespace: namespace, labels: workload.selectorText)
        for pod in try await client.list(scope).items.map({ PodState($0) }) {
            guard pod.owner == uid, !pod.isTerminating, isOld(pod), isOnDelete || !pod.isReady else { continue }
            guard isOnDelete || !StuckPods.isHeldBack(pod, workload) else { continue }
            // Where somebody was faster, the one that has its name by now is new.
            _ = try await client.deletePod(pod.name, uid: pod.uid, namespace: namespace)
        }
    }

    /// Whether the workload's `partition` leaves this pod as it is.
    private static func isHeldBack(_ pod: PodState, _ workload: JSON) -> Bool {
        let partition = workload.at("spec", "updateStrategy", "rollingUpdate", "partition")?.integer ?? 0
        let number = pod.name.split(separator: "-").last.flatMap { Int64($0) } ?? 0
        return number < partition
    }
}
