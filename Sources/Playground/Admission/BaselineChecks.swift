internal import JSON

/// The checks of Pod Security's level `baseline`; each says what a pod does that it must not.
enum BaselineChecks {
    /// All of them, in Kubernetes' order.
    static let all: [@Sendable (SecuredPod) -> String?] =
        [appArmorProfile, capabilities, hostNamespaces, hostPathVolumes, hostPorts]
        + [hostProbes, privileged, procMount, seLinuxOptions, seccompProfile, sysctls]

    /// Those that `restricted` has no stricter check instead of.
    static let inherited: [@Sendable (SecuredPod) -> String?] =
        [appArmorProfile, hostNamespaces, hostPorts, hostProbes, privileged, seLinuxOptions, sysctls]

    private static let capabilitiesOfRuntimes: Set = [
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    ]
    private static let safeSysctls: Set = [
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    ]
    private static let confinedTypes: Set = [
        "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t",
    ]

    @Sendable private static func appArmorProfile(_ pod: SecuredPod) -> String? {
        func unconfined(_ context: JSON) -> [String] {
            guard let type = context.at("appArmorProfile", "type")?.string else { return [] }
            return ["RuntimeDefault", "Localhost"].contains(type) ? [] : [type]
        }
        let annotations = pod.annotations.compactMap { key, value -> String? in
            let profile = value.string ?? ""
            let isFine = profile.isEmpty || profile == "runtime/default" || profile.hasPrefix("localhost/")
            guard key.hasPrefix("container.apparmor.security.beta.kubernetes.io/"), !isFine else { return nil }
            return "\(key)=\(JSON.string(profile).text)"
        }.sorted()
        let values = pod.values(unconfined) + annotations
        guard !values.isEmpty else { return nil }
        let setters =
            [pod.setters { !unconfined($0).isEmpty }].compactMap { $0 }
            + (annotations.isEmpty ? [] : [SecuredPod.plural("annotation", annotations.count)])
        return "\(SecuredPod.plural("forbidden AppArmor profile", values.count)) "
            + "(\(setters.joined(separator: " and ")) must not set AppArmor profile type to \(SecuredPod.quote(values)))"
    }

    @Sendable private static func capabilities(_ pod: SecuredPod) -> String? {
        let added = added(to: pod) { !capabilitiesOfRuntimes.contains($0) }
        return added.map { "non-default capabilities (\($0))" }
    }

    /// Which containers add capabilities that are not allowed.
    static func added(to pod: SecuredPod, where isForbidden: (String) -> Bool) -> String? {
        func forbidden(_ context: JSON?) -> [String] {
            (context?.at("capabilities", "add")?.array ?? []).compactMap(\.string).filter(isForbidden)
        }
        guard let containers = pod.containers(where: { !forbidden($0["securityContext"]).isEmpty }) else { return nil }
        let names = Set(pod.containers.flatMap { forbidden($0["securityContext"]) }).sorted()
        return "\(containers) must not include \(SecuredPod.quote(names)) in securityContext.capabilities.add"
    }

    @Sendable private static func hostNamespaces(_ pod: SecuredPod) -> String? {
        let shared = ["hostNetwork", "hostPID", "hostIPC"].filter { pod.spec[$0] == true }
        return shared.isEmpty ? nil : "host namespaces (\(shared.map { "\($0)=true" }.joined(separator: ", ")))"
    }

    @Sendable private static func hostPathVolumes(_ pod: SecuredPod) -> String? {
        let volumes = (pod.spec["volumes"]?.array ?? []).filter { $0["hostPath"] != nil }
        let names = volumes.compactMap { $0["name"]?.string }
        guard !names.isEmpty else { return nil }
        return "hostPath volumes (\(SecuredPod.plural("volume", names.count)) \(SecuredPod.quote(names)))"
    }

    @Sendable private static func hostPorts(_ pod: SecuredPod) -> String? {
        func ports(_ container: JSON) -> [String] {
            (container["ports"]?.array ?? []).compactMap { $0["hostPort"]?.integer }.filter { $0 != 0 }.map(String.init)
        }
        let names = Set(pod.containers.flatMap(ports)).sorted()
        guard let containers = pod.containers(where: { !ports($0).isEmpty }) else { return nil }
        let use = pod.containers.count { !ports($0).isEmpty } == 1 ? "uses" : "use"
        return "hostPort (\(containers) \(use) \(SecuredPod.plural("hostPort", names.count)) "
            + "\(names.joined(separator: ", ")))"
    }

    @Sendable private static func hostProbes(_ pod: SecuredPod) -> String? {
        func hosts(_ container: JSON) -> [String] {
            let handlers =
                ["livenessProbe", "readinessProbe", "startupProbe"].map { container[$0] }
                + ["postStart", "preStop"].map { container.at("lifecycle", $0) }
            return handlers.flatMap { handler in
                ["httpGet", "tcpSocket"].compactMap { handler?.at($0, "host")?.string }.filter { !$0.isEmpty }
            }
        }
        let names = Set(pod.containers.filter { !hosts($0).isEmpty }.compactMap { $0["name"]?.string }).sorted()
        let found = Set(pod.containers.flatMap(hosts)).sorted()
        guard !found.isEmpty else { return nil }
        return "probe or lifecycle host (\(SecuredPod.plural("container", names.count)) \(SecuredPod.quote(names)) "
            + "\(names.count == 1 ? "uses" : "use") \(SecuredPod.plural("probe or lifecycle host", found.count)) "
            + "\(SecuredPod.quote(found)))"
    }

    @Sendable private static func privileged(_ pod: SecuredPod) -> String? {
        pod.containers { $0.at("securityContext", "privileged") == true }.map {
            "privileged (\($0) must not set securityContext.privileged=true)"
        }
    }

    @Sendable private static func procMount(_ pod: SecuredPod) -> String? {
        pod.hasOwnUsers ? nil : unmaskedProcess(pod)
    }

    /// Containers that want to see all of `/proc`.
    @Sendable static func unmaskedProcess(_ pod: SecuredPod) -> String? {
        func type(_ container: JSON) -> String? {
            let type = container.at("securityContext", "procMount")?.string
            return type == "Default" ? nil : type
        }
        let types = Set(pod.containers.compactMap(type)).sorted()
        return pod.containers { type($0) != nil }.map {
            "procMount (\($0) must not set securityContext.procMount to \(SecuredPod.quote(types)))"
        }
    }

    @Sendable private static func seLinuxOptions(_ pod: SecuredPod) -> String? {
        func types(_ context: JSON) -> [String] {
            let type = context.at("seLinuxOptions", "type")?.string ?? ""
            return confinedTypes.contains(type) ? [] : [type]
        }
        func sets(_ option: String, _ context: JSON) -> Bool {
            !(context.at("seLinuxOptions", option)?.string ?? "").isEmpty
        }
        let setters = pod.setters { !types($0).isEmpty || sets("user", $0) || sets("role", $0) }
        guard let setters else { return nil }
        let badTypes = pod.values(types)
        var faults =
            badTypes.isEmpty ? [] : ["\(SecuredPod.plural("type", badTypes.count)) \(SecuredPod.quote(badTypes))"]
        for option in ["user", "role"] where pod.setters(of: { sets(option, $0) }) != nil {
            faults.append("\(option) may not be set")
        }
        return "seLinuxOptions (\(setters) set forbidden securityContext.seLinuxOptions: "
            + "\(faults.joined(separator: "; ")))"
    }

    @Sendable static func seccompProfile(_ pod: SecuredPod) -> String? {
        func unconfined(_ context: JSON) -> [String] {
            guard let type = seccompType(context) else { return [] }
            return isConfined(type) ? [] : [type]
        }
        return pod.setters { !unconfined($0).isEmpty }.map {
            "seccompProfile (\($0) must not set securityContext.seccompProfile.type to "
                + "\(SecuredPod.quote(pod.values(unconfined))))"
        }
    }

    /// The profile's type where a security context has a profile.
    static func seccompType(_ context: JSON?) -> String? {
        context?["seccompProfile"].map { $0["type"]?.string ?? "" }
    }

    static func isConfined(_ type: String) -> Bool { type == "RuntimeDefault" || type == "Localhost" }

    @Sendable private static func sysctls(_ pod: SecuredPod) -> String? {
        let names = (pod.context?["sysctls"]?.array ?? []).compactMap { $0["name"]?.string }
        let unsafe = names.filter { !safeSysctls.contains($0) }
        return unsafe.isEmpty ? nil : "forbidden sysctls (\(unsafe.joined(separator: ", ")))"
    }
}
