internal import JSON

/// What the API makes of Endpoints and EndpointSlices that somebody writes, and what they may not say, in Kubernetes' words.
enum EndpointAdmission {
    static func defaults(_ object: inout JSON, _ kind: ResourceKind) {
        func complete(_ ports: JSON?) -> JSON? {
            guard let list = ports?.array else { return ports }
            return .array(
                list.map { given in
                    var port = given
                    if kind == .endpointSlice { port.setDefault("name", "") }
                    port.setDefault("protocol", "TCP")
                    return port
                })
        }
        if kind == .endpointSlice {
            if let ports = complete(object["ports"]) { object["ports"] = ports }
        } else if let subsets = object["subsets"]?.array {
            object["subsets"] = .array(
                subsets.map { given in
                    var subset = given
                    subset["ports"] = complete(given["ports"])
                    return subset
                })
        }
    }

    static func check(_ object: JSON, _ kind: ResourceKind) -> [FieldError] {
        if kind == .endpointSlice {
            let type = object["addressType"]?.string ?? ""
            var errors: [FieldError] = []
            if type != "IPv4" {
                errors.append(type.isEmpty ? .required("addressType") : .unsupported("addressType", type, ["IPv4"]))
            }
            return errors
                + (object["endpoints"]?.array ?? []).enumerated().flatMap { index, endpoint in
                    (endpoint["addresses"]?.array ?? []).enumerated().flatMap {
                        check($1, at: "endpoints[\(index)].addresses[\($0)]")
                    }
                }
        }
        return (object["subsets"]?.array ?? []).enumerated().flatMap { index, subset in
            ["addresses", "notReadyAddresses"].flatMap { field in
                (subset[field]?.array ?? []).enumerated().flatMap {
                    check($1["ip"] ?? "", at: "subsets[\(index)].\(field)[\($0)].ip")
                }
            }
        }
    }

    private static func check(_ value: JSON, at path: String) -> [FieldError] {
        guard let address = value.string.flatMap({ IPv4($0) }) else {
            return [.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")]
        }
        // Every pod has its own.
        guard address.bytes[0] == 127 else { return [] }
        return [.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)")]
    }
}
