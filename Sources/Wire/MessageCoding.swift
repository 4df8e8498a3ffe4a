extension Message {
    /// Reads the payload of a message of the given type.
    init(_ type: MessageType, from reader: inout ByteReader) throws(WireError) {
        switch type {
        case .hello: self = .hello(try Hello(from: &reader))
        case .welcome: self = .welcome(try Welcome(from: &reader))
        case .ping: self = .ping(try reader.read())
        case .pong: self = .pong(try reader.read())
        case .removeSelf: self = .removeSelf
        case .bye: self = .bye
        case .window: self = .window(try reader.read())
        case .failure: self = .failure(try Failure(from: &reader))
        case .open: self = .open(try Open(from: &reader))
        case .opened: self = .opened(try Opened(from: &reader))
        case .close: self = .close(try reader.read())
        case .closed: self = .closed
        case .list: self = .list(try List(from: &reader))
        case .entries: self = .entries(try reader.readList())
        case .listed: self = .listed(try reader.read())
        case .digestRequest: self = .digestRequest(try DigestRequest(from: &reader))
        case .digest: self = .digest(try Digest(from: &reader))
        case .digested: self = .digested
        case .stage: self = .stage(try Stage(from: &reader))
        case .data: self = .data(try reader.readRaw(reader.remaining))
        case .stageEnd: self = .stageEnd(try reader.read())
        case .copy: self = .copy(try Copy(from: &reader))
        case .staged: self = .staged(try Staged(from: &reader))
        case .abandon: self = .abandon(try Abandon(from: &reader))
        case .commit: self = .commit(try Commit(from: &reader))
        case .committed: self = .committed(try Committed(from: &reader))
        case .blockRequest: self = .blockRequest(try BlockRequest(from: &reader))
        case .blocks: self = .blocks(try reader.readList())
        case .blocked: self = .blocked(try reader.read())
        case .locate: self = .locate(try Locate(from: &reader))
        case .located: self = .located(try reader.readBytes())
        case .exec: self = .exec(try Exec(from: &reader))
        case .output: self = .output(try ProgramOutput(from: &reader))
        case .exited: self = .exited(try ProgramExit(from: &reader))
        case .signal: self = .signal(try reader.read())
        case .service: self = .service(try ServiceRequest(from: &reader))
        case .serviceState: self = .serviceState(try ServiceState(from: &reader))
        case .connect: self = .connect(try Connect(from: &reader))
        case .connected: self = .connected(try SocketAddress(from: &reader))
        case .listen: self = .listen(try Listen(from: &reader))
        case .listening: self = .listening(try reader.read())
        case .accepted: self = .accepted(try Accepted(from: &reader))
        case .finish: self = .finish
        case .reset: self = .reset(try reader.read())
        }
    }

    func encodePayload(to writer: inout ByteWriter) {
        switch self {
        case .removeSelf, .bye, .closed, .digested, .finish: break
        case .hello(let value): writer.write(value)
        case .welcome(let value): writer.write(value)
        case .ping(let number), .pong(let number), .listed(let number), .stageEnd(let number),
            .blocked(let number):
            writer.write(number)
        case .window(let number), .close(let number): writer.write(number)
        case .failure(let value): writer.write(value)
        case .open(let value): writer.write(value)
        case .opened(let value): writer.write(value)
        case .list(let value): writer.write(value)
        case .entries(let values): writer.write(values)
        case .digestRequest(let value): writer.write(value)
        case .digest(let value): writer.write(value)
        case .stage(let value): writer.write(value)
        case .data(let bytes): writer.writeRaw(bytes)
        case .copy(let value): writer.write(value)
        case .staged(let value): writer.write(value)
        case .abandon(let value): writer.write(value)
        case .commit(let value): writer.write(value)
        case .committed(let value): writer.write(value)
        case .blockRequest(let value): writer.write(value)
        case .blocks(let values): writer.write(values)
        case .locate(let value): writer.write(value)
        case .located(let path): writer.write(path)
        case .exec(let value): writer.write(value)
        case .output(let value): writer.write(value)
        case .exited(let value): writer.write(value)
        case .signal(let number): writer.write(number)
        case .service(let value): writer.write(value)
        case .serviceState(let value): writer.write(value)
        case .connect(let value): writer.write(value)
        case .connected(let value): writer.write(value)
        case .listen(let value): writer.write(value)
        case .listening(let port): writer.write(port)
        case .accepted(let value): writer.write(value)
        case .reset(let code): writer.write(code)
        }
    }
}
