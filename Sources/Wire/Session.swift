/// The host's first message, on stream 0.
public struct Hello: Equatable, Sendable {
    /// The protocol version that the sender speaks.
    public var version: UInt16
    /// What the sender can do.
    public var capabilities: Capabilities
    /// Who writes: of two writers to one destination, the one with the higher number wins.
    public var generation: UInt64
    /// How often the host pings.
    ///
    /// After two missed ones the helper ends.
    public var heartbeatSeconds: UInt16

    /// The greeting of this version.
    public init(
        generation: UInt64, heartbeatSeconds: UInt16, capabilities: Capabilities = [.files, .exec],
        version: UInt16 = WireProtocol.version
    ) {
        self.version = version
        self.capabilities = capabilities
        self.generation = generation
        self.heartbeatSeconds = heartbeatSeconds
    }
}

/// The helper's answer to `Hello`.
public struct Welcome: Equatable, Sendable {
    /// The protocol version that the sender speaks.
    public var version: UInt16
    /// What the sender can do.
    public var capabilities: Capabilities
    /// The machine, as `uname -m` says: `x86_64`, `aarch64`.
    public var architecture: [UInt8]
    /// The user that the helper runs as.
    public var uid: UInt32
    /// The group that the helper runs as.
    public var gid: UInt32
    /// The helper's process id, as it sees it.
    public var pid: UInt32
    /// SHA-256 of the helper's own executable.
    public var digest: [UInt8]
    /// Where the executable lies.
    public var path: [UInt8]

    /// An answer with every field.
    public init(
        capabilities: Capabilities, architecture: [UInt8], uid: UInt32, gid: UInt32, pid: UInt32, digest: [UInt8],
        path: [UInt8], version: UInt16 = WireProtocol.version
    ) {
        self.version = version
        self.capabilities = capabilities
        self.architecture = architecture
        self.uid = uid
        self.gid = gid
        self.pid = pid
        self.digest = digest
        self.path = path
    }
}

/// What did not work: on which request is said by the frame's stream.
public struct Failure: Equatable, Sendable {
    /// What was tried.
    public enum Operation: UInt8, Equatable, Sendable {
        case session, open, list, digest, stage, commit, exec, removeSelf, blocks, service, locate, network
    }

    /// What was tried.
    public var operation: Operation
    /// The kernel's error number of Linux.
    public var code: Int32
    /// The path it is about; relative to the destination where there is one.
    public var path: [UInt8]
    /// Who tried.
    public var uid: UInt32
    /// Mode of what is in the way, where known.
    public var mode: UInt32?
    /// One line for people.
    public var text: [UInt8]
    /// Whether the request is over.
    ///
    /// False in a listing or among digests, which go on with the next path.
    public var isFinal: Bool

    /// A failure with every field.
    public init(
        _ operation: Operation, code: Int32, path: [UInt8], uid: UInt32, mode: UInt32? = nil, text: [UInt8],
        isFinal: Bool = true
    ) {
        self.operation = operation
        self.code = code
        self.path = path
        self.uid = uid
        self.mode = mode
        self.text = text
        self.isFinal = isFinal
    }
}
