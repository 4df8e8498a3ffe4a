internal import JSON

/// A registry that k3d has made: a container, reached by its name from the nodes and by a published port from here.
struct K3dRegistry: Equatable, Sendable {
    let container: String
    let internalPort: String
    /// The port on this machine; `nil` where none is published.
    let externalPort: String?
    /// The container networks that it is in; a cluster's is `k3d-CLUSTER`.
    let networks: [String]

    /// Its names, for nodes in the same network.
    var names: RegistryNames? {
        externalPort.map { RegistryNames(push: "localhost:\($0)", pull: "\(container):\(internalPort)") }
    }

    static let listCommand = ["k3d", "registry", "list", "-o", "json"]
    static let containerCommand = ["docker", "ps", "--filter", "label=k3d.role=registry", "--format", "{{json .}}"]

    /// What `k3d registry list -o json` prints.
    static func list(_ text: String) -> [K3dRegistry] {
        guard let nodes = (try? JSON(parsing: Array(text.utf8)))?.array else { return [] }
        return nodes.compactMap { node in
            guard let name = node["name"]?.string else { return nil }
            let networks = (node["networks"] ?? node["Networks"])?.array?.compactMap(\.string) ?? []
            let labels = node["runtimeLabels"]
            let ports = node["portMappings"]?.object?.first { _ in true }
            let inner =
                ports?.key.split(separator: "/").first.map(String.init) ?? labels?["k3s.registry.port.internal"]?.string
            let outer = ports?.value[0]?["HostPort"]?.string ?? labels?["k3s.registry.port.external"]?.string
            return K3dRegistry(
                container: name, internalPort: inner ?? "5000", externalPort: outer.flatMap { $0.isEmpty ? nil : $0 },
                networks: networks)
        }
    }

    /// What `docker ps --format '{{json .}}'` prints, one container a line.
    static func containers(_ text: String) -> [K3dRegistry] {
        text.split(whereSeparator: \.isNewline).compactMap { line in
            guard let container = try? JSON(parsing: Array(line.utf8)), let name = container["Names"]?.string else {
                return nil
            }
            // 0.0.0.0:5001->5000/tcp, [::]:5001->5000/tcp
            let ports = (container["Ports"]?.string ?? "").split(separator: ",").compactMap { mapping in
                mapping.firstRange(of: "->").map { arrow in
                    (
                        outer: String(mapping[..<arrow.lowerBound].split(separator: ":").last ?? ""),
                        inner: String(mapping[arrow.upperBound...].prefix { $0 != "/" })
                    )
                }
            }
            let networks = (container["Networks"]?.string ?? "").split(separator: ",").map(String.init)
            return K3dRegistry(
                container: name, internalPort: ports.first?.inner ?? "5000", externalPort: ports.first?.outer,
                networks: networks)
        }
    }
}
