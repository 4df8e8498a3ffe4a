/// The numbers that both ends of the protocol agree on.
public enum WireProtocol {
    /// The first four bytes of a `hello`: "loop".
    public static let magic: UInt32 = 0x706F_6F6C
    /// The version of the protocol that these sources speak.
    ///
    /// Ends of different versions do not talk.
    public static let version: UInt16 = 4
    /// The most bytes that a frame's payload may have.
    public static let maximumPayload = 1 << 20
    /// Bytes before a frame's payload: length (u32), type (u8), stream (u32), all little-endian.
    public static let headerLength = 9
    /// How many bytes of `data` or `output` a sender may have under way on a fresh stream.
    public static let initialWindow = 1 << 20
    /// The same on a fresh stream that is a socket: small, because hundreds may be open at once.
    public static let socketWindow = 64 << 10
    /// How wide such a window becomes with traffic at most: where it has the room.
    public static let widestSocketWindow = 4 << 20
    /// The stream of what concerns the whole connection.
    ///
    /// Requests use the ones below `firstHelperStream`, numbered by the host.
    public static let connectionStream: UInt32 = 0
    /// From here on the helper numbers streams, for what begins at its end.
    public static let firstHelperStream: UInt32 = 1 << 31
}

/// What an end of the connection can do beyond the protocol's version; unknown bits are ignored.
public struct Capabilities: OptionSet, Equatable, Sendable {
    /// The bits.
    public let rawValue: UInt32

    /// The set with these bits.
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// Files: open, list, digest, stage, commit.
    public static let files = Capabilities(rawValue: 1)
    /// Running programs.
    public static let exec = Capabilities(rawValue: 2)
    /// The service: a supervisor started it and answers.
    public static let service = Capabilities(rawValue: 4)
    /// Sockets: connect, listen.
    public static let network = Capabilities(rawValue: 8)
}
