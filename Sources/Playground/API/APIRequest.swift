internal import HTTP
internal import JSON

/// A request to the API: what its path names, and its query.
struct APIRequest: Sendable {
    /// What the path below an API group stands for.
    enum Target: Sendable, Equatable {
        case served(ResourceKind)
        case refused(RefusedKind)
        /// Events as `events.k8s.io/v1` shows them.
        case newEvents
    }

    let method: String
    let target: Target
    /// `nil` for a kind without namespaces, and for a list over all of them.
    let namespace: String?
    let name: String?
    let subresource: String?
    let query: [(name: String, value: String)]
    let headers: HTTPHeaders

    /// Reads a path below the secret, split at its slashes and decoded; `nil` where it names no resource.
    init?(method: String, path: [String], query: [(name: String, value: String)], headers: HTTPHeaders) {
        var rest = path[...]
        let group: String
        switch rest.popFirst() {
        case "api": group = ""
        case "apis":
            guard let name = rest.popFirst() else { return nil }
            group = name
        default: return nil
        }
        guard rest.popFirst() == "v1" || (group == "autoscaling" && path.contains("v2")) else { return nil }
        var namespace: String?
        // `namespaces/x` and its parts are the namespace itself; anything deeper lives in it.
        if rest.first == "namespaces", rest.count > 2, !["status", "finalize"].contains(rest[rest.startIndex + 2]) {
            namespace = rest[rest.startIndex + 1]
            rest = rest.dropFirst(2)
        }
        guard let plural = rest.popFirst(), rest.count <= 2 else { return nil }
        if let kind = ResourceKind.served.first(where: { $0.group == group && $0.plural == plural }) {
            target = .served(kind)
        } else if group == "events.k8s.io", plural == "events" {
            target = .newEvents
        } else if let kind = RefusedKind.all.first(where: { $0.group == group && $0.plural == plural }) {
            target = .refused(kind)
        } else {
            return nil
        }
        name = rest.popFirst()
        subresource = rest.popFirst()
        self.method = method
        self.namespace = namespace
        self.query = query
        self.headers = headers
    }

    /// What a path that names no served resource is about: `priorityclasses.scheduling.k8s.io`, or the path itself.
    static func resource(of path: [String]) -> String {
        var rest = path.dropFirst(path.first == "apis" ? 3 : 2)
        if rest.first == "namespaces", rest.count > 2 { rest = rest.dropFirst(2) }
        guard let plural = rest.first, path.first == "api" || path.first == "apis" else {
            return "/" + path.joined(separator: "/")
        }
        return path.first == "apis" ? "\(plural).\(path[1])" : plural
    }

    /// The stored kind behind the target.
    var kind: ResourceKind? {
        switch target {
        case .served(let kind): kind
        case .newEvents: .event
        case .refused: nil
        }
    }

    /// The first value of a query item.
    subscript(item: String) -> String? { query.first { $0.name == item }?.value }

    /// Whether the client asks what would happen.
    var isDryRun: Bool { self["dryRun"] == "All" }

    /// Whether a server-side apply takes what others own.
    var isForced: Bool { ["true", "1"].contains(self["force"] ?? "") }

    /// Refuses a dry run of another kind than the one that there is: it would be no dry run.
    func requireKnownDryRun(_ options: String) throws {
        guard let asked = query.first(where: { $0.name == "dryRun" && $0.value != "All" })?.value else { return }
        throw StatusError.invalidOptions(options, .unsupported("dryRun", asked, ["All"]))
    }

    /// The selectors of the query.
    func selector(for kind: ResourceKind) throws -> ObjectSelector {
        ObjectSelector(
            labels: try LabelSelector(parsing: self["labelSelector"] ?? ""),
            fields: try FieldSelector(parsing: self["fieldSelector"] ?? "", for: kind))
    }

    /// The version that the query names; `nil` where any will do.
    func resourceVersion() throws -> UInt64? {
        guard let text = self["resourceVersion"], !text.isEmpty, text != "0" else { return nil }
        guard let version = UInt64(text) else {
            throw StatusError.badRequest(
                "resourceVersion: Invalid value: \"\(text)\": strconv.ParseUint: invalid syntax")
        }
        return version
    }

    /// Refuses a list that is to show another state than the present one: no other is kept, and no list comes in parts.
    func requireList(at current: UInt64) throws {
        if let token = self["continue"], !token.isEmpty {
            throw StatusError.badRequest("continue key is not valid: the playground sends lists whole")
        }
        guard let asked = try resourceVersion() else { return }
        if asked > current {
            throw StatusError(
                code: 504, reason: "Timeout",
                message: "Timeout: Too large resource version: \(asked), current: \(current)",
                details: [
                    "causes": [["reason": "ResourceVersionTooLarge", "message": "Too large resource version"]],
                    "retryAfterSeconds": 1,
                ])
        }
        if self["resourceVersionMatch"] == "Exact", asked < current {
            throw StatusError.expired(asked, oldest: current)
        }
    }

    /// Splits a query string.
    static func parse(query text: Substring) -> [(name: String, value: String)] {
        text.split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (
                PercentEncoding.decode(parts[0], plusIsSpace: true),
                parts.count > 1 ? PercentEncoding.decode(parts[1], plusIsSpace: true) : ""
            )
        }
    }
}

/// What the API answers.
struct APIResponse: Sendable {
    var status = 200
    var body: JSON
    /// What the client should know all the same.
    var warnings: [String] = []
}
