import Glibc

/// One owner for one file descriptor: closed when the value ends, unless `release()` gave it away.
public struct OwnedDescriptor: ~Copyable, Sendable {
    /// The descriptor's number.
    ///
    /// It is valid while this value lives.
    public let raw: Int32

    /// Takes ownership of an open descriptor.
    public init(_ raw: Int32) {
        self.raw = raw
    }

    /// Gives the number away: the caller closes it from now on.
    public consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    deinit {
        _ = close(raw)
    }
}
