internal import JSON

/// The variables by which containers find the Services of their namespace, as the kubelet makes them.
enum ServiceVariables {
    static func of(_ services: [JSON]) -> Environment.Variables {
        services.flatMap { service -> Environment.Variables in
            guard let address = service.at("spec", "clusterIP")?.string, IPv4(address) != nil,
                let ports = service.at("spec", "ports")?.array, let first = ports.first
            else { return [] }
            let name = variable(service.at("metadata", "name")?.string ?? "")
            var all: Environment.Variables = [
                ("\(name)_SERVICE_HOST", address), ("\(name)_SERVICE_PORT", number(first)),
            ]
            for port in ports {
                guard let label = port["name"]?.string, !label.isEmpty else { continue }
                all.append(("\(name)_SERVICE_PORT_\(variable(label))", number(port)))
            }
            for (index, port) in ports.enumerated() {
                let transport = (port["protocol"]?.string ?? "TCP")
                let url = "\(transport.lowercased())://\(address):\(number(port))"
                let prefix = "\(name)_PORT_\(number(port))_\(transport)"
                if index == 0 { all.append(("\(name)_PORT", url)) }
                all += [
                    (prefix, url), ("\(prefix)_PROTO", transport.lowercased()), ("\(prefix)_PORT", number(port)),
                    ("\(prefix)_ADDR", address),
                ]
            }
            return all
        }
    }

    private static func number(_ port: JSON) -> String { "\(port["port"]?.integer ?? 0)" }

    private static func variable(_ name: String) -> String { name.uppercased().replacing("-", with: "_") }
}
