internal import JSON

/// Which pods stand behind a Service, and how its lists tell it: pure functions.
enum EndpointPlan {
    /// Pods for which the Service's ports come out the same.
    struct Group {
        var ports: [JSON]
        var pods: [JSON]
        let service: String
        let publishesUnready: Bool
    }

    /// The Service's pods that have an address and have not ended, by what its ports are with them.
    static func groups(of service: JSON, _ pods: [JSON]) -> [Group] {
        let selector = LabelSelector(selector: ["matchLabels": service.at("spec", "selector") ?? [:]])
        let publishesUnready = service.at("spec", "publishNotReadyAddresses") == true
        let name = service.at("metadata", "name")?.string ?? ""
        var groups: [Group] = []
        for pod in pods {
            guard selector.matches(pod.at("metadata", "labels")), !(pod.at("status", "podIP")?.string ?? "").isEmpty,
                !PodState.hasEnded(pod)
            else { continue }
            let ports = ports(of: service, pod)
            // A pod in which none of the named ports is found is not one of the Service's.
            if ports.isEmpty, service.at("spec", "ports")?.isEmpty == false { continue }
            if let index = groups.firstIndex(where: { $0.ports == ports }) {
                groups[index].pods.append(pod)
            } else {
                groups.append(Group(ports: ports, pods: [pod], service: name, publishesUnready: publishesUnready))
            }
        }
        return groups.isEmpty ? [Group(ports: [], pods: [], service: name, publishesUnready: publishesUnready)] : groups
    }

    /// The Service's ports as numbers of the pod; a named one that the pod does not have is left out.
    private static func ports(of service: JSON, _ pod: JSON) -> [JSON] {
        (service.at("spec", "ports")?.array ?? []).compactMap { port in
            let transport = port["protocol"] ?? "TCP"
            var number = port["targetPort"]?.integer
            if let name = port["targetPort"]?.string {
                let containers = pod.at("spec", "containers")?.array ?? []
                number =
                    containers.flatMap { $0["ports"]?.array ?? [] }.first {
                        $0["name"]?.string == name && ($0["protocol"] ?? "TCP") == transport
                    }?["containerPort"]?.integer ?? Int64(name)
            }
            guard let number else { return nil }
            var result: JSON = [
                "name": port["name"] ?? "", "protocol": transport, "port": .integer(number),
            ]
            result["appProtocol"] = port["appProtocol"]
            return result
        }
    }

    static func slice(_ group: Group) -> JSON {
        let endpoints = group.pods.map { pod -> JSON in
            let isReady = PodState.isReady(pod)
            let isLeaving = pod.at("metadata", "deletionTimestamp") != nil
            var endpoint: JSON = [
                "addresses": [pod.at("status", "podIP") ?? ""],
                "conditions": [
                    "ready": .bool(group.publishesUnready || (isReady && !isLeaving)), "serving": .bool(isReady),
                    "terminating": .bool(isLeaving),
                ],
            ]
            endpoint["hostname"] = hostname(of: pod, group)
            endpoint["targetRef"] = reference(to: pod)
            endpoint["nodeName"] = pod.at("spec", "nodeName")
            return endpoint
        }
        return [
            "addressType": "IPv4", "endpoints": endpoints.isEmpty ? .null : .array(endpoints),
            "ports": group.ports.isEmpty ? .null : .array(group.ports),
        ]
    }

    static func subsets(_ groups: [Group], of service: JSON) -> JSON? {
        let subsets = groups.compactMap { group -> JSON? in
            var (ready, unready): ([JSON], [JSON]) = ([], [])
            for pod in group.pods {
                let isLeaving = pod.at("metadata", "deletionTimestamp") != nil
                if isLeaving, !group.publishesUnready { continue }
                var address: JSON = ["ip": pod.at("status", "podIP") ?? ""]
                address["hostname"] = hostname(of: pod, group)
                address["nodeName"] = pod.at("spec", "nodeName")
                address["targetRef"] = reference(to: pod)
                if group.publishesUnready || PodState.isReady(pod) {
                    ready.append(address)
                } else {
                    unready.append(address)
                }
            }
            if ready.isEmpty, unready.isEmpty { return nil }
            var subset: JSON = [:]
            if !ready.isEmpty { subset["addresses"] = .array(ready) }
            if !unready.isEmpty { subset["notReadyAddresses"] = .array(unready) }
            let ports = group.ports.map { port -> JSON in
                var result: JSON = [:]
                if port["name"] != "" { result["name"] = port["name"] }
                for field in ["port", "protocol", "appProtocol"] { result[field] = port[field] }
                return result
            }
            if !ports.isEmpty { subset["ports"] = .array(ports) }
            return subset
        }
        return subsets.isEmpty ? nil : .array(subsets)
    }

    /// Endpoints that were written by hand, as slices.
    static func mirrored(_ endpoints: JSON) -> [JSON] {
        (endpoints["subsets"]?.array ?? []).map { subset in
            let list = [("addresses", true), ("notReadyAddresses", false)].flatMap { field, isReady in
                (subset[field]?.array ?? []).map { address -> JSON in
                    var endpoint: JSON = [
                        "addresses": [address["ip"] ?? ""], "conditions": ["ready": .bool(isReady)],
                    ]
                    for field in ["hostname", "targetRef", "nodeName"] { endpoint[field] = address[field] }
                    return endpoint
                }
            }
            let ports = (subset["ports"]?.array ?? []).map { port -> JSON in
                ["name": port["name"] ?? "", "protocol": port["protocol"] ?? "TCP", "port": port["port"] ?? 0]
            }
            return [
                "addressType": "IPv4", "endpoints": list.isEmpty ? .null : .array(list),
                "ports": ports.isEmpty ? .null : .array(ports),
            ]
        }
    }

    /// A pod has a name of its own below the Service that is its subdomain.
    private static func hostname(of pod: JSON, _ group: Group) -> JSON? {
        pod.at("spec", "subdomain")?.string == group.service ? pod.at("spec", "hostname") : nil
    }

    private static func reference(to pod: JSON) -> JSON {
        [
            "kind": "Pod", "namespace": pod.at("metadata", "namespace") ?? "", "name": pod.at("metadata", "name") ?? "",
            "uid": pod.at("metadata", "uid") ?? "",
        ]
    }
}
