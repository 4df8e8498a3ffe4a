internal import JSON

/// Why a container cannot be configured; the message stands in its status as `CreateContainerConfigError`.
struct ConfigurationError: Error, CustomStringConvertible {
    let message: String
    init(_ message: String) { self.message = message }
    var description: String { message }
}

/// What a pod's configuration refers to.
struct References: Sendable {
    /// The ConfigMap or Secret (`configmaps`, `secrets`) of that name in the pod's namespace.
    let object: @Sendable (_ resource: String, _ name: String) async -> JSON?
    /// The Services whose addresses the pod's environment names.
    let services: @Sendable () -> [JSON]
    let pod: JSON
    let nodeName: String
    /// The node, whose room is the limit of a container that sets none.
    let node: @Sendable () -> JSON?

    /// A ConfigMap's or Secret's entries, with `binaryData` for files only; `nil` where it is missing and may be.
    func entries(
        _ resource: String, _ reference: JSON, named key: String = "name", forFiles: Bool = false
    ) async throws -> [(String, [UInt8])]? {
        let name = reference[key]?.string ?? ""
        guard let object = await object(resource, name) else {
            if reference["optional"]?.bool == true { return nil }
            throw ConfigurationError("\(resource.dropLast()) \"\(name)\" not found")
        }
        var entries: [(String, [UInt8])] = []
        for (key, value) in object["data"]?.object ?? JSONObject() {
            guard let text = value.string else { continue }
            if resource == "secrets" {
                guard let bytes = Base64.decode(text) else {
                    throw ConfigurationError("secret \"\(name)\": \(key) is not base64")
                }
                entries.append((key, bytes))
            } else {
                entries.append((key, Array(text.utf8)))
            }
        }
        guard forFiles else { return entries }
        for (key, value) in object["binaryData"]?.object ?? JSONObject() {
            guard let bytes = value.string.flatMap(Base64.decode) else {
                throw ConfigurationError("configmap \"\(name)\": \(key) is not base64")
            }
            entries.append((key, bytes))
        }
        return entries
    }

    /// The value at a field path of the pod, as `fieldRef` and `downwardAPI` name it.
    func field(_ path: String) throws -> String {
        let metadata = pod["metadata"] ?? [:]
        for map in ["labels", "annotations"] {
            if path == "metadata.\(map)" {
                let entries = (metadata[map]?.object ?? JSONObject()).map { ($0.key, $0.value.string ?? "") }
                return entries.sorted { $0.0 < $1.0 }.map { "\($0.0)=\(JSON.string($0.1).text)" }.joined(
                    separator: "\n")
            }
            let prefix = "metadata.\(map)['"
            if path.hasPrefix(prefix), path.hasSuffix("']") {
                return metadata[map]?[String(path.dropFirst(prefix.count).dropLast(2))]?.string ?? ""
            }
        }
        switch path {
        case "metadata.name", "metadata.namespace", "metadata.uid":
            return metadata[String(path.dropFirst("metadata.".count))]?.string ?? ""
        case "spec.nodeName": return nodeName
        case "spec.serviceAccountName": return pod.at("spec", "serviceAccountName")?.string ?? "default"
        case "status.hostIP", "status.podIP":
            return pod.at("status", String(path.dropFirst("status.".count)))?.string ?? ""
        case "status.hostIPs", "status.podIPs":
            let list = pod.at("status", String(path.dropFirst("status.".count)))?.array ?? []
            return list.compactMap { $0["ip"]?.string }.joined(separator: ",")
        default: throw ConfigurationError("field path \(path) is not supported")
        }
    }

    /// A container's requests or limits, divided as asked and rounded up.
    func resource(_ reference: JSON, of container: JSON) throws -> String {
        let name = reference["resource"]?.string ?? ""
        let owner = reference["containerName"]?.string
        let containers = (pod.at("spec", "containers")?.array ?? []) + (pod.at("spec", "initContainers")?.array ?? [])
        let named = owner.flatMap { owner in containers.first { $0["name"]?.string == owner } } ?? container
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        guard parts.count == 2, ["limits", "requests"].contains(parts[0]) else {
            throw ConfigurationError("resource \(name) is not supported")
        }
        var quantity = named.at("resources", parts[0], parts[1])?.string.flatMap(Quantity.init)
        if parts[0] == "limits", quantity ?? .zero == .zero {
            quantity = node()?.at("status", "allocatable", parts[1])?.string.flatMap(Quantity.init)
        }
        let divisor = reference["divisor"]?.string.flatMap(Quantity.init)?.thousandths ?? 1000
        let value = (quantity?.thousandths ?? 0) / (divisor > 0 ? divisor : 1000)
        return String(Int64(exactly: value.rounded(.up)) ?? 0)
    }
}

/// A container's environment, composed as the kubelet does it.
enum Environment {
    typealias Variables = [(name: String, value: String)]

    /// Those of Services, `envFrom`, then `env` with `$(NAME)` of what came before it.
    static func variables(of container: JSON, _ references: References) async throws -> Variables {
        var variables = ServiceVariables.of(references.services())
        for source in container["envFrom"]?.array ?? [] {
            let prefix = source["prefix"]?.string ?? ""
            for (key, resource) in [("configMapRef", "configmaps"), ("secretRef", "secrets")] {
                guard let reference = source[key] else { continue }
                for (name, value) in try await references.entries(resource, reference) ?? [] {
                    set(prefix + name, String(decoding: value, as: UTF8.self), in: &variables)
                }
            }
        }
        for entry in container["env"]?.array ?? [] {
            guard let name = entry["name"]?.string else { continue }
            if let source = entry["valueFrom"] {
                guard let value = try await value(from: source, container, references) else { continue }
                set(name, value, in: &variables)
            } else {
                set(name, expand(entry["value"]?.string ?? "", with: variables), in: &variables)
            }
        }
        return variables
    }

    /// The image's variables under the pod's, with what every process expects to find.
    static func merged(image: Variables, pod: Variables, hostname: String) -> Variables {
        var all: Variables = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("HOSTNAME", hostname),
        ]
        for (name, value) in image + pod { set(name, value, in: &all) }
        return all
    }

    /// Replaces `$(NAME)` by its value; unknown names stay as they are, `$$` is one dollar.
    static func expand(_ text: String, with variables: Variables) -> String {
        var out: [UInt8] = []
        var rest = Array(text.utf8)[...]
        let dollar = UInt8(ascii: "$")
        while let byte = rest.popFirst() {
            guard byte == dollar, let next = rest.first else {
                out.append(byte)
                continue
            }
            if next == dollar {
                out.append(dollar)
                rest = rest.dropFirst()
            } else if next == UInt8(ascii: "("), let end = rest.firstIndex(of: UInt8(ascii: ")")) {
                let name = String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self)
                let value = variables.last { $0.name == name }?.value
                out += (value ?? "$(\(name))").utf8
                rest = rest[(end + 1)...]
            } else {
                out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func set(_ name: String, _ value: String, in variables: inout Variables) {
        if let index = variables.firstIndex(where: { $0.name == name }) {
            variables[index].value = value
        } else {
            variables.append((name, value))
        }
    }

    private static func value(from source: JSON, _ container: JSON, _ references: References) async throws -> String? {
        if let path = source.at("fieldRef", "fieldPath")?.string { return try references.field(path) }
        if let resource = source["resourceFieldRef"] { return try references.resource(resource, of: container) }
        for (key, resource, kind) in [
            ("configMapKeyRef", "configmaps", "ConfigMap"), ("secretKeyRef", "secrets", "Secret"),
        ] {
            guard let reference = source[key] else { continue }
            let wanted = reference["key"]?.string ?? ""
            guard let entries = try await references.entries(resource, reference) else { return nil }
            if let (_, value) = entries.first(where: { $0.0 == wanted }) {
                return String(decoding: value, as: UTF8.self)
            }
            if reference["optional"]?.bool == true { return nil }
            let namespace = references.pod.at("metadata", "namespace")?.string ?? ""
            let name = reference["name"]?.string ?? ""
            throw ConfigurationError("couldn't find key \(wanted) in \(kind) \(namespace)/\(name)")
        }
        throw ConfigurationError("valueFrom \(source.object?.keys.first ?? "") is not supported")
    }
}

/// Base64 (RFC 4648) with padding, as Secrets carry their values.
enum Base64 {
    static func decode(_ text: String) -> [UInt8]? {
        var out: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        var hasEnded = false
        for byte in text.utf8 {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="):
                hasEnded = true
                continue
            case 0x0A, 0x0D: continue
            default: return nil
            }
            if hasEnded { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return out
    }
}
