internal import JSON

/// How much a namespace's pods may ask for together, as a `ResourceQuota` limits it.
struct ResourceQuota {
    /// The resources that quotas count here, each with the list and name that containers have for it.
    private static let computed: [String: (list: String, resource: String)] = [
        "cpu": ("requests", "cpu"), "requests.cpu": ("requests", "cpu"), "limits.cpu": ("limits", "cpu"),
        "memory": ("requests", "memory"), "requests.memory": ("requests", "memory"),
        "limits.memory": ("limits", "memory"),
    ]
    private static let counted = ["pods", "count/pods"]

    private let name: String
    /// What it limits, sorted by name.
    private let hard: [(resource: String, most: Quantity)]

    init(_ quota: JSON) {
        name = quota.at("metadata", "name")?.string ?? ""
        hard = (quota.at("spec", "hard")?.object ?? JSONObject()).compactMap { resource, most in
            most.string.flatMap { Quantity($0) }.map { (resource, $0) }
        }.sorted { $0.resource < $1.resource }
    }

    /// Mistakes in a quota, and what of it the playground does not know.
    static func check(_ quota: JSON) -> [FieldError] {
        var errors = (quota.at("spec", "hard")?.object ?? JSONObject()).compactMap { resource, _ -> FieldError? in
            guard !counted.contains(resource), computed[resource] == nil else { return nil }
            return .forbidden(
                "spec.hard[\(resource)]",
                "the playground limits \((counted + computed.keys.sorted()).joined(separator: ", ")) only")
        }
        for field in ["scopes", "scopeSelector"] where quota.at("spec", field) != nil {
            errors.append(.forbidden("spec.\(field)", "the playground does not serve scopes of a ResourceQuota"))
        }
        return errors
    }

    /// How much of a resource pods use together.
    private static func usage(of resource: String, by pods: [JSON]) -> Quantity {
        pods.reduce(.zero) { $0 + usage(of: resource, by: $1) }
    }

    private static func usage(of resource: String, by pod: JSON) -> Quantity {
        let one = Quantity("1") ?? .zero
        if resource == "count/pods" { return one }
        // What a pod that has ended asked for is free again.
        if ["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "") { return .zero }
        if resource == "pods" { return one }
        guard let (list, name) = computed[resource] else { return .zero }
        return PodResources.total(list, of: name, for: pod) ?? .zero
    }

    /// The status of the quota over the pods of its namespace.
    func status(over pods: [JSON]) -> JSON {
        var limits = JSONObject()
        var used = JSONObject()
        for (resource, most) in hard {
            limits[resource] = .string(most.description)
            used[resource] = .string(Self.usage(of: resource, by: pods).description)
        }
        return ["hard": .object(limits), "used": .object(used)]
    }

    /// Refuses a pod that does not say what it needs, or needs more than is left beside the others.
    func admit(_ pod: JSON, beside others: [JSON]) throws {
        let missing = hard.compactMap { resource, _ -> String? in
            guard let (list, name) = Self.computed[resource] else { return nil }
            let containers = ["containers", "initContainers"].flatMap { pod.at("spec", $0)?.array ?? [] }
            let silent = containers.filter { $0.at("resources", list, name) == nil }.compactMap { $0["name"]?.string }
            return silent.isEmpty ? nil : "\(resource) for: \(Set(silent).sorted().joined(separator: ","))"
        }
        let podName = pod.at("metadata", "name")?.string ?? ""
        guard missing.isEmpty else {
            throw StatusError.forbidden(
                .pod, podName, "failed quota: \(name): must specify \(missing.joined(separator: "; "))")
        }
        let exceeded = hard.compactMap { resource, most -> (String, Quantity, Quantity, Quantity)? in
            let asked = Self.usage(of: resource, by: pod)
            let used = Self.usage(of: resource, by: others)
            return asked > .zero && used + asked > most ? (resource, asked, used, most) : nil
        }
        guard !exceeded.isEmpty else { return }
        func list(_ amount: ((String, Quantity, Quantity, Quantity)) -> Quantity) -> String {
            exceeded.map { "\($0.0)=\(amount($0))" }.joined(separator: ",")
        }
        throw StatusError.forbidden(
            .pod, podName,
            "exceeded quota: \(name), requested: \(list { $0.1 }), used: \(list { $0.2 }), limited: \(list { $0.3 })")
    }
}
