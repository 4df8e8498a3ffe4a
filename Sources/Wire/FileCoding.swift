extension Open: WireCodable {
    static var minimumSize: Int { 17 }

    init(from reader: inout ByteReader) throws(WireError) {
        path = try reader.readBytes()
        root = try reader.readBytes()
        generation = try reader.read()
        createIfMissing = try reader.readBool()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(path)
        writer.write(root)
        writer.write(generation)
        writer.write(createIfMissing)
    }
}

extension Opened: WireCodable {
    static var minimumSize: Int { 26 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        guard let kind = Kind(rawValue: try reader.read()) else { throw .invalidValue }
        self.kind = kind
        staging = try reader.readBytes()
        isSameMount = try reader.readBool()
        owner = try reader.read()
        obstacle = try reader.read()
        mode = try reader.read()
        uid = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(kind.rawValue)
        writer.write(staging)
        writer.write(isSameMount)
        writer.write(owner)
        writer.write(obstacle)
        writer.write(mode)
        writer.write(uid)
    }
}

extension List: WireCodable {
    static var minimumSize: Int { 13 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        paths = try reader.readByteStrings()
        isRecursive = try reader.readBool()
        skip = try reader.readByteStrings()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(paths)
        writer.write(isRecursive)
        writer.write(skip)
    }
}

extension FileStamp: WireCodable {
    static var minimumSize: Int { 32 }

    init(from reader: inout ByteReader) throws(WireError) {
        size = try reader.read()
        modified = try reader.read()
        changed = try reader.read()
        inode = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(size)
        writer.write(modified)
        writer.write(changed)
        writer.write(inode)
    }
}

extension Entry: WireCodable {
    static var minimumSize: Int { 45 }

    init(from reader: inout ByteReader) throws(WireError) {
        path = try reader.readBytes()
        guard let kind = Kind(rawValue: try reader.read()) else { throw .invalidValue }
        self.kind = kind
        mode = try reader.read()
        stamp = try FileStamp(from: &reader)
        target = try reader.readBytes()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(path)
        writer.write(kind.rawValue)
        writer.write(mode)
        writer.write(stamp)
        writer.write(target)
    }
}

extension DigestRequest: WireCodable {
    static var minimumSize: Int { 8 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        paths = try reader.readByteStrings()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(paths)
    }
}

extension Digest: WireCodable {
    static var minimumSize: Int { 40 }

    init(from reader: inout ByteReader) throws(WireError) {
        path = try reader.readBytes()
        sha256 = try reader.readBytes()
        stamp = try FileStamp(from: &reader)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(path)
        writer.write(sha256)
        writer.write(stamp)
    }
}

extension Stage: WireCodable {
    static var minimumSize: Int { 21 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        stage = try reader.read()
        sizeHint = try reader.read()
        path = try reader.readBytes()
        hasBase = try reader.readBool()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(stage)
        writer.write(sizeHint)
        writer.write(path)
        writer.write(hasBase)
    }
}

extension Staged: WireCodable {
    static var minimumSize: Int { 16 }

    init(from reader: inout ByteReader) throws(WireError) {
        stage = try reader.read()
        sha256 = try reader.readBytes()
        size = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(stage)
        writer.write(sha256)
        writer.write(size)
    }
}

extension Abandon: WireCodable {
    static var minimumSize: Int { 8 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        stage = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(stage)
    }
}

extension Locate: WireCodable {
    static var minimumSize: Int { 8 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        stage = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(stage)
    }
}
