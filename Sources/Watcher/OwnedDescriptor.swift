internal import Glibc

/// One owner for one file descriptor: closed when the value ends, unless `release` gave it away.
struct OwnedDescriptor: ~Copyable {
    let raw: Int32

    init(_ raw: Int32) {
        self.raw = raw
    }

    deinit {
        close(raw)
    }

    /// Gives the number away: the caller closes it from now on.
    consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }
}
