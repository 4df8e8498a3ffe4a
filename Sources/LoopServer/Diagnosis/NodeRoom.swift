internal import JSON

/// What a node has left for another pod.
struct NodeRoom: Equatable, Sendable {
    let name: String
    /// What the node has for pods, by resource.
    let allocatable: [String: ResourceAmount]
    /// What its pods have asked for.
    let requested: [String: ResourceAmount]

    /// From a node and the pods of the cluster.
    init(_ node: JSON, pods: [JSON]) {
        name = node.at("metadata", "name")?.string ?? ""
        var has: [String: ResourceAmount] = [:]
        for (resource, amount) in (node["status"] ?? .null).strings("allocatable") {
            has[resource] = ResourceAmount(amount)
        }
        allocatable = has
        var asked: [String: ResourceAmount] = [:]
        for pod in pods where pod.at("spec", "nodeName")?.string == name {
            guard !["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string) else { continue }
            for (resource, amount) in ResourceAmount.requests(of: pod) {
                asked[resource, default: ResourceAmount()].value += amount.value
            }
        }
        requested = asked
    }

    /// What is left of a resource; `nil` where the node does not have it.
    func free(_ resource: String) -> ResourceAmount? {
        allocatable[resource].map { ResourceAmount(max(0, $0.value - (requested[resource]?.value ?? 0))) }
    }
}

/// An amount of a resource in its unit: CPUs, bytes, pieces.
struct ResourceAmount: Equatable, Sendable {
    var value: Double

    init(_ value: Double = 0) { self.value = value }

    /// From the API's form: `500m`, `24Mi`, `1e3`.
    init?(_ text: String) {
        let units: [(String, Double)] = [
            ("Ki", 0x1p10), ("Mi", 0x1p20), ("Gi", 0x1p30), ("Ti", 0x1p40), ("Pi", 0x1p50), ("Ei", 0x1p60),
            ("n", 1e-9), ("u", 1e-6), ("m", 1e-3), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15),
            ("E", 1e18),
        ]
        let unit = units.first { text.hasSuffix($0.0) }
        guard let number = Double(text.dropLast(unit?.0.count ?? 0)), number.isFinite else { return nil }
        value = number * (unit?.1 ?? 1)
    }

    /// As a person says it: `1.5 CPUs`, `24 Mi`, `2`.
    func text(of resource: String) -> String {
        if resource == "cpu" { return value < 1 && value > 0 ? "\(Int((value * 1000).rounded())) m" : number(value) }
        guard resource == "memory" || resource.contains("storage") || resource.hasPrefix("hugepages") else {
            return number(value)
        }
        for (unit, size) in [("Gi", 0x1p30), ("Mi", 0x1p20), ("Ki", 0x1p10)] where value >= size {
            return "\(number(value / size)) \(unit)"
        }
        return number(value)
    }

    private func number(_ value: Double) -> String {
        // Downwards: what is free is never more than that.
        let tenths = Int(exactly: (min(value, 1e15) * 10).rounded(.down)) ?? 0
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }

    /// What a pod asks for as a whole: its containers together, or the largest init container where that is more.
    static func requests(of pod: JSON) -> [String: ResourceAmount] {
        var together: [String: ResourceAmount] = [:]
        for container in pod.at("spec", "containers")?.array ?? [] { add(container, to: &together) }
        var alone: [String: Double] = [:]
        for container in pod.at("spec", "initContainers")?.array ?? [] {
            if container["restartPolicy"]?.string == "Always" {
                add(container, to: &together)
            } else {
                var one: [String: ResourceAmount] = [:]
                add(container, to: &one)
                for (resource, amount) in one { alone[resource] = max(alone[resource] ?? 0, amount.value) }
            }
        }
        for (resource, amount) in alone where amount > together[resource]?.value ?? 0 {
            together[resource] = ResourceAmount(amount)
        }
        return together
    }

    private static func add(_ container: JSON, to sum: inout [String: ResourceAmount]) {
        for (resource, text) in (container["resources"] ?? .null).strings("requests") {
            guard let amount = ResourceAmount(text) else { continue }
            sum[resource, default: ResourceAmount()].value += amount.value
        }
    }
}
