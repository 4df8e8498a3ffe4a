internal import JSON

/// The checks of Pod Security's level `restricted`: what `baseline` forbids, and what pods must say themselves.
enum RestrictedChecks {
    /// All of them, in Kubernetes' order.
    static let all: [@Sendable (SecuredPod) -> String?] =
        BaselineChecks.inherited
        + [allowPrivilegeEscalation, capabilities, BaselineChecks.unmaskedProcess]
        + [volumes, runAsNonRoot, runAsUser, seccompProfile]

    private static let allowedVolumes = [
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected",
        "secret",
    ]

    @Sendable private static func allowPrivilegeEscalation(_ pod: SecuredPod) -> String? {
        pod.containers { $0.at("securityContext", "allowPrivilegeEscalation") != false }.map {
            "allowPrivilegeEscalation != false (\($0) must set securityContext.allowPrivilegeEscalation=false)"
        }
    }

    @Sendable private static func capabilities(_ pod: SecuredPod) -> String? {
        let keeping = pod.containers { container in
            container.at("securityContext", "capabilities", "drop")?.array?.contains("ALL") != true
        }
        let faults = [
            keeping.map { "\($0) must set securityContext.capabilities.drop=[\"ALL\"]" },
            BaselineChecks.added(to: pod) { $0 != "NET_BIND_SERVICE" },
        ].compactMap { $0 }
        return faults.isEmpty ? nil : "unrestricted capabilities (\(faults.joined(separator: "; ")))"
    }

    @Sendable private static func volumes(_ pod: SecuredPod) -> String? {
        let bad = (pod.spec["volumes"]?.array ?? []).filter { volume in
            !allowedVolumes.contains { volume[$0] != nil }
        }
        guard !bad.isEmpty else { return nil }
        let types = Set(bad.map { $0.object?.keys.first { $0 != "name" } ?? "unknown" }).sorted()
        return "restricted volume types (\(SecuredPod.plural("volume", bad.count)) "
            + "\(SecuredPod.quote(bad.map { $0["name"]?.string ?? "" })) \(bad.count == 1 ? "uses" : "use") "
            + "\(SecuredPod.plural("restricted volume type", types.count)) \(SecuredPod.quote(types)))"
    }

    @Sendable private static func runAsNonRoot(_ pod: SecuredPod) -> String? {
        if pod.hasOwnUsers { return nil }
        if let setters = pod.setters(of: { $0["runAsNonRoot"] == false }) {
            return "runAsNonRoot != true (\(setters) must not set securityContext.runAsNonRoot=false)"
        }
        if pod.context?["runAsNonRoot"] == true { return nil }
        return pod.containers { $0.at("securityContext", "runAsNonRoot") == nil }.map {
            "runAsNonRoot != true (pod or \($0) must set securityContext.runAsNonRoot=true)"
        }
    }

    @Sendable private static func runAsUser(_ pod: SecuredPod) -> String? {
        if pod.hasOwnUsers { return nil }
        return pod.setters { $0["runAsUser"] == 0 }.map { "runAsUser=0 (\($0) must not set runAsUser=0)" }
    }

    @Sendable private static func seccompProfile(_ pod: SecuredPod) -> String? {
        if let unconfined = BaselineChecks.seccompProfile(pod) { return unconfined }
        if BaselineChecks.seccompType(pod.context).map(BaselineChecks.isConfined) == true { return nil }
        return pod.containers { BaselineChecks.seccompType($0["securityContext"]) == nil }.map {
            "seccompProfile (pod or \($0) must set securityContext.seccompProfile.type to "
                + "\"RuntimeDefault\" or \"Localhost\")"
        }
    }
}
