internal import HTTP
internal import JSON

extension JSON {
    /// Sets a member that is missing.
    mutating func setDefault(_ key: String, _ value: JSON) {
        if self[key] == nil { self[key] = value }
    }

    /// Changes a member in place; nothing happens where it is missing.
    mutating func edit(_ key: String, _ change: (inout JSON) throws -> Void) rethrows {
        guard var member = self[key] else { return }
        try change(&member)
        self[key] = member
    }

    /// Changes each element of a list in place.
    mutating func editEach(_ key: String, _ change: (inout JSON) throws -> Void) rethrows {
        guard var elements = self[key]?.array else { return }
        for index in elements.indices { try change(&elements[index]) }
        self[key] = .array(elements)
    }
}

/// What the API fills in where a client said nothing.
enum Defaults {
    static func apply(to object: inout JSON, _ kind: ResourceKind) {
        switch kind {
        case .pod:
            object.setDefault("spec", [:])
            object.edit("spec") { PodDefaults.apply(toPod: &$0) }
        case .deployment:
            object.setDefault("spec", [:])
            object.edit("spec") { spec in
                spec.setDefault("replicas", 1)
                template(&spec)
                spec.setDefault("strategy", [:])
                spec.edit("strategy", strategy)
                spec.setDefault("revisionHistoryLimit", 10)
                spec.setDefault("progressDeadlineSeconds", 600)
            }
        case .replicaSet:
            object.setDefault("spec", [:])
            object.edit("spec") { spec in
                spec.setDefault("replicas", 1)
                template(&spec)
            }
        case .statefulSet:
            object.setDefault("spec", [:])
            object.edit("spec", statefulSet)
        case .daemonSet:
            object.setDefault("spec", [:])
            object.edit("spec") { spec in
                template(&spec)
                update(&spec, ["maxUnavailable": 1, "maxSurge": 0])
            }
        case .job:
            object.setDefault("spec", [:])
            object.edit("spec") { spec in
                template(&spec)
                JobAdmission.defaults(&spec)
            }
        case .service:
            object.setDefault("spec", [:])
            object.edit("spec", ServiceAdmission.defaults)
        case .endpoints, .endpointSlice: EndpointAdmission.defaults(&object, kind)
        case .secret:
            object.setDefault("type", "Opaque")
            mergeStringData(&object)
        case .namespace:
            object.setDefault("spec", [:])
            let name = object.at("metadata", "name")
            object.edit("metadata") { metadata in
                metadata.setDefault("labels", [:])
                metadata.edit("labels") { $0["kubernetes.io/metadata.name"] = name }
            }
        default: break
        }
        // Structures of one kind have one order of fields, wherever the defaults were added.
        if let ordered = try? ObjectDecoder.decode(object, as: Schema.structure(of: kind)).value { object = ordered }
    }

    /// What a new object starts with, whatever the client sent.
    static func begin(_ object: inout JSON, _ kind: ResourceKind) {
        switch kind {
        case .pod:
            object["status"] = ["phase": "Pending", "qosClass": .string(PodDefaults.qualityOfService(object["spec"]))]
        case .deployment, .resourceQuota: object["status"] = [:]
        case .replicaSet: object["status"] = ["replicas": 0]
        case .statefulSet: object["status"] = ["replicas": 0, "availableReplicas": 0]
        case .daemonSet:
            object["status"] = [
                "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
            ]
            TemplateGeneration.begin(&object)
        case .job: JobAdmission.begin(&object)
        case .service: object["status"] = ["loadBalancer": [:]]
        case .namespace:
            object.setDefault("spec", [:])
            object.edit("spec") { $0["finalizers"] = ["kubernetes"] }
            object["status"] = ["phase": "Active"]
        default: break
        }
    }

    private static func template(_ spec: inout JSON) {
        spec.edit("template") { template in
            template.setDefault("metadata", [:])
            template.setDefault("spec", [:])
            template.edit("spec", PodDefaults.apply(toTemplate:))
        }
    }

    private static func statefulSet(_ spec: inout JSON) {
        spec.setDefault("replicas", 1)
        template(&spec)
        spec.setDefault("podManagementPolicy", "OrderedReady")
        update(&spec, ["partition": 0])
        spec.setDefault("persistentVolumeClaimRetentionPolicy", [:])
        spec.edit("persistentVolumeClaimRetentionPolicy") {
            $0.setDefault("whenDeleted", "Retain")
            $0.setDefault("whenScaled", "Retain")
        }
    }

    /// The update strategy of a StatefulSet or DaemonSet, and how many of its revisions are kept.
    private static func update(_ spec: inout JSON, _ rolling: KeyValuePairs<String, JSON>) {
        spec.setDefault("updateStrategy", [:])
        spec.edit("updateStrategy") { strategy in
            strategy.setDefault("type", "RollingUpdate")
            guard strategy["type"] == "RollingUpdate" else { return }
            strategy.setDefault("rollingUpdate", [:])
            strategy.edit("rollingUpdate") { given in
                for (field, value) in rolling { given.setDefault(field, value) }
            }
        }
        spec.setDefault("revisionHistoryLimit", 10)
    }

    private static func strategy(_ strategy: inout JSON) {
        strategy.setDefault("type", "RollingUpdate")
        guard strategy["type"] == "RollingUpdate" else { return }
        strategy.setDefault("rollingUpdate", [:])
        strategy.edit("rollingUpdate") {
            $0.setDefault("maxUnavailable", "25%")
            $0.setDefault("maxSurge", "25%")
        }
    }

    private static func mergeStringData(_ secret: inout JSON) {
        guard let texts = secret["stringData"]?.object else { return }
        secret.setDefault("data", [:])
        secret.edit("data") { data in
            for (key, value) in texts { data[key] = .string(HTTP.Base64.encode(Array((value.string ?? "").utf8))) }
        }
        secret["stringData"] = nil
    }
}
