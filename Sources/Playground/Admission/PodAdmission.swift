internal import JSON

/// Whether a pod may be created, beyond making sense: what its namespace forbids, and what it has room for.
enum PodAdmission {
    /// Throws 403 where a pod must not be; other kinds may.
    static func admit(_ pod: JSON, _ kind: ResourceKind, in surroundings: Surroundings) throws {
        guard kind == .pod else { return }
        try PodSecurity.enforced(in: surroundings.namespace).admit(pod)
        let quotas = surroundings.objects(.resourceQuota)
        guard !quotas.isEmpty else { return }
        let others = surroundings.objects(.pod)
        for quota in quotas { try ResourceQuota(quota).admit(pod, beside: others) }
    }
}
