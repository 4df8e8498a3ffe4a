import CAgent
import CHash

/// The blocks of a file in progress; a large file takes many turns, between which the connection stays alive.
final class Blocking {
    let stream: UInt32
    private let path: Bytes
    private let file: Int32
    /// What was read and not yet cut: a border depends on as much as a whole block.
    private var pending: Bytes = []
    private var size: UInt64 = 0
    private var isAtEnd = false

    init(_ request: BlockRequest, of target: Target, on stream: UInt32) throws(SystemFailure) {
        file = try openFile(request.path, of: target)
        path = request.path
        self.stream = stream
    }

    deinit {
        close(file)
    }

    /// Reads on for a while.
    ///
    /// Returns false when everything is said.
    func advance(_ output: inout OutputQueue, _ buffer: inout Bytes) -> Bool {
        var blocks: [Block] = []
        for _ in 0..<8 where !isAtEnd {
            let count = read(file, &buffer, buffer.count)
            guard count >= 0 else {
                output.send(.failure(Failure(.blocks, .last(), path: path)), on: stream)
                return false
            }
            isAtEnd = count == 0
            size += UInt64(count)
            pending.append(contentsOf: buffer[..<count])
            cut(into: &blocks)
        }
        if !blocks.isEmpty { output.send(.blocks(blocks), on: stream) }
        guard isAtEnd else { return true }
        output.send(.blocked(size), on: stream)
        return false
    }

    private func cut(into blocks: inout [Block]) {
        let start = pending.withUnsafeBytes { bytes in
            var start = 0
            while start < bytes.count, isAtEnd || bytes.count - start >= CHASH_BLOCK_MAX {
                guard let base = bytes.baseAddress else { break }
                let length = chash_cut(base + start, bytes.count - start)
                blocks.append(Block(length: UInt32(length), hash: chash_block(base + start, length)))
                start += length
            }
            return start
        }
        pending.removeFirst(start)
    }
}

/// Opens a regular file of a destination for reading.
func openFile(_ path: Bytes, of target: Target) throws(SystemFailure) -> Int32 {
    let location = try target.locate(path)
    // Not waiting, because the name may be a pipe.
    let flags = CAGENT_READ | CAGENT_NOFOLLOW | CAGENT_NONBLOCK
    let opened = try Descriptor(location.name.withCString { cagent_open(location.folder.raw, $0, flags, 0) })
    guard try status(opened.raw).isFile else { throw SystemFailure(EINVAL, "not a regular file") }
    return opened.release()
}
