/// Everything that the two ends say to each other.
///
/// The host numbers the streams of its requests, and an answer comes on the stream of its request; only connections that
/// the helper accepts get their numbers from the helper. Requests of different streams may be
/// answered in any order, those on one destination are carried out in the order they came.
public enum Message: Equatable, Sendable {
    // The connection, on stream 0.
    /// Host: the first message.
    case hello(Hello)
    /// Helper: the answer to `hello`.
    case welcome(Welcome)
    /// Either end: answered by `pong` with the same number.
    case ping(UInt64)
    case pong(UInt64)
    /// Host: remove the helper's executable, and its folder where that is empty then.
    ///
    /// Answered by `bye`, or `failure`.
    case removeSelf
    /// Host: end cleanly (staged files are removed, programs ended).
    ///
    /// Helper: the last message.
    case bye

    // Any stream.
    /// Receiver: this many bytes more may be sent.
    case window(UInt32)
    /// Helper: a request failed, or a part of it.
    case failure(Failure)

    // Files.
    case open(Open)
    case opened(Opened)
    /// Host: the destination, by number, is no longer needed; its staging place is removed.
    ///
    /// Answered by `closed`.
    case close(UInt32)
    case closed
    case list(List)
    case entries([Entry])
    /// Helper: how many entries there were.
    case listed(UInt64)
    case digestRequest(DigestRequest)
    case digest(Digest)
    /// Helper: every path was answered.
    case digested
    case stage(Stage)
    /// Host: content. Either end: bytes of a connection.
    ///
    /// How it is cut into frames has no meaning, and a decoder may hand it on in smaller pieces.
    case data([UInt8])
    /// Host: the content is complete with this many bytes.
    case stageEnd(UInt64)
    /// Host: the next bytes of the content are a part of the stage's base.
    case copy(Copy)
    case staged(Staged)
    case abandon(Abandon)
    case commit(Commit)
    case committed(Committed)
    /// Host: cut a file into blocks by its content, so that only those it lacks need to travel.
    case blockRequest(BlockRequest)
    /// Helper: the file's next blocks.
    case blocks([Block])
    /// Helper: every block was named; the file had this many bytes.
    case blocked(UInt64)
    case locate(Locate)
    /// Helper: the absolute path of staged content, as the container sees it.
    case located([UInt8])

    // Programs.
    case exec(Exec)
    case output(ProgramOutput)
    case exited(ProgramExit)
    /// Host: a signal for the program's group.
    case signal(Int32)

    // The service, where the helper is its supervisor's.
    case service(ServiceRequest)
    case serviceState(ServiceState)

    // Sockets.
    case connect(Connect)
    /// Helper: the connection stands; this is its own end.
    case connected(SocketAddress)
    case listen(Listen)
    /// Helper: this port takes connections from now on.
    case listening(UInt16)
    case accepted(Accepted)
    /// Either end: no more data comes from here.
    case finish
    /// Either end: the connection is gone; the error number of Linux says why, 0 that it was wanted.
    case reset(Int32)

    /// The number that stands for the case in a frame's header.
    public var type: MessageType {
        switch self {
        case .hello: return .hello
        case .welcome: return .welcome
        case .ping: return .ping
        case .pong: return .pong
        case .removeSelf: return .removeSelf
        case .bye: return .bye
        case .window: return .window
        case .failure: return .failure
        case .open: return .open
        case .opened: return .opened
        case .close: return .close
        case .closed: return .closed
        case .list: return .list
        case .entries: return .entries
        case .listed: return .listed
        case .digestRequest: return .digestRequest
        case .digest: return .digest
        case .digested: return .digested
        case .stage: return .stage
        case .data: return .data
        case .stageEnd: return .stageEnd
        case .copy: return .copy
        case .staged: return .staged
        case .abandon: return .abandon
        case .commit: return .commit
        case .committed: return .committed
        case .blockRequest: return .blockRequest
        case .blocks: return .blocks
        case .blocked: return .blocked
        case .locate: return .locate
        case .located: return .located
        case .exec: return .exec
        case .output: return .output
        case .exited: return .exited
        case .signal: return .signal
        case .service: return .service
        case .serviceState: return .serviceState
        case .connect: return .connect
        case .connected: return .connected
        case .listen: return .listen
        case .listening: return .listening
        case .accepted: return .accepted
        case .finish: return .finish
        case .reset: return .reset
        }
    }
}

/// A message's kind, as its number on the wire.
///
/// Numbers are never reused.
public enum MessageType: UInt8, CaseIterable, Sendable {
    case hello = 1
    case welcome, ping, pong, removeSelf, bye, window, failure
    case open = 16
    case opened, close, closed, list, entries, listed, digestRequest, digest, digested
    case stage = 32
    case data, stageEnd, staged, abandon, commit, committed, copy, blockRequest, blocks, blocked, locate, located
    case exec = 48
    case output, exited, signal
    case service = 64
    case serviceState
    case connect = 80
    case connected, listen, listening, accepted, finish, reset
}
