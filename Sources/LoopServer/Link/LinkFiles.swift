internal import Wire

/// Where staged content comes from.
protocol ContentSource: Sendable {
    /// How many bytes there are.
    var size: Int64 { get }
    /// At most `limit` bytes from `offset`; fewer at the end only. Throws when the source changed while it was read.
    func read(at offset: Int64, limit: Int) throws -> [UInt8]
}

extension HelperLink {
    /// How much content goes into one frame: large messages cost the least per byte on the way through the cluster.
    private static let chunk = 256 << 10

    /// Opens a destination for writing.
    func open(_ request: Open) async throws -> Opened {
        let stream = try begin(.open(request))
        defer { finish(stream) }
        switch try await stream.next() {
        case .opened(let opened): return opened
        case let other: throw unexpected(other)
        }
    }

    /// Gives a destination up; its staging place is removed.
    func close(destination: UInt32) async throws {
        let stream = try begin(.close(destination))
        defer { finish(stream) }
        switch try await stream.next() {
        case .closed: return
        case let other: throw unexpected(other)
        }
    }

    /// Lists a destination; `each` gets every entry, `failed` every folder that could not be read.
    func list(_ request: List, each: (Entry) -> Void, failed: (Failure) -> Void) async throws {
        var rest = request.paths[...]
        // No paths ask for everything.
        repeat {
            var part = request
            part.paths = take(&rest) { 4 + $0.count }
            try await listPart(part, each: each, failed: failed)
        } while !rest.isEmpty
    }

    private func listPart(_ request: List, each: (Entry) -> Void, failed: (Failure) -> Void) async throws {
        let stream = try begin(.list(request))
        defer { finish(stream) }
        while true {
            switch try await stream.next() {
            case .entries(let entries): entries.forEach(each)
            case .failure(let failure) where !failure.isFinal: failed(failure)
            case .listed: return
            case let other: throw unexpected(other)
            }
        }
    }

    /// Asks for the hashes of files; `failed` gets every file that could not be read.
    func digests(
        destination: UInt32, of paths: [[UInt8]], each: (Digest) -> Void, failed: (Failure) -> Void
    ) async throws {
        var rest = paths[...]
        while !rest.isEmpty {
            let batch = take(&rest) { 4 + $0.count }
            let stream = try begin(.digestRequest(DigestRequest(destination: destination, paths: batch)))
            defer { finish(stream) }
            while let message = try await digestAnswer(stream) {
                switch message {
                case .digest(let digest): each(digest)
                case .failure(let failure) where !failure.isFinal: failed(failure)
                case let other: throw unexpected(other)
                }
            }
        }
    }

    private func digestAnswer(_ stream: LinkStream) async throws -> Message? {
        let message = try await stream.next()
        if case .digested = message { return nil }
        return message
    }

    /// Sends content to the helper's staging place.
    ///
    /// With a `base`, the blocks of what is at the path now, only what it lacks travels. When it throws anything but a
    /// refusal, the content was abandoned and nothing of it stays. `progress` gets the bytes read so far.
    func stage(
        _ request: Stage, from source: some ContentSource, base: BlockTable? = nil, progress: (Int64) -> Void = { _ in }
    ) async throws -> Transfer {
        var request = request
        request.hasBase = base != nil
        let stream = try begin(.stage(request))
        defer { finish(stream) }
        do {
            var transfer = Transfer()
            if source.size >= Transfer.smallestWithBlocks {
                try await sendBlocks(of: source, against: base ?? BlockTable(), on: stream, progress, &transfer)
            } else {
                try await sendAll(of: source, on: stream, progress, &transfer)
            }
            switch try await stream.next() {
            case .staged(let staged):
                transfer.staged = staged
                return transfer
            case let other: throw unexpected(other)
            }
        } catch let error as LinkError {
            throw error
        } catch {
            send(.abandon(Abandon(destination: request.destination, stage: request.stage)), on: stream)
            throw error
        }
    }

    private func sendAll(
        of source: some ContentSource, on stream: LinkStream, _ progress: (Int64) -> Void, _ transfer: inout Transfer
    ) async throws {
        var offset: Int64 = 0
        while offset < source.size {
            await waitForRoom()
            let wanted = Int(min(Int64(HelperLink.chunk), source.size - offset))
            var allowed = try await stream.takeCredit(wanted)
            if allowed == 0 { return }
            while allowed > 0 {
                let bytes = try source.read(at: offset, limit: allowed)
                send(.data(bytes), on: stream)
                offset += Int64(bytes.count)
                allowed -= bytes.count
            }
            progress(offset)
        }
        transfer.bytesSent = UInt64(offset)
        send(.stageEnd(UInt64(offset)), on: stream)
    }

    private func sendBlocks(
        of source: some ContentSource, against base: BlockTable, on stream: LinkStream, _ progress: (Int64) -> Void,
        _ transfer: inout Transfer
    ) async throws {
        var scan = DeltaScan(base: base)
        var offset: Int64 = 0
        while offset < source.size {
            let bytes = try source.read(at: offset, limit: Int(min(Int64(HelperLink.chunk), source.size - offset)))
            offset += Int64(bytes.count)
            for part in scan.feed(bytes, isLast: offset == source.size) {
                guard try await send(part, on: stream, &transfer) else { return }
            }
            progress(offset)
        }
        transfer.blocks = scan.table
        send(.stageEnd(UInt64(offset)), on: stream)
    }

    /// Sends a part; false when an answer came instead, because the helper refused the content.
    private func send(_ part: DeltaScan.Part, on stream: LinkStream, _ transfer: inout Transfer) async throws -> Bool {
        await waitForRoom()
        switch part {
        case .copy(var offset, var left):
            while left > 0 {
                let length = min(left, UInt64(Copy.maximumLength))
                send(.copy(Copy(offset: offset, length: UInt32(length))), on: stream)
                offset += length
                left -= length
            }
        case .data(let bytes):
            var rest = bytes[...]
            while !rest.isEmpty {
                let allowed = try await stream.takeCredit(rest.count)
                if allowed == 0 { return false }
                send(.data(allowed == bytes.count ? bytes : Array(rest.prefix(allowed))), on: stream)
                rest = rest.dropFirst(allowed)
            }
            transfer.bytesSent += UInt64(bytes.count)
        }
        return true
    }

    /// The blocks of a file in a destination.
    func blocks(destination: UInt32, of path: [UInt8]) async throws -> BlockTable {
        let stream = try begin(.blockRequest(BlockRequest(destination: destination, path: path)))
        defer { finish(stream) }
        var table = BlockTable()
        while true {
            switch try await stream.next() {
            case .blocks(let blocks): for block in blocks { table.append(block) }
            case .blocked(let size) where size == table.size: return table
            case .blocked: throw LinkError.protocolViolation("blocks that do not add up")
            case let other: throw unexpected(other)
            }
        }
    }

    /// Applies a batch; the results are in the order of `operations`.
    func commit(destination: UInt32, _ operations: [FileOperation]) async throws -> [OperationResult] {
        var rest = operations[...]
        var batch = take(&rest, size: HelperLink.size)
        let stream = try begin(commitMessage(destination, batch, isLast: rest.isEmpty))
        defer { finish(stream) }
        while !rest.isEmpty {
            batch = take(&rest, size: HelperLink.size)
            send(commitMessage(destination, batch, isLast: rest.isEmpty), on: stream)
        }
        var results: [OperationResult] = []
        while true {
            switch try await stream.next() {
            case .committed(let committed):
                results += committed.results
                guard committed.isLast else { continue }
                guard results.count == operations.count else {
                    throw LinkError.protocolViolation("\(results.count) results for \(operations.count) operations")
                }
                return results
            case let other: throw unexpected(other)
            }
        }
    }

    private func commitMessage(_ destination: UInt32, _ operations: [FileOperation], isLast: Bool) -> Message {
        .commit(Commit(destination: destination, generation: generation, operations: operations, isLast: isLast))
    }

    /// A bound of an operation's size on the wire.
    private static func size(_ operation: FileOperation) -> Int {
        if case .link(let path, let target) = operation { return 16 + path.count + target.count }
        return 32 + operation.path.count
    }

    /// Takes as many elements as fit into one frame.
    private func take<Element>(_ rest: inout ArraySlice<Element>, size: (Element) -> Int) -> [Element] {
        var room = WireProtocol.maximumPayload - 64
        let count = rest.prefix { element in
            room -= size(element)
            return room >= 0
        }.count
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    /// The error behind an answer that is not the expected one.
    func unexpected(_ message: Message) -> LinkError {
        if case .failure(let failure) = message { return .refused(failure) }
        return .protocolViolation("an answer of type \(message.type)")
    }
}
