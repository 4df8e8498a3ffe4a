extension Exec: WireCodable {
    static var minimumSize: Int { 12 }

    init(from reader: inout ByteReader) throws(WireError) {
        arguments = try reader.readByteStrings()
        directory = try reader.readBytes()
        environment = try reader.readByteStrings()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(arguments)
        writer.write(directory)
        writer.write(environment)
    }
}

extension ProgramOutput: WireCodable {
    static var minimumSize: Int { 5 }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let channel = Channel(rawValue: try reader.read()) else { throw .invalidValue }
        self.channel = channel
        bytes = try reader.readBytes()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(channel.rawValue)
        writer.write(bytes)
    }
}

extension ProgramExit: WireCodable {
    static var minimumSize: Int { 5 }

    init(from reader: inout ByteReader) throws(WireError) {
        switch try reader.read(UInt8.self) {
        case 0: self = .code(try reader.read())
        case 1: self = .signal(try reader.read())
        default: throw .invalidValue
        }
    }

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .code(let code):
            writer.write(UInt8(0))
            writer.write(code)
        case .signal(let signal):
            writer.write(UInt8(1))
            writer.write(signal)
        }
    }
}
