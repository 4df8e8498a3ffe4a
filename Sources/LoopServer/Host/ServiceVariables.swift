internal import JSON

/// The variables by which a container finds Services, as the kubelet makes them.
enum ServiceVariables {
    /// The Service of the cluster's API: its variables are in every container, whatever `enableServiceLinks` says.
    static let api = "kubernetes"
    static let apiNamespace = "default"

    /// The variables of Services that have an address, in order.
    static func of(_ services: [JSON]) -> [(name: String, value: String)] {
        services.flatMap { service -> [(name: String, value: String)] in
            guard let address = service.at("spec", "clusterIP")?.string, !address.isEmpty, address != "None",
                let ports = service.at("spec", "ports")?.array, let first = ports.first
            else { return [] }
            let prefix = word(service.at("metadata", "name")?.string ?? "")
            var variables = [("\(prefix)_SERVICE_HOST", address), ("\(prefix)_SERVICE_PORT", number(first))]
            for port in ports {
                guard let name = port["name"]?.string, !name.isEmpty else { continue }
                variables.append(("\(prefix)_SERVICE_PORT_\(word(name))", number(port)))
            }
            let host = address.contains(":") ? "[\(address)]" : address
            for (index, port) in ports.enumerated() {
                let transport = port["protocol"]?.string ?? "TCP"
                let url = "\(transport.lowercased())://\(host):\(number(port))"
                if index == 0 { variables.append(("\(prefix)_PORT", url)) }
                let name = "\(prefix)_PORT_\(number(port))_\(transport.uppercased())"
                variables += [
                    (name, url), ("\(name)_PROTO", transport.lowercased()), ("\(name)_PORT", number(port)),
                    ("\(name)_ADDR", address),
                ]
            }
            return variables
        }
    }

    private static func number(_ port: JSON) -> String { "\(port["port"]?.integer ?? 0)" }

    private static func word(_ name: String) -> String { name.uppercased().replacing("-", with: "_") }
}
