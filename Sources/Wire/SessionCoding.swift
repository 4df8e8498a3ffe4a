extension Hello: WireCodable {
    static var minimumSize: Int { 20 }

    init(from reader: inout ByteReader) throws(WireError) {
        guard try reader.read(UInt32.self) == WireProtocol.magic else { throw .invalidValue }
        version = try reader.read()
        capabilities = Capabilities(rawValue: try reader.read())
        generation = try reader.read()
        heartbeatSeconds = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(WireProtocol.magic)
        writer.write(version)
        writer.write(capabilities.rawValue)
        writer.write(generation)
        writer.write(heartbeatSeconds)
    }
}

extension Welcome: WireCodable {
    static var minimumSize: Int { 30 }

    init(from reader: inout ByteReader) throws(WireError) {
        version = try reader.read()
        capabilities = Capabilities(rawValue: try reader.read())
        architecture = try reader.readBytes()
        uid = try reader.read()
        gid = try reader.read()
        pid = try reader.read()
        digest = try reader.readBytes()
        path = try reader.readBytes()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(version)
        writer.write(capabilities.rawValue)
        writer.write(architecture)
        writer.write(uid)
        writer.write(gid)
        writer.write(pid)
        writer.write(digest)
        writer.write(path)
    }
}

extension Failure: WireCodable {
    static var minimumSize: Int { 23 }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let operation = Operation(rawValue: try reader.read()) else { throw .invalidValue }
        self.operation = operation
        code = try reader.read()
        path = try reader.readBytes()
        uid = try reader.read()
        mode = try reader.readBool() ? try reader.read() : nil
        text = try reader.readBytes()
        isFinal = try reader.readBool()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(operation.rawValue)
        writer.write(code)
        writer.write(path)
        writer.write(uid)
        writer.write(mode != nil)
        if let mode { writer.write(mode) }
        writer.write(text)
        writer.write(isFinal)
    }
}
