internal import HTTP

/// One request to a registry, a token server, or where they send a client.
struct Call: Sendable {
    enum Body: Sendable {
        case none
        case some(HTTPRequestBody)
        /// A form that may hold a secret.
        case form(String)

        var isNone: Bool { if case .none = self { true } else { false } }
    }

    var method: String
    var url: RegistryURL
    var headers: HTTPHeaders
    var body: Body
    /// What an answer in memory may have.
    var limit = 4 << 20
    /// Where the body of an answer with status 200 or 206 goes in place of memory; what is in it already, from an
    /// attempt that broke off, is not asked for again.
    var output: OutputFile?
    /// How many bytes of the body the connection has taken.
    var progress: @Sendable (Int) -> Void = { _ in }

    init(_ method: String, _ url: RegistryURL, headers: HTTPHeaders = [:], body: Body = .none) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
    }
}

/// What was answered.
struct Answer: Sendable {
    let status: Int
    let headers: HTTPHeaders
    /// Empty where it went to a file.
    let body: [UInt8]
}

/// Why there is no answer; the first two may be different a moment later.
enum TransportFailure: Error, Equatable, CustomStringConvertible {
    /// Nothing answers there.
    case unreachable(String)
    /// The connection broke, or nothing came for too long.
    case broken(String)
    /// Its certificate is not trusted.
    case certificate(String)
    /// It does not speak TLS, and is not on this machine.
    case plain(String)
    /// It does not speak the protocol, or the program that does is missing.
    case unusable(String)

    var mayPass: Bool {
        switch self {
        case .unreachable, .broken: true
        case .certificate, .plain, .unusable: false
        }
    }

    var description: String {
        switch self {
        case .unreachable(let why), .broken(let why), .certificate(let why), .plain(let why), .unusable(let why): why
        }
    }
}

/// A way to make calls.
///
/// Throws `TransportFailure`, `CancellationError`, and what the body's source throws.
protocol Transport: Sendable {
    func send(_ call: Call) async throws -> Answer
}
