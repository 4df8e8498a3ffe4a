/// What the API server says of fields that others have set.
enum ApplyConflict {
    /// `helm has .spec.replicas`, from `Apply failed with 1 conflict: conflict with "helm" using apps/v1: .spec.replicas`.
    static func words(_ message: String) -> String {
        var owners: [(name: String, fields: [String])] = []
        for line in message.split(separator: "\n") {
            if let found = line.firstRange(of: " with \""), line.contains("conflict") {
                let rest = line[found.upperBound...]
                let name = String(rest.prefix { $0 != "\"" })
                let field = rest.lastRange(of: ": ").map { String(rest[$0.upperBound...]) }
                owners.append((name, field.map { [$0] } ?? []))
            } else if line.hasPrefix("- "), !owners.isEmpty {
                owners[owners.count - 1].fields.append(String(line.dropFirst(2)))
            }
        }
        guard !owners.isEmpty else { return message }
        return owners.map { "\($0.name) has \($0.fields.joined(separator: ", "))" }.joined(separator: "; ")
    }
}

extension Substring {
    fileprivate func lastRange(of text: String) -> Range<Index>? {
        var found: Range<Index>?
        var rest = self[...]
        while let next = rest.firstRange(of: text) {
            found = next
            rest = rest[next.upperBound...]
        }
        return found
    }
}
