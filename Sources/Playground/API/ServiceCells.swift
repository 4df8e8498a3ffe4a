internal import JSON

/// The cells of the rows of Services, Endpoints and EndpointSlices, as the API server words them.
enum ServiceCells {
    static func row(ofService service: JSON, _ age: JSON) -> [JSON] {
        let spec = service["spec"] ?? [:]
        let type = spec["type"]?.string ?? "ClusterIP"
        let address = spec["clusterIP"]?.string ?? ""
        let ports = (spec["ports"]?.array ?? []).map { port in
            let node = port["nodePort"]?.integer ?? 0
            return "\(port["port"]?.integer ?? 0)\(node > 0 ? ":\(node)" : "")/\(port["protocol"]?.string ?? "")"
        }
        return [
            service.at("metadata", "name") ?? "", .string(type), .string(address.isEmpty ? "<none>" : address),
            .string(external(spec, type)), .string(ports.isEmpty ? "<none>" : ports.joined(separator: ",")), age,
            .string(Cells.labels(spec["selector"])),
        ]
    }

    private static func external(_ spec: JSON, _ type: String) -> String {
        switch type {
        case "ExternalName": spec["externalName"]?.string ?? ""
        // No load balancer ever comes.
        case "LoadBalancer": "<pending>"
        default: "<none>"
        }
    }

    /// The first addresses with their ports: `10.244.0.5:8080,10.244.0.6:8080 + 3 more...`.
    static func endpoints(_ object: JSON) -> String {
        let all = (object["subsets"]?.array ?? []).flatMap { subset in
            let addresses = (subset["addresses"]?.array ?? []).compactMap { $0["ip"]?.string }
            let ports = (subset["ports"]?.array ?? []).compactMap { $0["port"]?.integer }
            return ports.isEmpty ? addresses : ports.flatMap { port in addresses.map { "\($0):\(port)" } }
        }
        return shortened(all, 3, empty: "<none>")
    }

    static func row(ofSlice slice: JSON, _ age: JSON) -> [JSON] {
        let ports = (slice["ports"]?.array ?? []).map { $0["port"]?.integer.map { "\($0)" } ?? "*" }
        let addresses = (slice["endpoints"]?.array ?? []).flatMap {
            ($0["addresses"]?.array ?? []).compactMap(\.string)
        }
        return [
            slice.at("metadata", "name") ?? "", slice["addressType"] ?? "",
            .string(shortened(ports, 3, empty: "<unset>")), .string(shortened(addresses, 3, empty: "<unset>")), age,
        ]
    }

    private static func shortened(_ list: [String], _ limit: Int, empty: String) -> String {
        if list.isEmpty { return empty }
        let shown = list.prefix(limit).joined(separator: ",")
        return list.count > limit ? "\(shown) + \(list.count - limit) more..." : shown
    }
}
