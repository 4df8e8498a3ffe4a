internal import JSON

/// What the API makes of a Job, and what Jobs may not say, in Kubernetes' words.
enum JobAdmission {
    /// The labels that tie pods to a Job, by its uid and its name; the old ones beside the new.
    private static let labels = [
        (uid: "batch.kubernetes.io/controller-uid", name: "batch.kubernetes.io/job-name"),
        (uid: "controller-uid", name: "job-name"),
    ]

    /// Gives a new Job its uid, and unless it has its own, the selector and the labels that are made of it.
    static func begin(_ job: inout JSON) {
        let uid = JSON.string(RandomNames.uid())
        job.setDefault("metadata", [:])
        job["metadata"]?["uid"] = uid
        if (job.at("metadata", "name")?.string ?? "").isEmpty, let prefix = job.at("metadata", "generateName")?.string {
            // Its pods are labelled with its name.
            job["metadata"]?["name"] = .string(prefix.prefix(RandomNames.longestPrefix) + RandomNames.suffix())
        }
        job["status"] = [:]
        guard job.at("spec", "manualSelector") != true, job.at("spec", "selector") == nil,
            job.at("spec", "template") != nil
        else { return }
        let name = job.at("metadata", "name") ?? ""
        job.edit("spec") { spec in
            spec["selector"] = ["matchLabels": [labels[0].uid: uid]]
            spec.edit("template") { template in
                template.setDefault("metadata", [:])
                template.edit("metadata") { metadata in
                    metadata.setDefault("labels", [:])
                    metadata.edit("labels") { given in
                        for label in labels { (given[label.uid], given[label.name]) = (uid, name) }
                    }
                }
            }
        }
    }

    /// A Job without the selector and the labels that `begin` has made.
    static func withoutOwnLabels(_ job: JSON) -> JSON {
        guard job.at("spec", "manualSelector") != true else { return job }
        var job = job
        job.edit("spec") { spec in
            spec["selector"] = nil
            spec.edit("template") { template in
                template.edit("metadata") { metadata in
                    metadata.edit("labels") { given in
                        for label in labels { (given[label.uid], given[label.name]) = (nil, nil) }
                    }
                    if metadata["labels"]?.isEmpty == true { metadata["labels"] = nil }
                }
            }
        }
        return job
    }

    static func defaults(_ spec: inout JSON) {
        if spec["completions"] == nil, spec["parallelism"] == nil { spec["completions"] = 1 }
        spec.setDefault("parallelism", 1)
        spec.setDefault("backoffLimit", 6)
        spec.setDefault("completionMode", "NonIndexed")
        spec.setDefault("suspend", false)
        spec.setDefault("podReplacementPolicy", "TerminatingOrFailed")
    }

    static func check(_ job: JSON) -> [FieldError] {
        let spec = job["spec"] ?? [:]
        var errors: [FieldError] = []
        for field in [
            "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
        ] {
            if let number = spec[field]?.integer, number < 0 {
                errors.append(.invalid("spec.\(field)", .integer(number), "must be greater than or equal to 0"))
            }
        }
        if spec["completionMode"] == "Indexed" {
            errors.append(.forbidden("spec.completionMode", "the playground does not serve Indexed Jobs yet"))
        }
        for field in ["podFailurePolicy", "successPolicy", "backoffLimitPerIndex", "maxFailedIndexes"]
        where spec[field] != nil {
            errors.append(.forbidden("spec.\(field)", "the playground does not serve this field of Jobs yet"))
        }
        guard let template = spec["template"] else { return errors + [.required("spec.template")] }
        if spec["selector"] == nil {
            errors.append(.required("spec.selector"))
        } else if !LabelSelector(selector: spec["selector"]).matches(template.at("metadata", "labels")) {
            errors.append(
                .invalid(
                    "spec.template.metadata.labels", template.at("metadata", "labels") ?? .null,
                    "`selector` does not match template `labels`"))
        }
        if spec["manualSelector"] != true {
            let uid = job.at("metadata", "uid")
            if let uid, let given = template.at("metadata", "labels", labels[0].uid), given != uid {
                errors.append(
                    .invalid(
                        "spec.template.metadata.labels", template.at("metadata", "labels") ?? .null,
                        "must be '\(uid.string ?? "")'"))
            } else if spec.at("selector", "matchLabels", labels[0].uid) == nil {
                errors.append(
                    .invalid("spec.selector", spec["selector"] ?? .null, "`selector` not auto-generated"))
            }
        }
        errors += Validation.labels(template.at("metadata", "labels"), at: "spec.template.labels")
        errors += PodValidation.check(template["spec"] ?? [:], at: "spec.template.spec")
        if !["OnFailure", "Never"].contains(template.at("spec", "restartPolicy")?.string ?? "") {
            errors.append(.required("spec.template.spec.restartPolicy", "valid values: \"OnFailure\", \"Never\""))
        }
        return errors
    }

    /// Checks the change of a Job, whose pods stay what they are.
    static func check(_ spec: JSON, from old: JSON) -> [FieldError] {
        ["completions", "selector", "template", "completionMode"].compactMap { field in
            spec[field] == old[field]
                ? nil : .invalid("spec.\(field)", spec[field] ?? .null, "field is immutable")
        }
    }
}
