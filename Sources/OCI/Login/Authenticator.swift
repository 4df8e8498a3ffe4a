internal import HTTP
internal import JSON

/// Answers a registry's challenges, and remembers the answers.
actor Authenticator {
    /// Why a login did not work; it holds no secret.
    struct Refusal: Error {
        let reason: String
        let isDenied: Bool
    }

    private struct Token {
        let header: String
        let expires: ContinuousClock.Instant
    }

    private let registry: String
    private let store: CredentialStore?
    private var tokens: [String: Token] = [:]
    /// For every scope: a registry that takes passwords.
    private var basic: String?
    private var fetches: [String: Task<Token, any Error>] = [:]
    /// Logins that were of use, by repository.
    private var known: [String: Credentials] = [:]

    init(registry: String, store: CredentialStore?) {
        self.registry = registry
        self.store = store
    }

    /// The header for a scope, where one is known.
    func header(for scope: String) -> String? {
        if let token = tokens[scope], token.expires > .now { return token.header }
        return basic
    }

    /// A header that answers a refusal of `rejected`.
    ///
    /// - Parameter send: makes calls to the token server, without any login but the one in them.
    func answer(
        _ fields: [String], scopes: [String], repository: String, rejected: String?,
        send: @escaping @Sendable (Call) async throws -> Answer
    ) async throws -> String {
        let scope = scopes.joined(separator: " ")
        // Another call of the same scope may have got one meanwhile.
        if let present = header(for: scope), present != rejected { return present }
        guard let challenge = Challenge.best(of: fields) else {
            throw Refusal(reason: "it asks for a kind of login that loopd does not know", isDenied: false)
        }
        guard challenge.scheme == "bearer" else {
            let header = try await withLogin(repository) { credentials in
                guard case .basic(let user, let password)? = credentials else {
                    throw Refusal(reason: "it wants a login, and there is none for it here", isDenied: false)
                }
                let header = "Basic \(Base64.encode(Array("\(user):\(password)".utf8)))"
                guard header != rejected else {
                    throw Refusal(reason: "it refuses \(credentials?.description ?? "the login")", isDenied: false)
                }
                return header
            }
            basic = header
            return header
        }
        if let fetch = fetches[scope] {
            do {
                return try await fetch.value.header
            } catch is CancellationError where !Task.isCancelled {
                // Who had begun to ask was cancelled: this call asks itself.
                return try await answer(fields, scopes: scopes, repository: repository, rejected: rejected, send: send)
            }
        }
        let fetch = Task {
            try await withLogin(repository) { credentials in
                try await Authenticator.token(challenge, scopes: scopes, credentials, send: send)
            }
        }
        fetches[scope] = fetch
        defer { fetches[scope] = nil }
        let token = try await withTaskCancellationHandler {
            try await fetch.value
        } onCancel: {
            fetch.cancel()
        }
        tokens[scope] = token
        return token.header
    }

    /// Forgets what was refused after all: the next call asks for the login again.
    func forget(_ scope: String, _ repository: String) {
        known[repository] = nil
        tokens[scope] = nil
        basic = nil
    }

    /// Whether there is another login now than the one that did not do; the old one is forgotten then.
    func isRenewed(_ scope: String, _ repository: String) async -> Bool {
        let found = await store?.credentials(for: registry, repository: repository)
        guard let found, found != known[repository] else { return false }
        forget(scope, repository)
        return true
    }

    /// Does something with a repository's login, where there is one.
    ///
    /// Logins come to be there, and short-lived ones expire: what is refused is asked for once more, and that there is
    /// none is not remembered.
    private func withLogin<Result>(
        _ repository: String, _ body: (Credentials?) async throws -> Result
    ) async throws -> Result {
        var refused: (login: Credentials, refusal: Refusal)?
        if let kept = known[repository] {
            do {
                return try await body(kept)
            } catch let refusal as Refusal {
                refused = (kept, refusal)
                known[repository] = nil
            }
        }
        let found = await store?.credentials(for: registry, repository: repository)
        if let refused, found == refused.login { throw refused.refusal }
        let result = try await body(found)
        known[repository] = found
        return result
    }

    private static func token(
        _ challenge: Challenge, scopes: [String], _ credentials: Credentials?,
        send: @Sendable (Call) async throws -> Answer
    ) async throws -> Token {
        guard let realm = challenge.parameters["realm"], var url = RegistryURL(realm) else {
            throw Refusal(reason: "it names no token server that loopd could ask", isDenied: false)
        }
        let service = challenge.parameters["service"]
        let call: Call
        if case .identityToken(let token)? = credentials {
            var form = "grant_type=refresh_token&client_id=loopd&refresh_token=\(RegistryURL.encoded(token))"
            if let service { form += "&service=\(RegistryURL.encoded(service))" }
            form += "&scope=\(RegistryURL.encoded(scopes.joined(separator: " ")))"
            call = Call(
                "POST", url, headers: ["Content-Type": "application/x-www-form-urlencoded"], body: .form(form))
        } else {
            if let service { url = url.adding("service", service) }
            for scope in scopes { url = url.adding("scope", scope) }
            var headers: HTTPHeaders = [:]
            if case .basic(let user, let password)? = credentials {
                url = url.adding("account", user)
                headers["Authorization"] = "Basic \(Base64.encode(Array("\(user):\(password)".utf8)))"
            }
            call = Call("GET", url, headers: headers)
        }
        let answer = try await send(call)
        guard answer.status == 200 else {
            let whose = credentials.map { "refuses \($0)" } ?? "gives nothing without a login"
            throw Refusal(
                reason: "its token server \(url.origin.authority) \(whose) (status \(answer.status))",
                isDenied: answer.status == 403)
        }
        let body = try? JSON(parsing: answer.body)
        guard let token = body?["token"]?.string ?? body?["access_token"]?.string, !token.isEmpty,
            token.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else {
            throw Refusal(reason: "its token server \(url.origin.authority) sent no token", isDenied: false)
        }
        // A minute is what the specification gives to one that says nothing; a moment less, for the way.
        let seconds = max(10, min(body?["expires_in"]?.integer ?? 60, 86400))
        return Token(header: "Bearer \(token)", expires: .now + .seconds(seconds) - .seconds(5))
    }
}
