internal import JSON

/// What StatefulSets and DaemonSets may not say, in Kubernetes' words.
enum SetValidation {
    static func statefulSet(_ spec: JSON) -> [FieldError] {
        var errors: [FieldError] = []
        if spec["volumeClaimTemplates"]?.isEmpty == false {
            errors.append(
                .forbidden(
                    "spec.volumeClaimTemplates", "the playground does not serve PersistentVolumeClaim objects yet"))
        }
        let policy = spec["podManagementPolicy"] ?? ""
        if !["OrderedReady", "Parallel"].contains(policy) {
            errors.append(.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
        }
        if let start = spec.at("ordinals", "start"), start.integer ?? 0 < 0 {
            errors.append(.invalid("spec.ordinals.start", start, "must be greater than or equal to 0"))
        }
        let path = "spec.updateStrategy"
        let rolling = spec.at("updateStrategy", "rollingUpdate")
        switch spec.at("updateStrategy", "type") ?? "" {
        case "OnDelete":
            if let rolling {
                errors.append(
                    .invalid("\(path).rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'"))
            }
        case "RollingUpdate":
            if let partition = rolling?["partition"], partition.integer ?? 0 < 0 {
                errors.append(
                    .invalid("\(path).rollingUpdate.partition", partition, "must be greater than or equal to 0"))
            }
            errors += Validation.share(rolling?["maxUnavailable"], at: "\(path).rollingUpdate.maxUnavailable")
            if Validation.isZero(rolling?["maxUnavailable"]) {
                errors.append(
                    .invalid("\(path).rollingUpdate.maxUnavailable", rolling?["maxUnavailable"] ?? 0, "cannot be 0"))
            }
        case let other: errors.append(.invalid(path, other, "must be 'RollingUpdate' or 'OnDelete'"))
        }
        return errors
    }

    /// Checks the change of a StatefulSet, of which not everything may change.
    static func statefulSet(_ spec: JSON, from old: JSON) -> [FieldError] {
        let free = [
            "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
        ]
        var (masked, before) = (spec, old)
        for field in free { (masked[field], before[field]) = (nil, nil) }
        guard masked != before else { return [] }
        let names = free.dropLast().map { "'\($0)'" }.joined(separator: ", ")
        return [
            .forbidden(
                "spec", "updates to statefulset spec for fields other than \(names) and 'minReadySeconds' are forbidden"
            )
        ]
    }

    static func daemonSet(_ spec: JSON) -> [FieldError] {
        let type = spec.at("updateStrategy", "type")?.string ?? ""
        guard type == "RollingUpdate" else {
            return type == "OnDelete"
                ? [] : [.unsupported("spec.updateStrategy.type", type, ["RollingUpdate", "OnDelete"])]
        }
        let path = "spec.updateStrategy.rollingUpdate"
        let rolling = spec.at("updateStrategy", "rollingUpdate")
        let (unavailable, surge) = (rolling?["maxUnavailable"], rolling?["maxSurge"])
        var errors = Validation.share(unavailable, at: "\(path).maxUnavailable")
        errors += Validation.share(surge, at: "\(path).maxSurge")
        guard errors.isEmpty else { return errors }
        switch (Validation.isZero(unavailable), Validation.isZero(surge)) {
        case (true, true): return [.required("\(path).maxUnavailable", "cannot be 0 when maxSurge is 0")]
        case (false, false):
            return [.invalid("\(path).maxSurge", surge ?? 0, "may not be set when maxUnavailable is non-zero")]
        default: return []
        }
    }
}
