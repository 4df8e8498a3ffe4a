internal import JSON

/// What stands behind a Service: addresses, as its EndpointSlices list them.
struct ServiceEndpoint: Equatable, Sendable {
    let address: IPv4
    let isReady: Bool
    let hostname: String?
    /// The ports by their names in the Service; a port without a name has an empty one.
    let ports: [String: UInt16]

    /// The endpoints of a Service, in the order of their addresses.
    static func of(_ namespace: String, _ name: String, in store: ObjectStore) -> [ServiceEndpoint] {
        let slices = store.list(.endpointSlice, namespace).items.filter {
            $0.at("metadata", "labels", EndpointsController.serviceLabel)?.string == name
        }
        return slices.flatMap(of).sorted { $0.address.value < $1.address.value }
    }

    private static func of(_ slice: JSON) -> [ServiceEndpoint] {
        var ports: [String: UInt16] = [:]
        for port in slice["ports"]?.array ?? [] {
            ports[port["name"]?.string ?? ""] = port["port"]?.integer.flatMap(UInt16.init(exactly:))
        }
        return (slice["endpoints"]?.array ?? []).flatMap { endpoint in
            (endpoint["addresses"]?.array ?? []).compactMap { address in
                address.string.flatMap { IPv4($0) }.map {
                    ServiceEndpoint(
                        // Where it is not said, it is ready.
                        address: $0, isReady: endpoint.at("conditions", "ready") != false,
                        hostname: endpoint["hostname"]?.string, ports: ports)
                }
            }
        }
    }
}
