/// Why a registry did not do what was asked: what, where, why, and what to do.
///
/// It holds no secret.
public struct RegistryFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    public enum Kind: Equatable, Sendable {
        /// Nothing answers there, or it stopped answering.
        case unreachable
        /// It wants a login, or refuses the one that it got.
        case unauthorized
        /// The login is right, and may not do this.
        case denied
        /// Its certificate is not one that this machine trusts, or it has none.
        case untrusted
        /// It answers, and goes on failing, or has too much to do.
        case failing
        /// It takes no uploads.
        case readOnly
        /// There is no such repository, tag, manifest or blob.
        case notFound
        /// It does not do this: deletion is off, usually.
        case unsupported
        /// What came or went is not what its digest says.
        case digestMismatch
        /// It refuses the image's name, a manifest, or an amount.
        case invalid
        /// Its answers make no sense, or `curl`, which talks to it, is missing.
        case protocolError
        /// A disk here is full, and the like.
        case local
    }

    /// What kind of failure it is.
    public let kind: Kind
    /// Host and port, as image names begin with it.
    public let registry: String
    /// The repository, where it was about one.
    public let repository: String?
    /// One line: what, where, why.
    public let summary: String
    /// What the registry said, and the like.
    public let details: [String]
    /// What to do about it.
    public let nextStep: String

    init(
        _ kind: Kind, registry: String, repository: String? = nil, _ summary: String, details: [String] = [],
        nextStep: String
    ) {
        self.kind = kind
        self.registry = registry
        self.repository = repository
        self.summary = summary
        self.details = details
        self.nextStep = nextStep
    }

    /// All of it in one line.
    public var description: String { ([summary] + details + [nextStep]).joined(separator: "; ") }
}
