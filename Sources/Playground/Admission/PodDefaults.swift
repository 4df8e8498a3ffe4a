internal import JSON

/// What the API fills into pods and pod templates.
enum PodDefaults {
    static func apply(toTemplate spec: inout JSON) {
        spec.editEach("volumes", volume)
        let isOnHostNetwork = spec["hostNetwork"] == true
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            spec.editEach(list) { container in
                self.container(&container)
                if isOnHostNetwork {
                    container.editEach("ports") { port in
                        if let number = port["containerPort"] { port.setDefault("hostPort", number) }
                    }
                }
            }
        }
        spec.setDefault("restartPolicy", "Always")
        spec.setDefault("terminationGracePeriodSeconds", 30)
        spec.setDefault("dnsPolicy", "ClusterFirst")
        // The old name of the same field is kept in step.
        if let account = spec["serviceAccountName"] ?? spec["serviceAccount"] {
            spec["serviceAccountName"] = account
            spec["serviceAccount"] = account
        }
        spec.setDefault("securityContext", [:])
        spec.setDefault("schedulerName", "default-scheduler")
    }

    static func apply(toPod spec: inout JSON) {
        apply(toTemplate: &spec)
        for list in ["initContainers", "containers"] {
            spec.editEach(list) { container in
                container.edit("resources") { resources in
                    guard let limits = resources["limits"]?.object else { return }
                    var requests = resources["requests"] ?? [:]
                    for (name, amount) in limits { requests.setDefault(name, amount) }
                    resources["requests"] = requests
                }
            }
        }
        spec.setDefault("enableServiceLinks", true)
        admit(&spec)
    }

    /// What the API adds to a pod on its own account, whoever creates it.
    static func admit(_ spec: inout JSON) {
        for reason in ["not-ready", "unreachable"] {
            let key = JSON.string("node.kubernetes.io/\(reason)")
            let tolerations = spec["tolerations"]?.array ?? []
            guard !tolerations.contains(where: { $0["key"] == nil || $0["key"] == key }) else { continue }
            spec["tolerations"] = .array(
                tolerations + [["key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300]])
        }
        spec.setDefault("priority", 0)
        spec.setDefault("preemptionPolicy", "PreemptLowerPriority")
    }

    static func container(_ container: inout JSON) {
        container.editEach("ports") { $0.setDefault("protocol", "TCP") }
        container.editEach("env") { variable in
            variable.edit("valueFrom") { source in
                source.edit("fieldRef") { $0.setDefault("apiVersion", "v1") }
                source.edit("resourceFieldRef") { $0.setDefault("divisor", "0") }
            }
        }
        container.setDefault("resources", [:])
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] { container.edit(probe, self.probe) }
        container.edit("lifecycle") { lifecycle in
            for hook in ["postStart", "preStop"] { lifecycle.edit(hook) { $0.edit("httpGet", request) } }
        }
        container.setDefault("terminationMessagePath", "/dev/termination-log")
        container.setDefault("terminationMessagePolicy", "File")
        let image = container["image"]?.string ?? ""
        container.setDefault("imagePullPolicy", .string(isLatest(image) ? "Always" : "IfNotPresent"))
    }

    /// `Guaranteed`, `Burstable` or `BestEffort`, from what the containers ask for.
    static func qualityOfService(_ spec: JSON?) -> String {
        var isGuaranteed = true
        var asksForSomething = false
        for container in (spec?["containers"]?.array ?? []) + (spec?["initContainers"]?.array ?? []) {
            let limits = container.at("resources", "limits")
            let requests = container.at("resources", "requests")
            for resource in ["cpu", "memory"] {
                if limits?[resource] != nil || requests?[resource] != nil { asksForSomething = true }
                guard let limit = limits?[resource]?.string, let request = requests?[resource]?.string,
                    Quantity(limit) == Quantity(request)
                else {
                    isGuaranteed = false
                    continue
                }
            }
        }
        return !asksForSomething ? "BestEffort" : isGuaranteed ? "Guaranteed" : "Burstable"
    }

    private static func probe(_ probe: inout JSON) {
        probe.edit("httpGet", request)
        probe.setDefault("timeoutSeconds", 1)
        probe.setDefault("periodSeconds", 10)
        probe.setDefault("successThreshold", 1)
        probe.setDefault("failureThreshold", 3)
    }

    private static func request(_ request: inout JSON) {
        request.setDefault("path", "/")
        request.setDefault("scheme", "HTTP")
    }

    private static func volume(_ volume: inout JSON) {
        if volume.object?.keys == ["name"] { volume["emptyDir"] = [:] }
        for source in ["secret", "configMap", "downwardAPI", "projected"] {
            volume.edit(source) { $0.setDefault("defaultMode", 420) }
        }
        volume.edit("hostPath") { $0.setDefault("type", "") }
    }

    private static func isLatest(_ image: String) -> Bool {
        if image.contains("@") { return false }
        let name = image.split(separator: "/").last ?? ""
        guard let colon = name.lastIndex(of: ":") else { return true }
        return name[name.index(after: colon)...] == "latest"
    }
}
