internal import JSON
internal import Reactor
internal import Synchronization

/// Follows an image that was set until its pods are ready, deletes pods where the workload leaves that to others, and
/// reports what keeps it back.
struct RolloutProgress: Sendable {
    let image: RolledImage
    let client: KubeClient
    let namespace: String
    let registry: RegistryNames?
    let emit: @Sendable (LoopEvent.Kind) -> Void

    /// Returns when every pod of the new revision is ready, with the time of that; `nil` when the task is cancelled, and
    /// when a Job or a pod has failed for good.
    func untilReady(_ setting: ImageRollout.Setting) async -> UInt64? {
        let target = Target.workload(image.kind, name: image.name)
        let emit = emit
        let ending = await withTaskGroup(of: RolloutWatch.Ending?.self) { group in
            group.addTask {
                await RolloutWatch.run(target, client: client, namespace: namespace, registry: registry) {
                    emit(.failed($0))
                }
            }
            group.addTask {
                if OutdatedPods.isOnDelete(setting.object) { await replacePods() }
                return nil
            }
            defer { group.cancelAll() }
            while let ending = await group.next() { if let ending { return ending } }
            return RolloutWatch.Ending.cancelled
        }
        switch ending {
        case .ready(let time): return time
        case .cancelled: return nil
        // It was said what is missing: it may come all the same.
        case .behind: return await untilDone()
        }
    }

    /// Waits for the end without a limit, and says nothing.
    private func untilDone() async -> UInt64? {
        await following { state in
            guard let workload = state.workload else { return .goOn }
            if Rollout.isDone(image.kind, workload, byHand: true) { return .end }
            return RolloutProgress.hasFailed(image.kind, workload) ? .giveUp : .goOn
        }
    }

    /// Deletes the pods of older revisions, one after the other, until there is none.
    private func replacePods() async {
        let gone = Mutex<Set<String>>([])
        _ = await following { state in
            if let pod = OutdatedPods.next(state, gone: gone.withLock { $0 }) {
                gone.withLock { _ = $0.insert(pod.uid) }
                await delete(pod)
            }
            let isDone = state.workload.map { Rollout.isDone(image.kind, $0, byHand: true) } ?? false
            return isDone && state.outdated.isEmpty ? .end : .goOn
        }
    }

    private func delete(_ pod: PodState) async {
        let started = monotonicNow()
        do {
            try await client.delete(.pods, pod.name, namespace: namespace, uid: pod.uid)
            emit(.podDeleted(pod: pod.name, milliseconds: Double(monotonicNow() - started) / 1e6))
        } catch let error as KubeError where error.isNotFound || error.isConflict {
            // Gone already, or another one of that name is there.
        } catch {
            emit(
                .failed(
                    LoopEvent.Failure(
                        "\(error)",
                        nextStep: "\(image.workload) has `OnDelete`: `kubectl delete pod \(pod.name)` brings the image")))
        }
    }

    private enum Next { case goOn, end, giveUp }

    /// Reads states until one ends it.
    private func following(_ look: @escaping @Sendable (WorkloadState) async -> Next) async -> UInt64? {
        let watch = WorkloadWatch(
            client, .workload(image.kind, name: image.name), namespace: namespace)
        return await withTaskGroup(of: UInt64?.self) { group in
            group.addTask {
                await watch.run()
                return nil
            }
            group.addTask {
                while let state = await watch.next() {
                    guard state.disconnection == nil else { continue }
                    switch await look(state) {
                    case .goOn: continue
                    case .end: return monotonicNow()
                    case .giveUp: return nil
                    }
                }
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    /// Whether nothing will become of it.
    static func hasFailed(_ kind: WorkloadKind, _ workload: JSON) -> Bool {
        switch kind {
        case .job: workload["status"]?.condition("Failed")?["status"]?.string == "True"
        case .pod: workload.at("status", "phase")?.string == "Failed"
        case .deployment, .statefulset, .daemonset: false
        }
    }
}
