import CAgent

/// Hashes of files in progress; a large file takes many turns, between which the connection stays alive.
final class Digesting {
    let stream: UInt32
    private let target: Target
    private var paths: [Bytes]
    private var file: Int32 = -1
    private var before = FileStamp()
    private var hash = RunningHash()
    private var attempts = 0

    init(_ request: DigestRequest, of target: Target, on stream: UInt32) {
        self.stream = stream
        self.target = target
        paths = request.paths.reversed()
    }

    deinit {
        if file >= 0 { close(file) }
    }

    /// Reads on for a while.
    ///
    /// Returns false when every path was answered.
    func advance(_ output: inout OutputQueue, _ buffer: inout Bytes) -> Bool {
        for _ in 0..<16 {
            guard let path = paths.last else {
                output.send(.digested, on: stream)
                return false
            }
            do {
                if file < 0 { try open(path) }
                if let digest = try read(path, &buffer) {
                    output.send(.digest(digest), on: stream)
                    next()
                }
            } catch {
                let mode = try? mode(of: path)
                output.send(.failure(Failure(.digest, error, path: path, mode: mode, isFinal: false)), on: stream)
                next()
            }
        }
        return true
    }

    private func next() {
        paths.removeLast()
        attempts = 0
        shut()
    }

    private func shut() {
        if file >= 0 { close(file) }
        file = -1
    }

    private func open(_ path: Bytes) throws(SystemFailure) {
        file = try openFile(path, of: target)
        before = try status(file).stamp
        hash = RunningHash()
    }

    private func read(_ path: Bytes, _ buffer: inout Bytes) throws(SystemFailure) -> Digest? {
        let count = CAgent.read(file, &buffer, buffer.count)
        guard count >= 0 else { throw .last() }
        if count > 0 {
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
            return nil
        }
        guard try status(file).stamp == before else {
            attempts += 1
            guard attempts < 3 else { throw SystemFailure(EAGAIN, "it changes while it is read") }
            shut()
            return nil
        }
        return Digest(path: path, sha256: hash.finish(), stamp: before)
    }

    private func mode(of path: Bytes) throws(SystemFailure) -> UInt32 {
        let location = try target.locate(path)
        return try status(location.folder.raw, location.name).permissions
    }
}
