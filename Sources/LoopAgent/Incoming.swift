import CAgent

/// Content that is arriving: hashed while it is written to the staging place.
final class Incoming {
    let stream: UInt32
    let target: Target
    let request: Stage
    private var file: Int32
    private let name: Bytes
    /// What was at the path when the content began to arrive; -1 without a base.
    private let base: Int32
    private var hash = RunningHash()
    private var written: UInt64 = 0
    private var window = FlowWindow.Receiver()
    /// What is copied at once: as much as costs few calls and stays in the processor's cache; empty before the first copy.
    private var piece: Bytes = []

    init(_ request: Stage, for target: Target, on stream: UInt32) throws(SystemFailure) {
        let place = try target.prepare()
        target.forget(request.stage)
        name = place.fileName(target.number, request.stage)
        let flags = CAGENT_WRITE | CAGENT_CREATE | CAGENT_EXCLUSIVE | CAGENT_NOFOLLOW
        let base = request.hasBase ? try openFile(request.path, of: target) : -1
        do throws(SystemFailure) {
            // The folder lets nobody else in; with the mode that most files have, few need another one.
            file = try checked(name.withCString { cagent_open(place.folder, $0, flags, 0o644) })
        } catch {
            if base >= 0 { close(base) }
            throw error
        }
        self.base = base
        self.stream = stream
        self.target = target
        self.request = request
    }

    deinit {
        if file >= 0 { close(file) }
        if base >= 0 { close(base) }
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

    /// Takes a part of the base as the next piece.
    func take(_ part: Copy) throws(SystemFailure) {
        guard base >= 0, part.length > 0, part.length <= Copy.maximumLength,
            part.offset <= UInt64(Int64.max) - UInt64(part.length)
        else { throw SystemFailure(EPROTO, "a copy of what no base has") }
        if piece.isEmpty { piece = Bytes(repeating: 0, count: 128 << 10) }
        var offset = Int64(part.offset)
        var left = Int(part.length)
        while left > 0 {
            let count = pread(base, &piece, min(left, piece.count), off_t(offset))
            guard count >= 0 else { throw .last() }
            guard count > 0 else { throw SystemFailure(ESTALE, "the file that it builds on became shorter") }
            piece.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            try writeAll(file, piece, count: count)
            offset += Int64(count)
            left -= count
            written += UInt64(count)
        }
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
