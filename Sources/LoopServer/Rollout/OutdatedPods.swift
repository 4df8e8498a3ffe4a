internal import JSON

/// Which pod of a workload that leaves it to others to delete pods (`OnDelete`) goes next: a pure function.
enum OutdatedPods {
    /// The pod to delete now; `nil` while the one that followed the last is not ready yet, and when none is left.
    ///
    /// - Parameters:
    ///   - state: the workload, with what is not of its newest revision apart.
    ///   - gone: the uids of pods that were deleted before: they may be seen for a while.
    static func next(_ state: WorkloadState, gone: Set<String>) -> PodState? {
        guard let workload = state.workload, isOnDelete(workload), isObserved(workload) else { return nil }
        let old = state.outdated.filter { !$0.isTerminating && !gone.contains($0.uid) }
        // One that serves nobody is no loss.
        if let broken = old.first(where: { !$0.isReady }) { return broken }
        let all = state.pods + state.outdated
        guard !all.contains(where: \.isTerminating), !all.contains(where: { gone.contains($0.uid) }),
            state.pods.allSatisfy(\.isReady),
            all.count >= state.wantedPods ?? 0
        else { return nil }
        // As a StatefulSet does it: from the last to the first.
        return old.last
    }

    static func isOnDelete(_ workload: JSON) -> Bool {
        workload.at("spec", "updateStrategy", "type")?.string == "OnDelete"
    }

    /// Whether the controller has seen the workload as it is.
    private static func isObserved(_ workload: JSON) -> Bool {
        workload.at("status", "observedGeneration")?.integer ?? 0 >= workload.at("metadata", "generation")?.integer ?? 0
    }
}
