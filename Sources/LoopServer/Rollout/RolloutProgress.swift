internal import JSON
internal import Reactor
internal import Synchronization

/// Follows an image that was set until its pods are ready, deletes pods where the workload leaves that to others, and
/// reports what keeps it back.
struct RolloutProgress: Sendable {
    let image: RolledImage
    let client: KubeClient
    let namespace: String
    let clues: RegistryClues.Source
    let ledger: CauseLedger?
    let emit: @Sendable (LoopEvent.Kind) -> Void

    /// Returns when every pod of the new revision is ready, with the time of that; `nil` when the task is cancelled, and
    /// when a Job or a pod has failed for good.
    ///
    /// `onBehind` is called when that has taken too long: it is waited for all the same.
    func untilReady(
        _ setting: ImageRollout.Setting, onBehind: @escaping @Sendable () async -> Void = {}
    ) async -> UInt64? {
        let target = Target.workload(image.kind, name: image.name)
        // Why nothing happens was said; it goes on when somebody resumes it.
        if RolloutProgress.isPaused(setting.object) {
            guard case .ready(let time) = await untilDone() else { return nil }
            return time
        }
        let isOnDelete = OutdatedPods.isOnDelete(setting.object)
        let emit = emit
        return await withTaskGroup(of: Ending.self) { group in
            group.addTask {
                let ending = await RolloutWatch.run(
                    target, client: client, namespace: namespace, clues: clues, ledger: ledger,
                    isOld: setting.started == nil, byHand: true, progress: { emit(.notice($0)) }
                ) { emit(.failed($0)) }
                switch ending {
                case .ready(let time): return .ready(time)
                case .cancelled: return .open
                case .failed: return .failed
                // It was said what is missing: it may come all the same.
                case .behind:
                    await onBehind()
                    return await untilDone()
                }
            }
            if isOnDelete {
                group.addTask {
                    await replacePods()
                    return .open
                }
            }
            defer { group.cancelAll() }
            while let ending = await group.next() {
                switch ending {
                case .open: continue
                case .ready(let time): return time
                case .failed: return nil
                }
            }
            return nil
        }
    }

    private enum Ending: Equatable {
        /// This one does not say.
        case open
        case ready(UInt64)
        case failed
    }

    /// Waits for the end without a limit, and says nothing.
    private func untilDone() async -> Ending {
        await following { state in
            state.workload.map { Rollout.isDone(image.kind, $0, byHand: true) } ?? false
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
            return isDone && state.outdated.isEmpty
        }
    }

    private func delete(_ pod: PodState) async {
        let started = monotonicNow()
        do {
            guard try await client.deletePod(pod.name, uid: pod.uid, namespace: namespace) else { return }
            emit(.podDeleted(pod: pod.name, milliseconds: Double(monotonicNow() - started) / 1e6))
        } catch {
            emit(
                .failed(
                    LoopEvent.Failure(
                        "\(error)",
                        nextStep: "\(image.workload) has `OnDelete`: `kubectl delete pod \(pod.name)` brings the image")
                ))
        }
    }

    /// Reads states until one ends it.
    private func following(_ isEnd: @escaping @Sendable (WorkloadState) async -> Bool) async -> Ending {
        let watch = WorkloadWatch(
            client, .workload(image.kind, name: image.name), namespace: namespace)
        return await withTaskGroup(of: Ending.self) { group in
            group.addTask {
                await watch.run()
                return .open
            }
            group.addTask {
                while let state = await watch.next() {
                    if state.disconnection == nil, await isEnd(state) { return .ready(monotonicNow()) }
                }
                return .open
            }
            defer { group.cancelAll() }
            return await group.next() ?? .open
        }
    }

    /// Whether its controller leaves the pods as they are until it is resumed.
    static func isPaused(_ workload: JSON) -> Bool { workload.at("spec", "paused")?.bool == true }
}
