internal import JSON

/// The commonest mistakes in pod specifications, in Kubernetes' words.
enum PodValidation {
    static func check(_ spec: JSON, at path: String) -> [FieldError] {
        var errors: [FieldError] = []
        var volumes: Set<String> = []
        for (index, volume) in (spec["volumes"]?.array ?? []).enumerated() {
            let name = volume["name"]?.string ?? ""
            let field = "\(path).volumes[\(index)]"
            errors += named(name, at: "\(field).name", among: &volumes)
            if (volume.object?.count ?? 0) > 2 {
                errors.append(.forbidden("\(field)", "may not specify more than 1 volume type"))
            }
            if volume["hostPath"] != nil, (volume.at("hostPath", "path")?.string ?? "").isEmpty {
                errors.append(.required("\(field).hostPath.path"))
            }
        }
        var names: Set<String> = []
        for list in ["initContainers", "containers", "ephemeralContainers"] {
            for (index, container) in (spec[list]?.array ?? []).enumerated() {
                errors += check(container, at: "\(path).\(list)[\(index)]", volumes: volumes, names: &names)
            }
        }
        if spec["containers"]?.array?.isEmpty ?? true { errors.append(.required("\(path).containers")) }
        if let policy = spec["restartPolicy"]?.string, !["Always", "OnFailure", "Never"].contains(policy) {
            errors.append(.unsupported("\(path).restartPolicy", policy, ["Always", "OnFailure", "Never"]))
        }
        return errors
    }

    /// Checks the change of a running pod, of which little may change.
    static func check(_ spec: JSON, from old: JSON) -> [FieldError] {
        var masked = spec
        for list in ["containers", "initContainers"] {
            let before = old[list]?.array ?? []
            guard before.count == spec[list]?.array?.count ?? 0 else { continue }
            var index = 0
            masked.editEach(list) { container in
                container["image"] = before[index]["image"]
                index += 1
            }
        }
        for field in ["activeDeadlineSeconds", "tolerations", "ephemeralContainers", "nodeName"] {
            masked[field] = old[field]
        }
        guard masked != old else { return [] }
        return [
            .forbidden(
                "spec",
                "pod updates may not change fields other than `spec.containers[*].image`,"
                    + "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
                    + "existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
                    + "previously negative)")
        ]
    }

    private static func check(
        _ container: JSON, at path: String, volumes: Set<String>, names: inout Set<String>
    ) -> [FieldError] {
        var errors = named(container["name"]?.string ?? "", at: "\(path).name", among: &names)
        if (container["image"]?.string ?? "").isEmpty { errors.append(.required("\(path).image")) }
        if let policy = container["imagePullPolicy"]?.string, !["Always", "IfNotPresent", "Never"].contains(policy) {
            errors.append(.unsupported("\(path).imagePullPolicy", policy, ["Always", "IfNotPresent", "Never"]))
        }
        for (index, port) in (container["ports"]?.array ?? []).enumerated() {
            let field = "\(path).ports[\(index)].containerPort"
            guard let number = port["containerPort"]?.integer, number != 0 else {
                errors.append(.required(field))
                continue
            }
            if !(1...65535).contains(number) {
                errors.append(.invalid(field, .integer(number), "must be between 1 and 65535, inclusive"))
            }
        }
        for (index, variable) in (container["env"]?.array ?? []).enumerated() {
            let field = "\(path).env[\(index)]"
            if (variable["name"]?.string ?? "").isEmpty { errors.append(.required("\(field).name")) }
            if variable["value"] != nil, variable["valueFrom"] != nil {
                errors.append(
                    .invalid("\(field).valueFrom", "", "may not be specified when `value` is not empty"))
            }
        }
        var mounts: Set<String> = []
        for (index, mount) in (container["volumeMounts"]?.array ?? []).enumerated() {
            let field = "\(path).volumeMounts[\(index)]"
            let name = mount["name"]?.string ?? ""
            if name.isEmpty {
                errors.append(.required("\(field).name"))
            } else if !volumes.contains(name) {
                errors.append(.notFound("\(field).name", name))
            }
            let target = mount["mountPath"]?.string ?? ""
            if target.isEmpty {
                errors.append(.required("\(field).mountPath"))
            } else if !mounts.insert(target).inserted {
                errors.append(.invalid("\(field).mountPath", .string(target), "must be unique"))
            }
            if let inner = mount["subPath"]?.string {
                if inner.hasPrefix("/") {
                    errors.append(.invalid("\(field).subPath", .string(inner), "must be a relative path"))
                } else if inner.split(separator: "/").contains("..") {
                    errors.append(.invalid("\(field).subPath", .string(inner), "must not contain '..'"))
                }
            }
        }
        return errors + resources(container["resources"] ?? [:], at: "\(path).resources")
    }

    private static func resources(_ resources: JSON, at path: String) -> [FieldError] {
        (resources["requests"]?.object ?? JSONObject()).compactMap { name, amount in
            guard let limit = resources.at("limits", name)?.string, let most = Quantity(limit),
                let asked = amount.string.flatMap({ Quantity($0) }), asked.thousandths > most.thousandths
            else { return nil }
            return .invalid("\(path).requests", amount, "must be less than or equal to \(name) limit of \(limit)")
        }
    }

    private static func named(_ name: String, at path: String, among names: inout Set<String>) -> [FieldError] {
        if name.isEmpty { return [.required(path)] }
        let errors = Names.label(name).map { FieldError.invalid(path, .string(name), $0) }
        return names.insert(name).inserted ? errors : errors + [.duplicate(path, name)]
    }
}
