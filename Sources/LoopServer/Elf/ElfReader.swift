/// Reads an ELF file's headers and what its dynamic section names; never what a hostile one would like to have read.
///
/// Counts and sizes in a file are limits for what is read of it, and have limits themselves. What is not understood is
/// left out; only what contradicts the file's size makes it a part of a file.
struct ElfReader {
    /// Why a file is not whole.
    struct NotWhole: Error {
        let reason: String

        init(_ reason: String) { self.reason = reason }
    }

    private struct Segment {
        let type: UInt32
        let isExecutable: Bool
        let offset: UInt64
        let address: UInt64
        let fileSize: UInt64

        var isLoaded: Bool { type == 1 }
        var isDynamic: Bool { type == 2 }
        var isInterpreter: Bool { type == 3 }
        var isNote: Bool { type == 4 }
    }

    private static let magic: [UInt8] = [0x7F, 0x45, 0x4C, 0x46]
    private static let mostEntries = 4096

    private var file: FileBytes
    private var machine: ElfMachine
    private var segments: [Segment] = []

    /// Whether a file begins as every ELF file does.
    static func isElf(_ start: ArraySlice<UInt8>) -> Bool { start.starts(with: magic) }

    /// Reads the file; throws `NotWhole` when a part of it is missing.
    static func read(_ file: FileBytes) throws -> Elf {
        var file = file
        do {
            let start = try file.bytes(at: 0, count: 20)
            let isLittleEndian = start[start.startIndex + 5] != 2
            let machine = ElfMachine(
                number: start.number(18, isLittleEndian: isLittleEndian),
                is64Bit: start[start.startIndex + 4] != 1, isLittleEndian: isLittleEndian)
            var reader = ElfReader(file: file, machine: machine)
            return try reader.read()
        } catch is FileBytes.Outside {
            throw NotWhole("it ends in its headers")
        }
    }

    private init(file: FileBytes, machine: ElfMachine) {
        self.file = file
        self.machine = machine
    }

    private func number<Number: FixedWidthInteger>(_ bytes: ArraySlice<UInt8>, _ position: Int) -> Number {
        bytes.number(position, isLittleEndian: machine.isLittleEndian)
    }

    /// A number as wide as the file's addresses.
    private func word(_ bytes: ArraySlice<UInt8>, _ position: Int) -> UInt64 {
        machine.is64Bit ? number(bytes, position) : UInt64(number(bytes, position) as UInt32)
    }

    private mutating func read() throws -> Elf {
        let header = try file.bytes(at: 0, count: machine.is64Bit ? 64 : 52)
        var elf = Elf(
            machine: machine, kind: Elf.Kind(rawValue: number(header, 16)), osABI: header[header.startIndex + 7])
        let wide = machine.is64Bit
        let programs = Table(
            offset: word(header, wide ? 32 : 28), size: number(header, wide ? 54 : 42),
            count: number(header, wide ? 56 : 44))
        let sections = Table(
            offset: word(header, wide ? 40 : 32), size: number(header, wide ? 58 : 46),
            count: number(header, wide ? 60 : 48))
        try check(sections, "section headers")
        try check(programs, "program headers")
        try checkSections(sections)
        try readSegments(programs)
        let code = segments.filter { $0.isLoaded && $0.isExecutable }
        elf.isDebugOnly = !code.isEmpty && code.allSatisfy { $0.fileSize == 0 }
        if elf.isDebugOnly { return elf }
        try checkSegments(elf)
        elf.interpreter = try interpreter()
        elf.buildID = try buildID()
        if let dynamic = segments.first(where: \.isDynamic) { try readDynamic(dynamic, &elf) }
        return elf
    }

    // MARK: Whether all of it is there

    private struct Table {
        let offset: UInt64
        let size: UInt16
        let count: UInt16

        var bytes: UInt64 { UInt64(size) * UInt64(count) }
    }

    private func isInside(_ offset: UInt64, _ size: UInt64) -> Bool {
        let (end, overflow) = offset.addingReportingOverflow(size)
        return !overflow && end <= file.size
    }

    private func check(_ table: Table, _ name: String) throws {
        guard table.bytes > 0, !isInside(table.offset, table.bytes) else { return }
        throw NotWhole("its \(name) lie at \(table.offset), and it ends at \(file.size)")
    }

    private mutating func checkSections(_ table: Table) throws {
        let size = machine.is64Bit ? 64 : 40
        guard Int(table.size) >= size, table.count > 0 else { return }
        var types: Set<UInt32> = []
        for index in 0..<min(Int(table.count), ElfReader.mostEntries) {
            let entry = try file.bytes(at: table.offset + UInt64(index) * UInt64(table.size), count: size)
            let type: UInt32 = number(entry, 4)
            types.insert(type)
            // Nothing, and what is all zeros in memory, is not in the file.
            guard type != 0, type != 8 else { continue }
            let offset = word(entry, machine.is64Bit ? 24 : 16)
            let length = word(entry, machine.is64Bit ? 32 : 20)
            guard isInside(offset, length) else {
                throw NotWhole("a section of \(length) bytes lies at \(offset), and it ends at \(file.size)")
            }
        }
        if types == [0], table.count > 1 { throw NotWhole("its section headers are all zeros") }
    }

    private mutating func readSegments(_ table: Table) throws {
        let wide = machine.is64Bit
        let size = wide ? 56 : 32
        guard Int(table.size) >= size else { return }
        for index in 0..<min(Int(table.count), ElfReader.mostEntries) {
            let entry = try file.bytes(at: table.offset + UInt64(index) * UInt64(table.size), count: size)
            let flags: UInt32 = number(entry, wide ? 4 : 24)
            segments.append(
                Segment(
                    type: number(entry, 0), isExecutable: flags & 1 != 0, offset: word(entry, wide ? 8 : 4),
                    address: word(entry, wide ? 16 : 8), fileSize: word(entry, wide ? 32 : 16)))
        }
    }

    private func checkSegments(_ elf: Elf) throws {
        guard elf.kind == .executable || elf.kind == .shared else { return }
        guard segments.contains(where: \.isLoaded) else {
            throw NotWhole(segments.isEmpty ? "it has no program headers" : "its program headers are all zeros")
        }
        for segment in segments where segment.isLoaded && !isInside(segment.offset, segment.fileSize) {
            throw NotWhole(
                "a segment of \(segment.fileSize) bytes lies at \(segment.offset), and it ends at \(file.size)")
        }
    }

    // MARK: What it names

    private mutating func interpreter() throws -> String? {
        guard let segment = segments.first(where: \.isInterpreter) else { return nil }
        let limit = Int(min(segment.fileSize, 4096))
        let path = try file.string(at: segment.offset, limit: limit)
        guard let path, !path.isEmpty else { throw NotWhole("the name of its interpreter is missing") }
        return path
    }

    private mutating func buildID() throws -> [UInt8] {
        for segment in segments where segment.isNote {
            guard isInside(segment.offset, segment.fileSize) else { continue }
            let bytes = try file.bytes(at: segment.offset, count: Int(min(segment.fileSize, 64 << 10)))
            var position = 0
            while position + 12 <= bytes.count {
                let nameSize = Int(number(bytes, position) as UInt32)
                let size = Int(number(bytes, position + 4) as UInt32)
                let type: UInt32 = number(bytes, position + 8)
                let start = position + 12 + (nameSize + 3) & ~3
                guard start + size <= bytes.count else { break }
                let name = bytes.dropFirst(position + 12).prefix(4)
                if type == 3, name.elementsEqual([0x47, 0x4E, 0x55, 0]), size <= 64 {
                    return Array(bytes.dropFirst(start).prefix(size))
                }
                position = start + (size + 3) & ~3
            }
        }
        return []
    }

    /// The place in the file of what is at an address in memory.
    private func offset(of address: UInt64) -> UInt64? {
        for segment in segments where segment.isLoaded && address >= segment.address {
            let distance = address - segment.address
            guard distance < segment.fileSize else { continue }
            let (offset, overflow) = segment.offset.addingReportingOverflow(distance)
            if !overflow { return offset }
        }
        return nil
    }

    private mutating func readDynamic(_ segment: Segment, _ elf: inout Elf) throws {
        let size = machine.is64Bit ? 16 : 8
        guard isInside(segment.offset, segment.fileSize) else {
            throw NotWhole("its dynamic section lies at \(segment.offset), and it ends at \(file.size)")
        }
        var values: [UInt64: UInt64] = [:]
        var needed: [UInt64] = []
        for index in 0..<min(segment.fileSize / UInt64(size), UInt64(ElfReader.mostEntries)) {
            let entry = try file.bytes(at: segment.offset + index * UInt64(size), count: size)
            let (tag, value) = (word(entry, 0), word(entry, size / 2))
            if tag == 0 { break }
            if tag == 1 { needed.append(value) } else { values[tag] = value }
        }
        elf.isMarkedPIE = (values[0x6FFF_FFFB] ?? 0) & 0x0800_0000 != 0
        guard let strings = values[5].flatMap(offset(of:)) else { return }
        elf.needed = try needed.prefix(1024).compactMap { try name($0, strings) }
        elf.name = try values[14].flatMap { try name($0, strings) }
        let path = try (values[29] ?? values[15]).flatMap { try name($0, strings) } ?? ""
        elf.runPath = path.split(separator: ":").map(String.init)
        if let place = values[0x6FFF_FFFE].flatMap(offset(of:)) {
            elf.versions = try versions(at: place, count: values[0x6FFF_FFFF] ?? 0, strings)
        }
    }

    private mutating func name(_ index: UInt64, _ strings: UInt64) throws -> String? {
        let (place, overflow) = strings.addingReportingOverflow(index)
        guard !overflow, place < file.size else { return nil }
        return try file.string(at: place)
    }

    /// Follows the list of libraries, each with a list of versions.
    private mutating func versions(
        at start: UInt64, count: UInt64, _ strings: UInt64
    ) throws -> [Elf.RequiredVersions] {
        var found: [Elf.RequiredVersions] = []
        var left = ElfReader.mostEntries
        var place = start
        for _ in 0..<min(count, 1024) {
            guard isInside(place, 16) else { break }
            let entry = try file.bytes(at: place, count: 16)
            let versionCount: UInt16 = number(entry, 2)
            let library: UInt32 = number(entry, 4)
            let first: UInt32 = number(entry, 8)
            let next: UInt32 = number(entry, 12)
            var required = Elf.RequiredVersions(library: try name(UInt64(library), strings) ?? "", versions: [])
            var versionPlace = place &+ UInt64(first)
            for _ in 0..<versionCount where left > 0 {
                guard isInside(versionPlace, 16) else { break }
                left -= 1
                let version = try file.bytes(at: versionPlace, count: 16)
                let (flags, text): (UInt16, UInt32) = (number(version, 4), number(version, 8))
                let following: UInt32 = number(version, 12)
                // A weak one is only warned about.
                if flags & 2 == 0, let name = try name(UInt64(text), strings) { required.versions.append(name) }
                if following == 0 { break }
                versionPlace = versionPlace &+ UInt64(following)
            }
            found.append(required)
            if next == 0 { break }
            place = place &+ UInt64(next)
        }
        return found
    }
}
