internal import HTTP
internal import Synchronization

/// A client of an image registry (OCI distribution specification).
///
/// It speaks plain HTTP to this machine, and HTTPS, through `curl`, to everything else. Every call is bounded by
/// `Patience` and ends when its task is cancelled. Everything throws `RegistryFailure`, or `LayerProblem` where a file
/// to upload is not what it was.
public final class Registry: Sendable {
    /// What a client may be given.
    public struct Options: Sendable {
        /// Where logins come from; `nil` is anonymous.
        public var credentials: CredentialStore?
        /// A file with the certificate authorities to trust in place of the system's (PEM).
        public var certificates: String?
        /// How long it is waited for.
        public var patience = Patience()
        /// How `curl` is started.
        public var programs: any ProgramRunner = DirectRunner()
        /// Where `HOME` is, for certificates that were put there for a registry.
        public var environment: [String: String] = [:]
        /// Where large things wait on their way from one registry to another.
        public var temporaryFolder = "/var/tmp"
        /// How many layers travel at once.
        public var concurrency = 4
        /// Blobs up to this size go in one request, larger ones in pieces of it, each of which the registry keeps.
        public var pieceSize: Int64 = 32 << 20

        /// The usual options, without logins.
        public init() {}

        /// The usual options, with the logins of an environment.
        public init(environment: [String: String], programs: any ProgramRunner = DirectRunner()) {
            self.environment = environment
            self.programs = programs
            credentials = CredentialStore(environment: environment, programs: programs)
            if let folder = environment["TMPDIR"], !folder.isEmpty { temporaryFolder = folder }
        }
    }

    /// Host and port, as image names begin with it; `docker.io` for the Hub.
    public let host: String
    let options: Options
    let link: Link
    let authenticator: Authenticator
    /// What never answered is not there; what did is waited for.
    private let hasAnswered = Atomic(false)
    /// Whether it takes blobs in several pieces; `nil` until one has shown it.
    let takesPieces = Mutex<Bool?>(nil)

    /// A client of a registry by host and port, as image names begin with it; an empty name is the Hub.
    public init(_ host: String, options: Options = Options()) {
        let isHub = ["", "docker.io", "index.docker.io", "registry-1.docker.io"].contains(host)
        self.host = isHub ? "docker.io" : host
        self.options = options
        link = Link(isHub ? "registry-1.docker.io" : host, options)
        authenticator = Authenticator(registry: self.host, store: options.credentials)
    }

    /// Whether a registry is on this machine, where it is spoken to in plain HTTP.
    public static func isNearby(_ host: String) async -> Bool {
        guard let origin = Origin(host, isSecure: false) else { return false }
        return await Loopback.addresses(of: origin.host) != nil
    }

    /// Asks the registry whether it is there and takes the login that it gets.
    public func check() async throws {
        let answer = try await perform(Request("GET", "", what: "ask \(host)", scopes: []))
        guard answer.status == 200 else { throw failure(answer, "ask \(host)", nil) }
    }

    /// One request below `/v2/`, or at a place that the registry named.
    struct Request: Sendable {
        var method: String
        /// Below `/v2/`.
        var path: String
        /// In place of `path`.
        var url: RegistryURL?
        /// For people: `push web to localhost:5000`.
        var what: String
        var repository: String?
        var headers: HTTPHeaders = [:]
        var body = Call.Body.none
        var limit = 4 << 20
        var output: OutputFile?
        var progress: @Sendable (Int) -> Void = { _ in }
        /// What a token has to be for.
        var scopes: [String]

        init(_ method: String, _ path: String, what: String, repository: String? = nil, scopes: [String]) {
            self.method = method
            self.path = path
            self.what = what
            self.repository = repository
            self.scopes = scopes
        }
    }

    /// Makes a request that may be repeated, until there is an answer that will not be another one a moment later.
    func perform(_ request: Request) async throws -> Answer {
        var recovery = Recovery(options.patience)
        var arrived: Int64 = 0
        while true {
            let trouble: Recovery.Trouble
            do {
                let answer = try await attempt(request)
                guard let passing = Recovery.Trouble(answer) else { return answer }
                trouble = passing
            } catch TransportFailure.unreachable(let why) where !hasAnswered.load(ordering: .relaxed) {
                throw failure(TransportFailure.unreachable(why), request.what, request.repository)
            } catch let error as TransportFailure where error.mayPass {
                trouble = Recovery.Trouble(error)
            } catch let error as TransportFailure {
                throw failure(error, request.what, request.repository)
            }
            if let size = request.output?.size, size > arrived {
                arrived = size
                recovery.noteProgress()
            }
            guard try await recovery.pause(after: trouble) else {
                throw failure(trouble, request.what, request.repository)
            }
        }
    }

    /// Makes a request once, with the login that it takes.
    ///
    /// Throws `TransportFailure` where there is no answer.
    func attempt(_ request: Request) async throws -> Answer {
        let way = try await link.find()
        var call = Call(
            request.method, request.url ?? RegistryURL(way.origin, "/v2/\(request.path)"), headers: request.headers,
            body: request.body)
        call.limit = request.limit
        call.output = request.output
        call.progress = request.progress
        guard call.url.origin == way.origin else { return try await redirected(call) }
        let scope = request.scopes.joined(separator: " ")
        let header = await authenticator.header(for: scope)
        call.headers["Authorization"] = header
        let answer = try await way.transport.send(call)
        hasAnswered.store(true, ordering: .relaxed)
        let repository = request.repository ?? ""
        // Amazon's says so of a login that has expired.
        if answer.status == 403, header != nil, await authenticator.isRenewed(scope, repository) {
            return try await attempt(request)
        }
        guard answer.status == 401 else { return answer }
        do {
            call.headers["Authorization"] = try await authenticator.answer(
                answer.headers.all("WWW-Authenticate"), scopes: request.scopes, repository: repository,
                rejected: header
            ) { [self] in try await redirected($0) }
        } catch let refusal as Authenticator.Refusal {
            throw failure(refusal, request.what, request.repository)
        }
        let second = try await way.transport.send(call)
        if second.status == 401 { await authenticator.forget(scope, repository) }
        return second
    }

    /// Makes a call to another server than the registry: its token server, its storage.
    ///
    /// What is not HTTPS has to be on this machine, as the registry itself.
    private func redirected(_ call: Call) async throws -> Answer {
        let origin = call.url.origin
        if origin.isSecure {
            return try await Link(origin.authority, options).elsewhere(origin).send(call)
        }
        guard let addresses = await Loopback.addresses(of: origin.host) else {
            throw TransportFailure.unusable("it refers to \(origin), which is neither HTTPS nor on this machine")
        }
        var first: (any Error)?
        for address in addresses {
            do {
                return try await PlainTransport(origin, address: address, options.patience).send(call)
            } catch let error as TransportFailure {
                first = first ?? error
            }
        }
        throw first ?? TransportFailure.unreachable("\(origin) has no address")
    }
}
