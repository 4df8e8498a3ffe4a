internal import JSON

/// The cells of a table's rows, as the API server words them.
enum Cells {
    static func row(of object: JSON, _ kind: ResourceKind, now: Timestamp) -> [JSON] {
        let name = object.at("metadata", "name") ?? ""
        let age = JSON.string(age(object.at("metadata", "creationTimestamp"), now))
        switch kind {
        case .pod: return PodCells.row(of: object, now: now)
        case .deployment:
            let desired = object.at("spec", "replicas")?.integer ?? 0
            let status = object["status"]
            return [
                name, .string("\(status?["readyReplicas"]?.integer ?? 0)/\(desired)"), status?["updatedReplicas"] ?? 0,
                status?["availableReplicas"] ?? 0, age,
            ] + template(object)
        case .replicaSet:
            let status = object["status"]
            return [
                name, object.at("spec", "replicas") ?? 0, status?["replicas"] ?? 0, status?["readyReplicas"] ?? 0, age,
            ] + template(object)
        case .statefulSet:
            let desired = object.at("spec", "replicas")?.integer ?? 0
            let ready = object.at("status", "readyReplicas")?.integer ?? 0
            return [name, .string("\(ready)/\(desired)"), age] + template(object).dropLast()
        case .daemonSet:
            let fields = [
                "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled",
                "numberAvailable",
            ]
            return [name] + fields.map { object.at("status", $0) ?? 0 }
                + [.string(labels(object.at("spec", "template", "spec", "nodeSelector"))), age] + template(object)
        case .job: return JobCells.row(of: object, age, now: now) + template(object)
        case .controllerRevision:
            let owner = Ownership.controller(of: object)
            let group = owner?["apiVersion"]?.string?.split(separator: "/").dropLast().map { ".\($0)" }.first ?? ""
            let controller = owner.map {
                "\(($0["kind"]?.string ?? "").lowercased())\(group)/\($0["name"]?.string ?? "")"
            }
            return [name, .string(controller ?? "<none>"), object["revision"] ?? 0, age]
        case .service: return ServiceCells.row(ofService: object, age)
        case .endpoints: return [name, .string(ServiceCells.endpoints(object)), age]
        case .endpointSlice: return ServiceCells.row(ofSlice: object, age)
        case .configMap:
            return [name, .integer(count(object["data"]) + count(object["binaryData"])), age]
        case .resourceQuota: return [name, usage(object, ofLimits: false), usage(object, ofLimits: true), age]
        case .secret: return [name, object["type"] ?? "", .integer(count(object["data"])), age]
        case .serviceAccount: return [name, .integer(Int64(object["secrets"]?.array?.count ?? 0)), age]
        case .namespace: return [name, object.at("status", "phase") ?? "", age]
        case .node: return node(object, name, age)
        case .event: return event(object, now: now)
        default: return [name, age]
        }
    }

    private static func count(_ map: JSON?) -> Int64 { Int64(map?.object?.count ?? 0) }

    /// `pods: 1/3, requests.cpu: 1/2`: what of a quota is used.
    private static func usage(_ quota: JSON, ofLimits: Bool) -> JSON {
        let hard = quota.at("status", "hard")?.object ?? JSONObject()
        return .string(
            hard.filter { $0.key.hasPrefix("limits.") == ofLimits }.sorted { $0.key < $1.key }.map { resource, most in
                let used = quota.at("status", "used", resource)?.string ?? "0"
                return "\(resource): \(used)/\(most.string ?? "")"
            }.joined(separator: ", "))
    }

    private static func template(_ object: JSON) -> [JSON] {
        let containers = object.at("spec", "template", "spec", "containers")?.array ?? []
        return [
            .string(containers.compactMap { $0["name"]?.string }.joined(separator: ",")),
            .string(containers.compactMap { $0["image"]?.string }.joined(separator: ",")),
            .string(labels(object.at("spec", "selector", "matchLabels"))),
        ]
    }

    private static func node(_ object: JSON, _ name: JSON, _ age: JSON) -> [JSON] {
        let ready = (object.at("status", "conditions")?.array ?? []).first { $0["type"] == "Ready" }
        var status = ready?["status"] == "True" ? "Ready" : ready == nil ? "Unknown" : "NotReady"
        if object.at("spec", "unschedulable") == true { status += ",SchedulingDisabled" }
        let info = object.at("status", "nodeInfo")
        let addresses = object.at("status", "addresses")?.array ?? []
        let address = addresses.first { $0["type"] == "InternalIP" }?["address"] ?? "<none>"
        return [
            name, .string(status), "<none>", age, info?["kubeletVersion"] ?? "", address, "<none>",
            info?["osImage"] ?? "<unknown>", info?["kernelVersion"] ?? "<unknown>",
            info?["containerRuntimeVersion"] ?? "<unknown>",
        ]
    }

    private static func event(_ object: JSON, now: Timestamp) -> [JSON] {
        let first = object["firstTimestamp"]?.string ?? object["eventTime"]?.string
        let last =
            object.at("series", "lastObservedTime")?.string ?? object["lastTimestamp"]?.string ?? first
        let involved = object["involvedObject"]
        let component = object.at("source", "component")?.string ?? object["reportingComponent"]?.string ?? ""
        let host = object.at("source", "host")?.string
        return [
            .string(age(last.map { .string($0) }, now)), object["type"] ?? "", object["reason"] ?? "",
            .string("\((involved?["kind"]?.string ?? "").lowercased())/\(involved?["name"]?.string ?? "")"),
            involved?["fieldPath"] ?? "", .string(host.map { "\(component), \($0)" } ?? component),
            .string((object["message"]?.string ?? "")), .string(age(first.map { .string($0) }, now)),
            object["count"] ?? 1, object.at("metadata", "name") ?? "",
        ]
    }

    /// `app=web,tier=front`, in the order of the keys; `<none>` for none.
    static func labels(_ labels: JSON?) -> String {
        let pairs = (labels?.object ?? JSONObject()).sorted { $0.key < $1.key }
        return pairs.isEmpty ? "<none>" : pairs.map { "\($0.key)=\($0.value.string ?? "")" }.joined(separator: ",")
    }

    /// How long ago a time was, as `kubectl` shows an age.
    static func age(_ time: JSON?, _ now: Timestamp) -> String {
        guard let then = time?.string.flatMap({ Timestamp($0) }) else { return "<unknown>" }
        return duration(now.seconds - then.seconds)
    }

    /// Seconds in Kubernetes' rounding: the longer it is, the coarser.
    static func duration(_ seconds: Int) -> String {
        func pair(_ large: Int, _ unit: String, _ small: Int, _ smallUnit: String) -> String {
            small == 0 ? "\(large)\(unit)" : "\(large)\(unit)\(small)\(smallUnit)"
        }
        if seconds < -1 { return "<invalid>" }
        if seconds < 0 { return "0s" }
        if seconds < 120 { return "\(seconds)s" }
        let minutes = seconds / 60
        if minutes < 10 { return pair(minutes, "m", seconds % 60, "s") }
        if minutes < 180 { return "\(minutes)m" }
        let hours = minutes / 60
        if hours < 8 { return pair(hours, "h", minutes % 60, "m") }
        if hours < 48 { return "\(hours)h" }
        let days = hours / 24
        if hours < 192 { return pair(days, "d", hours % 24, "h") }
        if days < 730 { return "\(days)d" }
        if days < 2920 { return pair(days / 365, "y", days % 365, "d") }
        return "\(days / 365)y"
    }
}
