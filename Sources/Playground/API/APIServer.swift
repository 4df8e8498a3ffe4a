internal import HTTP
internal import JSON

/// The API of the playground's cluster over HTTP, behind a secret path.
///
/// It is root on this machine: whoever cannot name the secret, comes from a browser (`Origin`), or was sent here under
/// another host's name (DNS rebinding) learns nothing, not even that something is here.
struct APIServer: Sendable {
    let store: ObjectStore
    /// The first segment of every path.
    let secret: String
    let port: UInt16
    /// What serves exec, attach and log; without it these are refused.
    let streams: (any PodStreams)?

    /// Answers one request.
    func handle(_ exchange: HTTPExchange) async {
        let request = exchange.request
        do {
            guard let path = admitted(request) else {
                try await exchange.respond(HTTPResponse(404, headers: ["Content-Length": "0"]))
                return
            }
            try await answer(exchange, path: path.segments, query: path.query)
        } catch let error as StatusError {
            try? await send(APIResponse(status: error.code, body: error.status), on: exchange)
        } catch let error as HTTPError {
            // The client went away, or spoke no HTTP: there is nobody to tell.
            try? await send(Self.failure(400, "BadRequest", "\(error)"), on: exchange)
        } catch is CancellationError {
            return
        } catch {
            try? await send(Self.failure(500, "InternalError", "Internal error occurred: \(error)"), on: exchange)
        }
    }

    /// The path below the secret, split and decoded, and the query; `nil` for anyone who must not come in.
    private func admitted(
        _ request: HTTPRequest
    ) -> (segments: [String], query: [(name: String, value: String)])? {
        guard request.headers["Origin"] == nil else { return nil }
        let hosts = ["127.0.0.1:\(port)", "localhost:\(port)"]
        guard let host = request.headers["Host"], hosts.contains(host) else { return nil }
        let parts = request.target.split(separator: "?", maxSplits: 1)
        let segments = (parts.first ?? "").split(separator: "/").map { PercentEncoding.decode($0) }
        guard let first = segments.first, Self.isSame(first, secret) else { return nil }
        return (Array(segments.dropFirst()), APIRequest.parse(query: parts.count > 1 ? parts[1] : ""))
    }

    /// Compares without telling by its time how much was right.
    private static func isSame(_ left: String, _ right: String) -> Bool {
        let (a, b) = (Array(left.utf8), Array(right.utf8))
        return a.count == b.count && zip(a, b).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private func answer(
        _ exchange: HTTPExchange, path: [String], query: [(name: String, value: String)]
    ) async throws {
        let request = exchange.request
        if let (body, type) = general(path, accept: request.headers["Accept"] ?? "") {
            guard request.method == "GET" || request.method == "HEAD" else { throw Self.methodNotAllowed }
            try await exchange.respond(HTTPResponse(200, headers: ["Content-Type": type]), body: body)
            return
        }
        guard
            let request = APIRequest(method: request.method, path: path, query: query, headers: request.headers)
        else {
            throw StatusError.unserved(APIRequest.resource(of: path))
        }
        if case .refused(let kind) = request.target { throw kind.refusal }
        guard let kind = request.kind else { throw Self.methodNotAllowed }
        if kind == .pod, let subresource = request.subresource, let name = request.name,
            ["exec", "attach", "log", "portforward"].contains(subresource)
        {
            try await stream(exchange, request, pod: name, subresource)
            return
        }
        switch request.method {
        case "GET", "HEAD":
            if request.name == nil, ["true", "1"].contains(request["watch"] ?? "") {
                try await watch(kind, request, on: exchange)
            } else {
                try await send(read(kind, request), on: exchange)
            }
        case "POST", "PUT", "PATCH", "DELETE":
            let body = try await body(of: exchange)
            try await send(try write(kind, request, body: body), on: exchange)
        default: throw Self.methodNotAllowed
        }
    }

    private func body(of exchange: HTTPExchange) async throws -> [UInt8] {
        let limit = 3 << 20
        do {
            return try await exchange.body(limit: limit)
        } catch HTTPError.tooLarge {
            throw StatusError(
                code: 413, reason: "RequestEntityTooLarge", message: "Request entity too large: limit is \(limit)")
        }
    }

    private func write(_ kind: ResourceKind, _ request: APIRequest, body: [UInt8]) throws -> APIResponse {
        let options = ["POST": "CreateOptions", "PUT": "UpdateOptions", "PATCH": "PatchOptions"]
        try request.requireKnownDryRun(options[request.method] ?? "DeleteOptions")
        switch request.method {
        case "POST":
            if kind == .serviceAccount, request.subresource == "token" {
                return try token(request, body: body)
            }
            if let subresource = request.subresource { throw StatusError.unserved("\(kind.plural)/\(subresource)") }
            guard request.name == nil else { throw Self.methodNotAllowed }
            return try create(kind, request, body: body)
        case "PUT": return try update(kind, request, body: body)
        case "PATCH": return try patch(kind, request, body: body)
        default: return try delete(kind, request, body: body)
        }
    }

    private func stream(
        _ exchange: HTTPExchange, _ request: APIRequest, pod name: String, _ subresource: String
    ) async throws {
        guard let pod = store.get(.pod, request.namespace, name) else { throw StatusError.notFound(.pod, name) }
        guard let streams else {
            throw StatusError(code: 501, reason: "NotImplemented", message: "no node runs here")
        }
        try await streams.serve(exchange, pod: pod, subresource: subresource, query: request.query)
    }

    /// What is not about objects: version, health, discovery, OpenAPI.
    private func general(_ path: [String], accept: String) -> (body: [UInt8], type: String)? {
        let json = "application/json"
        let isAggregated = accept.contains("as=APIGroupDiscoveryList") && accept.contains("v=v2;")
        switch path.first {
        case "version"? where path.count == 1: return (Array(Discovery.version.pretty().utf8), json)
        case "healthz"?, "readyz"?, "livez"?: return (Array("ok".utf8), "text/plain; charset=utf-8")
        case "api"? where path.count == 1:
            return isAggregated
                ? (Discovery.aggregatedList(core: true).bytes, Discovery.aggregated)
                : (Discovery.apiVersions(address: "127.0.0.1:\(port)").bytes, json)
        case "apis"? where path.count == 1:
            return isAggregated
                ? (Discovery.aggregatedList(core: false).bytes, Discovery.aggregated)
                : (Discovery.groupList().bytes, json)
        case "api"? where path.count == 2: return Discovery.resourceList("", path[1]).map { ($0.bytes, json) }
        case "apis"? where path.count == 2:
            guard let group = Discovery.groups.first(where: { $0.name == path[1] }) else { return nil }
            var body = Discovery.group(group.name, group.version)
            body["kind"] = "APIGroup"
            body["apiVersion"] = "v1"
            return (body.bytes, json)
        case "apis"? where path.count == 3: return Discovery.resourceList(path[1], path[2]).map { ($0.bytes, json) }
        case "openapi"? where path == ["openapi", "v2"]:
            // kubectl asks for it where it applies a `List`. An empty message is a document without schemas: what it does
            // not know it does not check, and each object is checked by the server when it comes.
            return ([], "application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        case "openapi"? where path.count == 2 && path[1] == "v3": return (OpenAPI.index(below: secret).bytes, json)
        case "openapi"? where path.count > 2 && path[1] == "v3":
            return (OpenAPI.document(Array(path.dropFirst(2))).bytes, json)
        default: return nil
        }
    }

    private func send(_ response: APIResponse, on exchange: HTTPExchange) async throws {
        var headers: HTTPHeaders = ["Content-Type": "application/json", "Cache-Control": "no-cache, private"]
        for warning in response.warnings {
            headers.add("Warning", "299 - \(JSON.string(warning).text)")
        }
        try await exchange.respond(
            HTTPResponse(response.status, headers: headers), body: response.body.bytes + [UInt8(ascii: "\n")])
    }

    static func failure(_ code: Int, _ reason: String, _ message: String) -> APIResponse {
        APIResponse(status: code, body: StatusError(code: code, reason: reason, message: message).status)
    }

    static let methodNotAllowed = StatusError(
        code: 405, reason: "MethodNotAllowed",
        message: "the server does not allow this method on the requested resource",
        details: [:])
}
