internal import HTTP
internal import JSON
internal import Reactor

/// The Kubernetes API over a proxy's plain HTTP.
///
/// An answer with an error's status is thrown as `KubeError`. Requests that do not stream are given up after a while.
struct KubeClient: Sendable {
    /// How an object is patched.
    enum PatchKind: String, Sendable {
        case merge = "application/merge-patch+json"
        case strategic = "application/strategic-merge-patch+json"
        case json = "application/json-patch+json"
    }

    /// What a list or watch covers.
    struct Scope: Hashable, Sendable {
        var resource: KubeResource
        var namespace: String?
        var labels: String?
        var fields: String?

        init(_ resource: KubeResource, namespace: String? = nil, labels: String? = nil, fields: String? = nil) {
            self.resource = resource
            self.namespace = namespace
            self.labels = labels
            self.fields = fields
        }

        fileprivate var query: [(String, String)] {
            (labels.map { [("labelSelector", $0)] } ?? []) + (fields.map { [("fieldSelector", $0)] } ?? [])
        }
    }

    /// The objects of a list, and the version that a watch goes on from.
    struct List: Sendable {
        var items: [JSON]
        var resourceVersion: String
    }

    /// How long an answer may take that does not stream.
    static let timeLimit = Duration.seconds(30)
    private let patience: Duration
    private static let pageSize = 500
    private static let applyType = "application/apply-patch+yaml"
    private static let plainType = "application/json"
    private static let metadataType =
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

    let http: HTTPClient

    /// A client that waits for an answer that does not stream for at most `patience`.
    init(_ http: HTTPClient, patience: Duration = timeLimit) {
        self.http = http
        self.patience = patience
    }

    init(_ proxy: KubectlProxy) { self.init(HTTPClient(endpoint: proxy.endpoint)) }

    /// Asks for the server's version; the cheapest sign of life.
    func version() async throws -> JSON { try await call("GET", "/version", attempt: "ask for the version") }

    /// One object.
    func get(_ resource: KubeResource, _ name: String, namespace: String? = nil) async throws -> JSON {
        try await call(
            "GET", resource.path(namespace: namespace, name: name), attempt: "get \(resource.plural)/\(name)")
    }

    /// Every object of a scope, page by page; with `metadataOnly` only what they are, not what is in them.
    func list(_ scope: Scope, metadataOnly: Bool = false) async throws -> List {
        let accept = metadataOnly ? KubeClient.metadataType : KubeClient.plainType
        do {
            return try await list(scope, accept, pageSize: KubeClient.pageSize)
        } catch let error as KubeError where error.needsNewList {
            // The pages are of one version, which may expire between two of them: all at once then.
            return try await list(scope, accept, pageSize: nil)
        }
    }

    private func list(_ scope: Scope, _ accept: String, pageSize: Int?) async throws -> List {
        var items: [JSON] = []
        var next: String?
        while true {
            var query = scope.query
            if let pageSize { query.append(("limit", "\(pageSize)")) }
            if let next { query.append(("continue", next)) }
            let page = try await call(
                "GET", target(scope.resource.path(namespace: scope.namespace), query),
                accept: accept, attempt: "list \(scope.resource.plural)")
            items += page["items"]?.array ?? []
            guard let more = page.at("metadata", "continue")?.string, !more.isEmpty else {
                return List(items: items, resourceVersion: page.at("metadata", "resourceVersion")?.string ?? "")
            }
            next = more
        }
    }

    /// Opens a watch: one JSON event per line, for as long as both sides like.
    func watch(_ scope: Scope, from resourceVersion: String) async throws -> HTTPResponseBody {
        // Spread, so that the watches of one loopd do not all end at once.
        let seconds = Int.random(in: 290...590)
        let query =
            scope.query + [
                ("watch", "1"), ("allowWatchBookmarks", "true"), ("resourceVersion", resourceVersion),
                ("timeoutSeconds", "\(seconds)"),
            ]
        return try await stream(
            target(scope.resource.path(namespace: scope.namespace), query), attempt: "watch \(scope.resource.plural)")
    }

    /// Changes one object and returns it as it is then.
    func patch(
        _ resource: KubeResource, _ name: String, namespace: String? = nil, part: String? = nil, as kind: PatchKind,
        _ patch: JSON, dryRun: Bool = false
    ) async throws -> JSON {
        let path = resource.path(namespace: namespace, name: name, part: part)
        return try await call(
            "PATCH", target(path, KubeClient.writing(dryRun)), body: patch, type: kind.rawValue,
            attempt: "patch \(resource.plural)/\(name)")
    }

    /// Makes an object what it should be, as far as `manager` says what that is, and returns it as it is then.
    ///
    /// Fields that others have set to something else are a conflict, unless they are taken with `force`.
    func apply(
        _ resource: KubeResource, _ name: String, namespace: String? = nil, _ object: JSON, manager: String,
        force: Bool = false, dryRun: Bool = false
    ) async throws -> JSON {
        let query =
            [("fieldManager", manager), ("fieldValidation", "Strict"), ("force", force ? "true" : "false")]
            + (dryRun ? [("dryRun", "All")] : [])
        return try await call(
            "PATCH", target(resource.path(namespace: namespace, name: name), query), body: object,
            type: KubeClient.applyType, attempt: "apply \(resource.plural)/\(name)")
    }

    /// The groups of kinds that there are beside the core's.
    func groups() async throws -> JSON { try await call("GET", "/apis", attempt: "list the groups of kinds") }

    /// The kinds of a group and version.
    func resources(of apiVersion: String) async throws -> JSON {
        try await call(
            "GET", apiVersion.contains("/") ? "/apis/\(apiVersion)" : "/api/\(apiVersion)",
            attempt: "list the kinds of \(apiVersion)")
    }

    /// Creates an object and returns it as the server completed it.
    func create(
        _ resource: KubeResource, namespace: String? = nil, _ object: JSON, dryRun: Bool = false
    ) async throws -> JSON {
        try await call(
            "POST", target(resource.path(namespace: namespace), KubeClient.writing(dryRun)), body: object,
            attempt: "create \(resource.plural)/\(object.at("metadata", "name")?.string ?? "")")
    }

    /// Asks for a token of a service account (TokenRequest), and returns the request with the token in its status.
    func requestToken(of account: String, namespace: String, _ spec: JSON) async throws -> JSON {
        try await call(
            "POST", KubeResource.serviceAccounts.path(namespace: namespace, name: account, part: "token"),
            body: ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec],
            attempt: "ask for a token of serviceaccounts/\(account)")
    }

    /// Deletes an object; its dependents are deleted in the background, or before it goes itself.
    ///
    /// With `uid`, another object of that name is a conflict.
    func delete(
        _ resource: KubeResource, _ name: String, namespace: String? = nil, uid: String? = nil,
        gracePeriodSeconds: Int? = nil, dependentsFirst: Bool = false
    ) async throws {
        var options: JSON = [
            "kind": "DeleteOptions", "apiVersion": "v1",
            "propagationPolicy": dependentsFirst ? "Foreground" : "Background",
        ]
        if let uid { options["preconditions"] = ["uid": .string(uid)] }
        if let gracePeriodSeconds { options["gracePeriodSeconds"] = .integer(Int64(gracePeriodSeconds)) }
        _ = try await call(
            "DELETE", resource.path(namespace: namespace, name: name), body: options,
            attempt: "delete \(resource.plural)/\(name)")
    }

    /// Deletes a pod that another one takes the place of; false where somebody was faster: it is gone, or another one of that
    /// name is there.
    func deletePod(_ name: String, uid: String, namespace: String) async throws -> Bool {
        do {
            try await delete(.pods, name, namespace: namespace, uid: uid)
            return true
        } catch let error as KubeError where error.isNotFound || error.isConflict {
            return false
        }
    }

    /// A container's log as it comes; with `follow` until the container ends or the result is closed.
    func log(
        pod: String, namespace: String, container: String? = nil, follow: Bool = false, tailLines: Int? = nil,
        previous: Bool = false
    ) async throws -> HTTPResponseBody {
        var query: [(String, String)] = []
        if let container { query.append(("container", container)) }
        if follow { query.append(("follow", "true")) }
        if previous { query.append(("previous", "true")) }
        if let tailLines { query.append(("tailLines", "\(tailLines)")) }
        let path = KubeResource.pods.path(namespace: namespace, name: pod, part: "log")
        return try await stream(target(path, query), attempt: "read the log of \(pod)")
    }

    /// Who writes, so that others see it, and whether it is only tried.
    private static func writing(_ dryRun: Bool) -> [(String, String)] {
        [("fieldManager", FieldManagers.own)] + (dryRun ? [("dryRun", "All")] : [])
    }

    /// A target with its query.
    func target(_ path: String, _ query: [(String, String)]) -> String {
        query.isEmpty ? path : "\(path)?\(PercentEncoding.query(query))"
    }

    private func call(
        _ method: String, _ target: String, body: JSON? = nil, type: String = plainType,
        accept: String = plainType, attempt: String
    ) async throws -> JSON {
        var request = HTTPRequest(method, target, headers: ["Accept": accept])
        if body != nil { request.headers["Content-Type"] = type }
        let bytes = body?.bytes ?? []
        // Reading, and applying what is wanted as a whole, come to the same however often they are done.
        let isRepeatable = method == "GET" || type == KubeClient.applyType
        let answer = try await KubeClient.within(patience, attempt) { [http, request] in
            var tries = 1
            while true {
                let answer: (response: HTTPResponse, body: [UInt8])
                do {
                    answer = try await http.fetch(request, body: bytes, limit: 256 << 20)
                } catch HTTPError.unexpectedEnd where isRepeatable && tries < 3 {
                    // Something on the way has dropped the connection: the next one is another.
                    tries += 1
                    continue
                }
                // Too much to do, or just starting: the request was not looked at, and may be sent again then.
                guard [429, 503].contains(answer.response.status), tries < 5,
                    let seconds = answer.response.headers["Retry-After"].flatMap({ Int($0) }), seconds >= 0
                else { return answer }
                tries += 1
                try await Task.sleep(for: .seconds(min(seconds, 5)))
            }
        }
        guard (200..<300).contains(answer.response.status) else {
            throw KubeError(answer.response, body: answer.body, attempt: attempt)
        }
        do {
            return try JSON(parsing: answer.body)
        } catch {
            throw KubeError(
                code: answer.response.status, reason: "", message: "the answer is no JSON: \(error)", attempt: attempt)
        }
    }

    private func stream(_ target: String, attempt: String) async throws -> HTTPResponseBody {
        let request = HTTPRequest("GET", target, headers: ["Accept": "application/json, */*"])
        return try await KubeClient.within(patience, attempt) { [http] in
            let answer = try await http.send(request)
            guard answer.response.status == 200 else {
                let body = try? await answer.readAll(limit: 1 << 20)
                throw KubeError(answer.response, body: body ?? [], attempt: attempt)
            }
            return answer
        }
    }

    /// Runs `body`, and gives it up with a `KubeError` when it takes longer than `limit`.
    static func within<Result: Sendable>(
        _ limit: Duration, _ attempt: String, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await atMost(
            limit,
            otherwise: KubeError(code: 0, reason: "Timeout", message: "no answer within \(limit)", attempt: attempt),
            body)
    }

    /// Does the last thing for something that ends, within `limit`; also in a task that is cancelled, which is how most
    /// sessions end.
    static func atEnd<Value: Sendable>(
        _ limit: Duration, _ attempt: String, _ body: @escaping @Sendable () async throws -> Value
    ) async -> Result<Value, any Error> {
        await Task { await Result { try await within(limit, attempt, body) } }.value
    }
}
