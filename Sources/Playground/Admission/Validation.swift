internal import HTTP
internal import JSON

/// The commonest mistakes in objects, in Kubernetes' words.
enum Validation {
    /// Checks a new object.
    ///
    /// Throws 422 with every mistake.
    static func check(_ object: JSON, _ kind: ResourceKind) throws {
        var errors = metadata(object, kind)
        switch kind {
        case .pod:
            errors += PodValidation.check(object["spec"] ?? [:], at: "spec")
        case .deployment, .replicaSet, .statefulSet, .daemonSet: errors += workload(object["spec"] ?? [:], kind)
        case .job: errors += JobAdmission.check(object)
        case .service: errors += ServiceAdmission.check(object["spec"] ?? [:])
        case .endpoints, .endpointSlice: errors += EndpointAdmission.check(object, kind)
        case .configMap:
            errors += keys(object, "data") + keys(object, "binaryData") + binary(object, "binaryData")
            errors += size(object["data"], object["binaryData"])
        case .namespace: errors += PodSecurity.check(labels: object.at("metadata", "labels"))
        case .resourceQuota: errors += ResourceQuota.check(object)
        case .secret: errors += keys(object, "data") + binary(object, "data") + size(nil, object["data"])
        default: break
        }
        try raise(errors, object, kind)
    }

    /// Checks a changed object against what it was.
    static func check(_ object: JSON, from old: JSON, _ kind: ResourceKind) throws {
        try check(object, kind)
        var errors = finalizers(object, from: old)
        switch kind {
        case .statefulSet: errors += SetValidation.statefulSet(object["spec"] ?? [:], from: old["spec"] ?? [:])
        case .controllerRevision:
            if object["data"] != old["data"] {
                errors.append(.invalid("data", object["data"] ?? .null, "field is immutable"))
            }
        case .deployment, .replicaSet, .daemonSet:
            if let selector = object.at("spec", "selector"), selector != old.at("spec", "selector") {
                errors.append(.invalid("spec.selector", selector, "field is immutable"))
            }
        case .job: errors += JobAdmission.check(object["spec"] ?? [:], from: old["spec"] ?? [:])
        case .pod: errors += PodValidation.check(object["spec"] ?? [:], from: old["spec"] ?? [:])
        case .service: errors += ServiceAdmission.check(object["spec"] ?? [:], from: old["spec"] ?? [:])
        case .configMap, .secret:
            if old["immutable"] == true {
                for field in ["data", "binaryData"] where object[field] != old[field] {
                    errors.append(.forbidden(field, "field is immutable when `immutable` is set"))
                }
                if object["immutable"] != true {
                    errors.append(.forbidden("immutable", "field is immutable when `immutable` is set"))
                }
            }
            if kind == .secret, let type = object["type"], type != old["type"] {
                errors.append(.invalid("type", type, "field is immutable"))
            }
        default: break
        }
        try raise(errors, object, kind)
    }

    private static func finalizers(_ object: JSON, from old: JSON) -> [FieldError] {
        guard old.at("metadata", "deletionTimestamp") != nil else { return [] }
        let before = old.at("metadata", "finalizers")?.array ?? []
        let added = (object.at("metadata", "finalizers")?.array ?? []).filter { !before.contains($0) }
        guard !added.isEmpty else { return [] }
        return [
            .forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{"
                    + added.map(\.text).joined(separator: ", ") + "}")
        ]
    }

    private static func raise(_ errors: [FieldError], _ object: JSON, _ kind: ResourceKind) throws {
        guard !errors.isEmpty else { return }
        let name = object.at("metadata", "name")?.string ?? object.at("metadata", "generateName")?.string ?? ""
        throw StatusError.invalid(kind, name, errors)
    }

    private static func metadata(_ object: JSON, _ kind: ResourceKind) -> [FieldError] {
        var errors: [FieldError] = []
        let metadata = object["metadata"] ?? [:]
        let name = metadata["name"]?.string ?? ""
        if name.isEmpty, metadata["generateName"]?.string?.isEmpty ?? true {
            errors.append(.required("metadata.name", "name or generateName is required"))
        } else if !name.isEmpty {
            let faults: [String] =
                switch kind {
                case .namespace: Names.label(name)
                case .service: Names.serviceName(name)
                default: Names.subdomain(name)
                }
            errors += faults.map { .invalid("metadata.name", .string(name), $0) }
        } else if let prefix = metadata["generateName"]?.string {
            // The suffix makes a trailing dash or dot right.
            errors += Names.subdomain(prefix + "x").map { .invalid("metadata.generateName", .string(prefix), $0) }
        }
        return errors + labels(metadata["labels"], at: "metadata.labels")
    }

    static func labels(_ labels: JSON?, at path: String) -> [FieldError] {
        (labels?.object ?? JSONObject()).flatMap { key, value -> [FieldError] in
            Names.labelKey(key).map { .invalid(path, .string(key), $0) }
                + Names.labelValue(value.string ?? "").map { .invalid(path, value, $0) }
        }
    }

    private static func workload(_ spec: JSON, _ kind: ResourceKind) -> [FieldError] {
        var errors: [FieldError] = []
        for field in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
            if let number = spec[field]?.integer, number < 0 {
                errors.append(
                    .invalid("spec.\(field)", .integer(number), "must be greater than or equal to 0"))
            }
        }
        let template = spec["template"] ?? [:]
        let selector = spec["selector"]
        if selector == nil {
            errors.append(.required("spec.selector"))
        } else if LabelSelector(selector: selector).requirements.isEmpty {
            errors.append(
                .invalid("spec.selector", selector ?? [:], "empty selector is invalid for \(kind.singular)"))
        }
        if spec["template"] == nil {
            errors.append(.required("spec.template"))
        } else {
            if selector != nil, !LabelSelector(selector: selector).matches(template.at("metadata", "labels")) {
                errors.append(
                    .invalid(
                        "spec.template.metadata.labels", template.at("metadata", "labels") ?? .null,
                        "`selector` does not match template `labels`"))
            }
            errors += labels(template.at("metadata", "labels"), at: "spec.template.labels")
            errors += PodValidation.check(template["spec"] ?? [:], at: "spec.template.spec")
            let restart = template.at("spec", "restartPolicy")?.string ?? "Always"
            if restart != "Always" {
                errors.append(.unsupported("spec.template.spec.restartPolicy", restart, ["Always"]))
            }
        }
        switch kind {
        case .deployment: errors += strategy(spec)
        case .statefulSet: errors += SetValidation.statefulSet(spec)
        case .daemonSet: errors += SetValidation.daemonSet(spec)
        default: break
        }
        return errors
    }

    private static func strategy(_ spec: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        let strategy = spec["strategy"] ?? [:]
        let type = strategy["type"]?.string ?? ""
        let rolling = strategy["rollingUpdate"]
        switch type {
        case "Recreate":
            if rolling != nil {
                errors.append(
                    .forbidden(
                        "spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'"))
            }
        case "RollingUpdate":
            for field in ["maxUnavailable", "maxSurge"] {
                errors += share(rolling?[field], at: "spec.strategy.rollingUpdate.\(field)")
            }
            if let percent = percent(rolling?["maxUnavailable"]), percent > 100 {
                errors.append(
                    .invalid(
                        "spec.strategy.rollingUpdate.maxUnavailable", rolling?["maxUnavailable"] ?? 0,
                        "must not be greater than 100%"))
            }
            if isZero(rolling?["maxUnavailable"]), isZero(rolling?["maxSurge"]) {
                errors.append(
                    .invalid(
                        "spec.strategy.rollingUpdate.maxUnavailable", rolling?["maxUnavailable"] ?? 0,
                        "may not be 0 when `maxSurge` is 0"))
            }
        default: errors.append(.unsupported("spec.strategy.type", type, ["Recreate", "RollingUpdate"]))
        }
        if let deadline = spec["progressDeadlineSeconds"]?.integer, deadline <= spec["minReadySeconds"]?.integer ?? 0 {
            errors.append(
                .invalid("spec.progressDeadlineSeconds", .integer(deadline), "must be greater than minReadySeconds"))
        }
        return errors
    }

    /// A number of pods, or a percentage of them.
    static func share(_ value: JSON?, at path: String) -> [FieldError] {
        guard let value else { return [] }
        if let number = value.integer {
            return number < 0 ? [.invalid(path, value, "must be greater than or equal to 0")] : []
        }
        guard percent(value) == nil else { return [] }
        return [
            .invalid(
                path, value,
                "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
                    + "'93%', regex used for validation is '[0-9]+%')")
        ]
    }

    static func isZero(_ value: JSON?) -> Bool { value == 0 || percent(value) == 0 }

    /// The number before the `%`; `nil` for anything else.
    private static func percent(_ value: JSON?) -> Int? {
        guard let text = value?.string, text.hasSuffix("%"), text.first?.isNumber == true else { return nil }
        return Int(text.dropLast())
    }

    private static func keys(_ object: JSON, _ field: String) -> [FieldError] {
        (object[field]?.object ?? JSONObject()).flatMap { key, _ in
            Names.configKey(key).map { .invalid("\(field)[\(key)]", .string(key), $0) }
        }
    }

    /// What etcd could not hold: the playground could, but what works here must work elsewhere.
    private static func size(_ texts: JSON?, _ encoded: JSON?) -> [FieldError] {
        let limit = 1_048_576
        var total = 0
        for (_, value) in texts?.object ?? JSONObject() { total += value.string?.utf8.count ?? 0 }
        for (_, value) in encoded?.object ?? JSONObject() { total += (value.string?.utf8.count ?? 0) / 4 * 3 }
        guard total > limit else { return [] }
        return [
            FieldError(
                reason: "FieldValueTooLong", field: "[]", message: "Too long: may not be more than \(limit) bytes")
        ]
    }

    private static func binary(_ object: JSON, _ field: String) -> [FieldError] {
        (object[field]?.object ?? JSONObject()).compactMap { key, value in
            HTTP.Base64.decode(value.string ?? "") == nil
                ? .invalid("\(field)[\(key)]", value, "illegal base64 data") : nil
        }
    }
}
