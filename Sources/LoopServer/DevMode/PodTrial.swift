internal import JSON

/// Asks the cluster whether it would take a pod, without making one: what policies refuse is said before anything changes.
struct PodTrial: Sendable {
    let client: KubeClient
    let namespace: String

    /// Throws `LoopFailure` where a pod of the workload is refused that was not refused before, too.
    func check(_ workload: JSON, insteadOf original: JSON) async throws {
        guard let refusal = try await refusal(of: workload) else { return }
        // A quota that is used up by its own pods stops the original as well: they go when others come.
        if refusal.isQuota, let before = try await self.refusal(of: original), before.isQuota { return }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "dev mode: \(refusal.policy) refuses its pods; nothing was changed", details: [refusal.message],
                nextStep: "allow it in namespace \(namespace), or leave \"dev\" out"))
    }

    /// Who refuses a pod, in whose words.
    struct Refusal: Equatable {
        let policy: String
        let message: String
        var isQuota: Bool { policy == "a resource quota" }

        /// What an error says about a pod; `nil` where it says only that nobody may ask.
        init?(_ error: KubeError) {
            let words = error.message
            // Who may patch a workload need not be allowed to make pods; its controller is.
            if words.contains("cannot create resource \"pods\"") || words.contains("does not support dry run") {
                return nil
            }
            message = words
            if words.contains("violates PodSecurity") {
                policy = "Pod Security"
            } else if words.contains("exceeded quota") || words.contains("failed quota") {
                policy = "a resource quota"
            } else if let name = words.split(separator: "\"").dropFirst().first, words.contains("admission webhook") {
                policy = "the admission webhook \(name)"
            } else if error.isForbidden {
                policy = "an admission policy"
            } else {
                policy = "the API"
            }
        }
    }

    private func refusal(of workload: JSON) async throws -> Refusal? {
        do {
            _ = try await client.create(.pods, namespace: namespace, PodTrial.pod(of: workload), dryRun: true)
            return nil
        } catch let error as KubeError where (400..<500).contains(error.code) && error.code != 401 && error.code != 429
        {
            return Refusal(error)
        }
    }

    /// A pod as the workload's controller makes it.
    static func pod(of workload: JSON) -> JSON {
        let template = workload.at("spec", "template") ?? .null
        let name = workload.at("metadata", "name")?.string ?? ""
        var metadata: JSON = ["generateName": .string("\(name)-")]
        for key in ["labels", "annotations"] { metadata[key] = template.at("metadata", key) }
        var spec = template["spec"] ?? .null
        let claims = (workload.at("spec", "volumeClaimTemplates")?.array ?? []).compactMap { claim -> JSON? in
            guard let claim = claim.at("metadata", "name")?.string else { return nil }
            return ["name": .string(claim), "persistentVolumeClaim": ["claimName": .string("\(claim)-\(name)-0")]]
        }
        if !claims.isEmpty { spec["volumes"] = .array((spec["volumes"]?.array ?? []) + claims) }
        return ["apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec]
    }
}
