/// Why a registry does not give or take an image, from what a program says about it.
enum RegistryTrouble: Equatable, Sendable {
    case unknownHost
    case notListening
    case noAnswer
    case plainHTTP
    /// The program that keeps the login is not there.
    case credentialHelper
    case certificate
    case noRegistry
    case tooMany
    case readOnly
    case unauthorized
    case denied
    case notFound
    case brokenOff

    /// What words mean, the more telling ones first.
    private static let words: [(String, RegistryTrouble)] = [
        ("docker-credential-", .credentialHelper), ("server gave http response to https client", .plainHTTP),
        ("x509:", .certificate),
        ("certificate signed by unknown", .certificate), ("no such host", .unknownHost),
        ("name or service not known", .unknownHost), ("temporary failure in name resolution", .unknownHost),
        ("server misbehaving", .unknownHost), ("connection refused", .notListening),
        ("network is unreachable", .noAnswer), ("no route to host", .noAnswer), ("i/o timeout", .noAnswer),
        ("tls handshake timeout", .noAnswer), ("deadline exceeded", .noAnswer),
        ("awaiting headers", .noAnswer), ("toomanyrequests", .tooMany), ("too many requests", .tooMany),
        (" 405", .readOnly), ("method not allowed", .readOnly), ("read-only", .readOnly), ("read only", .readOnly),
        ("pull access denied", .denied), ("unauthorized", .unauthorized), ("no basic auth credentials", .unauthorized),
        ("authentication required", .unauthorized), ("authorization failed", .unauthorized),
        ("denied", .denied), ("insufficient_scope", .denied), ("403 forbidden", .denied),
        ("manifest unknown", .notFound), ("name unknown", .notFound), ("not found", .notFound),
        ("no matching manifest", .notFound), ("did not resolve to an alias", .notFound),
        ("connection reset", .brokenOff), ("broken pipe", .brokenOff), ("unexpected eof", .brokenOff),
        (": eof", .brokenOff), ("500 internal", .brokenOff), (" 502", .brokenOff), (" 503", .brokenOff),
        (" 504", .brokenOff), ("server error", .brokenOff), ("status code 5", .brokenOff),
        ("statuscode: 5", .brokenOff),
    ]

    /// Reads the lines of an error.
    init?(_ lines: [String]) {
        let text = lines.joined(separator: "\n").lowercased()
        guard let known = RegistryTrouble.words.first(where: { text.contains($0.0) }) else { return nil }
        self = known.1
    }

    /// Whether the same once more may work.
    var isPassing: Bool { [.brokenOff, .noAnswer, .notListening].contains(self) }

    /// What it is, of the registry at a host.
    func words(_ host: String) -> String {
        switch self {
        case .unknownHost: "the name \(host) is not known here"
        case .notListening: "nothing listens at \(host)"
        case .noAnswer: "\(host) does not answer"
        case .plainHTTP: "\(host) speaks plain HTTP, not HTTPS"
        case .credentialHelper: "the program that keeps the login for \(host) does not run here"
        case .certificate: "the certificate of \(host) is not trusted here"
        case .noRegistry: "what answers at \(host) is no registry"
        case .tooMany: "\(host) has had too many requests from here"
        case .readOnly: "the registry at \(host) is read-only"
        case .unauthorized: "\(host) wants a login"
        case .denied: "\(host) refuses it to this login"
        case .notFound: "\(host) does not have it"
        case .brokenOff: "the connection to \(host) breaks off"
        }
    }

    /// What to do about it with a program.
    func nextStep(_ program: EngineBuild.Program, _ host: String) -> String? {
        switch self {
        case .unauthorized, .denied: "\(program.rawValue) login \(host)"
        case .plainHTTP, .certificate: RegistryTrouble.insecureHint(program, host)
        case .credentialHelper: "install it, or take \"credsStore\" and \"credHelpers\" out of ~/.docker/config.json"
        case .tooMany: "wait, or log in: \(program.rawValue) login \(host)"
        case .unknownHost, .notListening, .noAnswer, .noRegistry, .readOnly, .notFound, .brokenOff: nil
        }
    }

    /// What helps against plain HTTP and strange certificates.
    private static func insecureHint(_ program: EngineBuild.Program, _ host: String) -> String {
        switch program {
        case .docker: "\"insecure-registries\": [\"\(host)\"] in /etc/docker/daemon.json, then restart docker"
        case .podman, .buildah:
            "[[registry]] location = \"\(host)\" with insecure = true in /etc/containers/registries.conf.d/local.conf"
        }
    }
}
