internal import JSON

/// Requirements on fields of an object, from a query: `metadata.name=web,status.phase!=Running`.
struct FieldSelector: Sendable, Equatable {
    struct Requirement: Sendable, Equatable {
        let path: [String]
        let value: String
        let isEqual: Bool
    }

    let requirements: [Requirement]

    /// No requirement.
    static let everything = FieldSelector(requirements: [])

    init(requirements: [Requirement]) {
        self.requirements = requirements
    }

    /// Reads a query's `fieldSelector` for a kind.
    ///
    /// Throws 400 where it cannot be read, or the kind has no such field to select.
    init(parsing text: String, for kind: ResourceKind) throws {
        var requirements: [Requirement] = []
        for term in FieldSelector.split(text) where !term.isEmpty {
            guard let (field, operation, value) = FieldSelector.parts(of: term) else {
                throw StatusError.badRequest(
                    "invalid field selector: '\(term)'; can't understand '\(term)'")
            }
            guard FieldSelector.fields(of: kind).contains(field) else {
                throw StatusError.badRequest("field label not supported: \(field)")
            }
            requirements.append(
                Requirement(
                    path: field.split(separator: ".").map(String.init), value: value, isEqual: operation != "!="))
        }
        self.requirements = requirements
    }

    /// Whether the object meets every requirement; a missing field is the empty string.
    func matches(_ object: JSON) -> Bool {
        requirements.allSatisfy { requirement in
            var value: JSON? = object
            for key in requirement.path { value = value?[key] }
            let text: String =
                switch value {
                case .string(let string)?: string
                case .bool(let bool)?: String(bool)
                case .integer(let integer)?: String(integer)
                default: ""
                }
            return (text == requirement.value) == requirement.isEqual
        }
    }

    /// The name that every match has, where the selector demands one.
    var name: String? {
        requirements.first { $0.isEqual && $0.path == ["metadata", "name"] }?.value
    }

    private static func fields(of kind: ResourceKind) -> Set<String> {
        let common: Set = ["metadata.name", "metadata.namespace"]
        switch kind {
        case .pod:
            return common.union([
                "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
                "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName",
            ])
        case .event:
            return common.union(
                ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"].map {
                    "involvedObject.\($0)"
                } + ["reason", "reportingComponent", "source", "type"])
        case .namespace: return ["metadata.name", "status.phase"]
        case .node: return ["metadata.name", "spec.unschedulable"]
        case .secret: return common.union(["type"])
        case .replicaSet: return common.union(["status.replicas"])
        default: return common
        }
    }

    /// Terms between commas; a backslash keeps the comma after it.
    private static func split(_ text: String) -> [String] {
        var terms = [""]
        var isEscaped = false
        for character in text {
            if isEscaped {
                terms[terms.count - 1].append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "," {
                terms.append("")
            } else {
                terms[terms.count - 1].append(character)
            }
        }
        return terms
    }

    private static func parts(of term: String) -> (field: String, operation: String, value: String)? {
        for operation in ["!=", "==", "="] {
            let bytes = Array(term)
            let sign = Array(operation)
            for start in bytes.indices where bytes[start...].starts(with: sign) {
                return (String(bytes[..<start]), operation, String(bytes[(start + sign.count)...]))
            }
        }
        return nil
    }
}
