/// A client of an image registry (OCI distribution specification).
///
/// It speaks plain HTTP to this machine, and HTTPS, through `curl`, to everything else. Every call is bounded by
/// `Patience` and ends when its task is cancelled. Everything throws `RegistryFailure`, or `LayerProblem` where a file to
/// upload is not what it was.
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
        /// Where large things wait on their way from one registry to another.
        public var temporaryFolder = "/var/tmp"
        /// How many layers travel at once.
        public var concurrency = 4

        /// The usual options.
        public init() {}
    }

    /// Host and port, as image names begin with it; `docker.io` for the Hub.
    public let host: String
    let options: Options

    /// A client of a registry by host and port, as image names begin with it; an empty name is the Hub.
    public init(_ host: String, options: Options = Options()) {
        self.host = host
        self.options = options
    }
}
