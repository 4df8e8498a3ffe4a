/// What a registry wants to see: one `WWW-Authenticate` field.
struct Challenge: Equatable, Sendable {
    /// In lower case: `bearer`, `basic`.
    let scheme: String
    /// By names in lower case.
    let parameters: [String: String]

    /// Reads a field, which has one challenge; `nil` where it is none.
    init?(_ field: String) {
        let scheme = field.prefix { $0 != " " }
        guard !scheme.isEmpty else { return nil }
        self.scheme = scheme.lowercased()
        var parameters: [String: String] = [:]
        var rest = field.dropFirst(scheme.count)
        while true {
            rest = rest.drop { $0 == " " || $0 == "," }
            guard let equals = rest.firstIndex(of: "=") else { break }
            let name = rest[..<equals].lowercased()
            rest = rest[rest.index(after: equals)...]
            var value = ""
            if rest.first == "\"" {
                rest = rest.dropFirst()
                while let character = rest.popFirst(), character != "\"" {
                    value.append(character == "\\" ? rest.popFirst() ?? "\\" : character)
                }
            } else {
                value = String(rest.prefix { $0 != "," && $0 != " " })
                rest = rest.dropFirst(value.count)
            }
            parameters[name] = value
        }
        self.parameters = parameters
    }

    /// The one that can be answered, Bearer before Basic.
    static func best(of fields: [String]) -> Challenge? {
        let challenges = fields.compactMap { Challenge($0) }
        return challenges.first { $0.scheme == "bearer" } ?? challenges.first { $0.scheme == "basic" }
    }
}
