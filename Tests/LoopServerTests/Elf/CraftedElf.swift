/// An ELF file made by bytes: headers, one segment with everything, and a dynamic section; for any machine.
struct CraftedElf {
    var machine: UInt16 = 62
    var is64Bit = true
    var isLittleEndian = true
    var type: UInt16 = 3
    var interpreter: String? = "/lib64/ld-linux-x86-64.so.2"
    var needed: [String] = ["libc.so.6"]
    var runPath: String?
    var name: String?
    var versions: [(library: String, versions: [String])] = []
    var isMarkedPIE = true
    var buildID: [UInt8] = []
    /// Zeros at the end of the segment.
    var padding = 0

    private struct Output {
        var bytes: [UInt8] = []
        let is64Bit: Bool
        let isLittleEndian: Bool

        mutating func half(_ value: Int) { put(UInt16(value)) }
        mutating func long(_ value: Int) { put(UInt32(value)) }
        mutating func word(_ value: Int) { if is64Bit { put(UInt64(value)) } else { put(UInt32(value)) } }

        private mutating func put<Number: FixedWidthInteger>(_ value: Number) {
            withUnsafeBytes(of: isLittleEndian ? value.littleEndian : value.bigEndian) { bytes += $0 }
        }
    }

    private func output() -> Output { Output(is64Bit: is64Bit, isLittleEndian: isLittleEndian) }

    /// The file.
    var bytes: [UInt8] {
        let headerSize = is64Bit ? 64 : 52
        let segmentSize = is64Bit ? 56 : 32
        let sectionSize = is64Bit ? 64 : 40
        let content = headerSize + 4 * segmentSize
        var strings: [UInt8] = [0]
        func string(_ text: String) -> Int {
            defer { strings += Array(text.utf8) + [0] }
            return strings.count
        }
        let path = (interpreter ?? "").utf8 + [0]
        var tags = needed.map { (1, string($0)) }
        if let name { tags.append((14, string(name))) }
        if let runPath { tags.append((29, string(runPath))) }
        var required = output()
        for (number, library) in versions.enumerated() {
            required.half(1)
            required.half(library.versions.count)
            required.long(string(library.library))
            required.long(16)
            required.long(number == versions.count - 1 ? 0 : 16 + 16 * library.versions.count)
            for (place, version) in library.versions.enumerated() {
                required.long(0)
                required.half(0)
                required.half(2 + place)
                required.long(string(version))
                required.long(place == library.versions.count - 1 ? 0 : 16)
            }
        }
        var note = output()
        if !buildID.isEmpty {
            for value in [4, buildID.count, 3] { note.long(value) }
            note.bytes += [0x47, 0x4E, 0x55, 0] + buildID
        }
        let noteStart = content + path.count
        let stringStart = noteStart + note.bytes.count
        let versionStart = stringStart + strings.count
        if isMarkedPIE { tags.append((0x6FFF_FFFB, 0x0800_0000)) }
        tags += [(5, stringStart), (10, strings.count)]
        if !versions.isEmpty { tags += [(0x6FFF_FFFE, versionStart), (0x6FFF_FFFF, versions.count)] }
        tags.append((0, 0))
        var dynamic = output()
        for (tag, value) in tags {
            dynamic.word(tag)
            dynamic.word(value)
        }
        let dynamicStart = versionStart + required.bytes.count
        let end = dynamicStart + dynamic.bytes.count + padding

        var file = output()
        file.bytes =
            [0x7F, 0x45, 0x4C, 0x46, is64Bit ? 2 : 1, isLittleEndian ? 1 : 2, 1] + [UInt8](repeating: 0, count: 9)
        file.half(Int(type))
        file.half(Int(machine))
        file.long(1)
        file.word(0)
        file.word(headerSize)
        file.word(end)
        file.long(0)
        for value in [headerSize, segmentSize, 4, sectionSize, 2, 0] { file.half(value) }
        let segments = [
            (1, 0, end), (interpreter == nil ? 0 : 3, content, path.count), (4, noteStart, note.bytes.count),
            (needed.isEmpty && interpreter == nil && !isMarkedPIE ? 0 : 2, dynamicStart, dynamic.bytes.count),
        ]
        for (type, start, size) in segments {
            file.long(type)
            if is64Bit { file.long(5) }
            for value in [start, start, start, size, size] { file.word(value) }
            if !is64Bit { file.long(5) }
            file.word(1)
        }
        file.bytes += path + note.bytes + strings + required.bytes + dynamic.bytes
        file.bytes += [UInt8](repeating: 0, count: padding)
        // No section, and one that is the whole.
        file.bytes += [UInt8](repeating: 0, count: sectionSize)
        file.long(0)
        file.long(1)
        for value in [0, 0, 0, end] { file.word(value) }
        file.long(0)
        file.long(0)
        file.word(1)
        file.word(0)
        return file.bytes
    }
}
