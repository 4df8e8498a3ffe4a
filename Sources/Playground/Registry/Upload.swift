internal import Glibc
internal import OCI
internal import Reactor
internal import Synchronization

/// A blob on its way in: a file that grows, and the digest of what it holds so far.
///
/// One request at a time works on it (`begin` says whether it may); the bytes go to disk as they come.
final class Upload: Sendable {
    private struct State {
        var size = 0
        var digest = RunningDigest()
        var isBusy = false
        var isClosed = false
        var lastUse = ContinuousClock.now
    }
    let id: String
    let path: String
    private let descriptor: Int32
    private let state = Mutex(State())

    init(in folder: String) throws(SystemError) {
        id = Identifier.random(bytes: 16)
        path = "\(folder)/\(id)"
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .last("create \(path)") }
    }

    deinit { discard() }

    var size: Int { state.withLock { $0.size } }

    /// Takes the upload for one request; false while another one has it.
    func begin() -> Bool {
        state.withLock { state in
            if state.isBusy || state.isClosed { return false }
            state.isBusy = true
            return true
        }
    }

    func end() {
        state.withLock { state in
            state.isBusy = false
            state.lastUse = .now
        }
    }

    /// When a request last worked on it.
    var lastUse: ContinuousClock.Instant { state.withLock { $0.lastUse } }

    // Inlined into an asynchronous caller, it crashes the optimizer of Swift 6.3 (coroutine splitting, signal 11).
    @inline(never)
    func append(_ bytes: [UInt8]) throws(SystemError) {
        try Disk.write(bytes, to: descriptor, named: path)
        state.withLock { state in
            state.digest.update(bytes)
            state.size += bytes.count
        }
    }

    var digest: Digest { state.withLock { $0.digest.digest } }

    /// Makes the file a blob.
    func commit(to blob: String) throws(SystemError) {
        guard rename(path, blob) == 0 else { throw .last("rename \(path)") }
        discard()
    }

    /// Closes and removes what is left.
    func discard() {
        let isFirst = state.withLock { state in
            defer { state.isClosed = true }
            return !state.isClosed
        }
        if isFirst { remove() }
    }

    /// Does the same unless a request works on it; returns whether it did.
    func discardIfIdle() -> Bool {
        let isIdle = state.withLock { state in
            guard !state.isBusy, !state.isClosed else { return false }
            state.isClosed = true
            return true
        }
        if isIdle { remove() }
        return isIdle
    }

    private func remove() {
        _ = unlink(path)
        close(descriptor)
    }
}
