import CAgent

/// Content that is arriving: hashed while it is written to the staging place.
final class Incoming {
    let stream: UInt32
    let target: Target
    let request: Stage
    private var file: Int32
    private let name: Bytes
    private var hash = RunningHash()
    private var written: UInt64 = 0
    private var window = FlowWindow.Receiver()

    init(_ request: Stage, for target: Target, on stream: UInt32) throws(SystemFailure) {
        let place = try target.prepare()
        target.forget(request.stage)
        name = place.fileName(target.number, request.stage)
        let flags = CAGENT_WRITE | CAGENT_CREATE | CAGENT_EXCLUSIVE | CAGENT_NOFOLLOW
        // The folder lets nobody else in; with the mode that most files have, few need another one.
        file = try checked(name.withCString { cagent_open(place.folder, $0, flags, 0o644) })
        self.stream = stream
        self.target = target
        self.request = request
    }

    deinit {
        if file >= 0 { close(file) }
    }

    /// Takes a piece; returns what to grant the sender.
    func take(_ bytes: Bytes) throws(SystemFailure) -> UInt32? {
        do {
            try window.receive(bytes.count)
        } catch {
            throw SystemFailure(EPROTO, "more content than the window allows")
        }
        bytes.withUnsafeBytes { hash.update($0) }
        try writeAll(file, bytes, count: bytes.count)
        written += UInt64(bytes.count)
        return window.consume(bytes.count)
    }

    /// The content is complete: acknowledges what is on disk.
    func end(_ announced: UInt64) throws(SystemFailure) -> Staged {
        let status = try status(file)
        guard written == announced, status.size == written else {
            throw SystemFailure(EIO, "the content's size is not what was announced")
        }
        // Network file systems say only here that there was no room.
        let file = file
        self.file = -1
        try checked(close(file))
        target.staged[request.stage] = StagedFile(name: name, status: status)
        return Staged(stage: request.stage, sha256: hash.finish(), size: status.size)
    }

    /// Removes what was written so far.
    func abandon() {
        guard let place = target.place else { return }
        name.withCString { _ = cagent_remove(place.folder, $0, 0) }
    }
}
