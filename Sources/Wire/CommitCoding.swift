extension FileOperation: WireCodable {
    private enum Code: UInt8 {
        case place = 1
        case makeFolder, link, touch, remove
    }

    static var minimumSize: Int { 6 }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let code = Code(rawValue: try reader.read()) else { throw .invalidValue }
        let path = try reader.readBytes()
        switch code {
        case .place:
            let stage = try reader.read(UInt32.self)
            let mode = try reader.read(UInt32.self)
            self = .place(stage: stage, path: path, mode: mode, modified: try reader.read())
        case .makeFolder: self = .makeFolder(path: path, mode: try reader.read())
        case .link: self = .link(path: path, target: try reader.readBytes())
        case .touch:
            let mode = try reader.read(UInt32.self)
            self = .touch(path: path, mode: mode, modified: try reader.read())
        case .remove: self = .remove(path: path, recursive: try reader.readBool())
        }
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(code.rawValue)
        writer.write(path)
        switch self {
        case .place(let stage, _, let mode, let modified):
            writer.write(stage)
            writer.write(mode)
            writer.write(modified)
        case .makeFolder(_, let mode): writer.write(mode)
        case .link(_, let target): writer.write(target)
        case .touch(_, let mode, let modified):
            writer.write(mode)
            writer.write(modified)
        case .remove(_, let recursive): writer.write(recursive)
        }
    }

    private var code: Code {
        switch self {
        case .place: return .place
        case .makeFolder: return .makeFolder
        case .link: return .link
        case .touch: return .touch
        case .remove: return .remove
        }
    }
}

extension Commit: WireCodable {
    static var minimumSize: Int { 17 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        generation = try reader.read()
        operations = try reader.readList()
        isLast = try reader.readBool()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(generation)
        writer.write(operations)
        writer.write(isLast)
    }
}

extension OperationResult: WireCodable {
    static var minimumSize: Int { 45 }

    init(from reader: inout ByteReader) throws(WireError) {
        code = try reader.read()
        flags = Flags(rawValue: try reader.read())
        mode = try reader.read()
        stamp = try FileStamp(from: &reader)
        text = try reader.readBytes()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(code)
        writer.write(flags.rawValue)
        writer.write(mode)
        writer.write(stamp)
        writer.write(text)
    }
}

extension Committed: WireCodable {
    static var minimumSize: Int { 5 }

    init(from reader: inout ByteReader) throws(WireError) {
        results = try reader.readList()
        isLast = try reader.readBool()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(results)
        writer.write(isLast)
    }
}
