internal import JSON

/// What the API makes of a Service, and what Services may not say, in Kubernetes' words.
enum ServiceAdmission {
    static func defaults(_ spec: inout JSON) {
        spec.setDefault("type", "ClusterIP")
        spec.setDefault("sessionAffinity", "None")
        if let ports = spec["ports"]?.array {
            spec["ports"] = .array(
                ports.map { given in
                    var port = given
                    port.setDefault("protocol", "TCP")
                    if isUnset(port["targetPort"]) { port["targetPort"] = port["port"] }
                    return port
                })
        }
        let type = spec["type"]
        if type == "ExternalName" { return }
        spec.setDefault("internalTrafficPolicy", "Cluster")
        if type == "NodePort" || type == "LoadBalancer" { spec.setDefault("externalTrafficPolicy", "Cluster") }
        if type == "LoadBalancer" { spec.setDefault("allocateLoadBalancerNodePorts", true) }
        if (spec["clusterIP"] ?? "") == "", let address = spec["clusterIPs"]?[0] { spec["clusterIP"] = address }
    }

    private static func isUnset(_ port: JSON?) -> Bool { port == nil || port == 0 || port == "" }

    /// A change that does not name the addresses and ports that a Service was given keeps them.
    static func keep(_ object: inout JSON, of current: JSON) {
        let old = current["spec"] ?? [:]
        object.setDefault("spec", [:])
        object.edit("spec") { spec in
            if spec["type"] == "ExternalName" {
                guard old["type"] != "ExternalName" else { return }
                for field in ["clusterIP", "clusterIPs", "internalTrafficPolicy", "ipFamilies", "ipFamilyPolicy"]
                where spec[field] == old[field] { spec[field] = nil }
                return
            }
            if (spec["clusterIP"]?.string ?? "").isEmpty, let address = old["clusterIP"], spec["clusterIPs"] == nil {
                spec["clusterIP"] = address
                spec["clusterIPs"] = old["clusterIPs"]
            }
            for field in ["ipFamilies", "ipFamilyPolicy"] where spec[field] == nil { spec[field] = old[field] }
            let hasNodePorts = ["NodePort", "LoadBalancer"].contains(spec["type"] ?? "")
            spec["ports"] = spec["ports"]?.array.map { ports in
                .array(
                    ports.map { given in
                        var port = given
                        let before = (old["ports"]?.array ?? []).first {
                            $0["port"] == port["port"] && $0["protocol"] == (port["protocol"] ?? "TCP")
                        }
                        if hasNodePorts {
                            if port["nodePort"]?.integer ?? 0 == 0 { port["nodePort"] = before?["nodePort"] }
                        } else if port["nodePort"] == before?["nodePort"] {
                            port["nodePort"] = nil
                        }
                        return port
                    })
            }
        }
    }

    static func check(_ spec: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let type = spec["type"]?.string ?? ""
        let isHeadless = spec["clusterIP"] == "None"
        let ports = spec["ports"]?.array ?? []
        if ports.isEmpty, !isHeadless, type != "ExternalName" { errors.append(.required("spec.ports")) }
        switch type {
        case "ClusterIP": break
        case "ExternalName":
            if !(spec["clusterIP"]?.string ?? "").isEmpty {
                errors.append(.forbidden("spec.clusterIP", "may not be set for ExternalName services"))
            }
            if let name = spec["externalName"]?.string, !name.isEmpty {
                errors += Names.subdomain(name.hasSuffix(".") ? String(name.dropLast()) : name).map {
                    .invalid("spec.externalName", .string(name), $0)
                }
            } else {
                errors.append(.required("spec.externalName"))
            }
        case "NodePort", "LoadBalancer":
            if isHeadless {
                errors.append(
                    .invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for \(type) services"))
            }
        default:
            errors.append(
                .unsupported("spec.type", type, ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]))
        }
        errors += ports.enumerated().flatMap { check($1, at: "spec.ports[\($0)]", isOnly: ports.count == 1) }
        errors += duplicates(ports)
        errors += Validation.labels(spec["selector"], at: "spec.selector")
        if spec["sessionAffinity"] != "None" {
            errors.append(
                spec["sessionAffinity"] == "ClientIP"
                    ? .forbidden("spec.sessionAffinity", "the playground does not serve ClientIP affinity yet")
                    : .unsupported("spec.sessionAffinity", spec["sessionAffinity"]?.string ?? "", ["ClientIP", "None"]))
        }
        if spec["externalIPs"]?.isEmpty == false {
            errors.append(.forbidden("spec.externalIPs", "the playground does not serve external addresses yet"))
        }
        if let families = spec["ipFamilies"], families != ["IPv4"] {
            errors.append(.invalid("spec.ipFamilies[0]", families[0] ?? "", "not configured on this cluster"))
        }
        if type != "ExternalName", let address = spec["clusterIP"]?.string, !address.isEmpty, address != "None",
            IPv4(address) == nil
        {
            errors.append(
                .invalid(
                    "spec.clusterIPs[0]", .string(address),
                    "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
        }
        return errors
    }

    private static func check(_ port: JSON, at path: String, isOnly: Bool) -> [FieldError] {
        var errors: [FieldError] = []
        let name = port["name"]?.string ?? ""
        if name.isEmpty {
            if !isOnly { errors.append(.required("\(path).name")) }
        } else {
            errors += Names.label(name).map { .invalid("\(path).name", .string(name), $0) }
        }
        if !isPort(port["port"]) {
            errors.append(.invalid("\(path).port", port["port"] ?? 0, "must be between 1 and 65535, inclusive"))
        }
        let known = ["SCTP", "TCP", "UDP"]
        if !known.contains(port["protocol"]?.string ?? "") {
            errors.append(.unsupported("\(path).protocol", port["protocol"]?.string ?? "", known))
        }
        if let target = port["targetPort"], target.integer != nil, !isPort(target) {
            errors.append(.invalid("\(path).targetPort", target, "must be between 1 and 65535, inclusive"))
        }
        return errors
    }

    private static func isPort(_ number: JSON?) -> Bool { number?.integer.map { (1...65535).contains($0) } ?? false }

    private static func duplicates(_ ports: [JSON]) -> [FieldError] {
        var (names, numbers): (Set<String>, Set<String>) = ([], [])
        return ports.enumerated().flatMap { index, port -> [FieldError] in
            var errors: [FieldError] = []
            let name = port["name"]?.string ?? ""
            if !name.isEmpty, !names.insert(name).inserted {
                errors.append(.duplicate("spec.ports[\(index)].name", name))
            }
            let number = "\(port["protocol"]?.string ?? "")/\(port["port"]?.integer ?? 0)"
            if !numbers.insert(number).inserted {
                let value: JSON = ["port": port["port"] ?? 0, "protocol": port["protocol"] ?? ""]
                errors.append(
                    FieldError(
                        reason: "FieldValueDuplicate", field: "spec.ports[\(index)]",
                        message: "Duplicate value: \(value.text)"))
            }
            return errors
        }
    }

    /// Checks the change of a Service, whose address stays what it is.
    static func check(_ spec: JSON, from old: JSON) -> [FieldError] {
        guard spec["type"] != "ExternalName", old["type"] != "ExternalName",
            let before = old["clusterIP"], before != "", spec["clusterIP"] != before
        else { return [] }
        return [.invalid("spec.clusterIPs[0]", spec["clusterIPs"] ?? [], "may not change once set")]
    }
}
