import Glibc
import Testing

@testable import LoopServer

@Suite("What an ELF file says of itself") struct ElfReaderTests {
    static func look(_ bytes: [UInt8], isExecutable: Bool = true) throws -> ProgramFile {
        try ProgramFile(
            FileBytes(size: UInt64(bytes.count)) { offset, limit in Array(bytes.dropFirst(Int(offset)).prefix(limit)) },
            isExecutable: isExecutable)
    }

    static func elf(_ bytes: [UInt8]) throws -> Elf {
        let file = try look(bytes)
        guard case .elf(let elf) = file else { throw Unexpected(file: file) }
        return elf
    }

    struct Unexpected: Error { let file: ProgramFile }

    private static func reason(_ bytes: [UInt8], isExecutable: Bool = true) throws -> String? {
        if case .notWhole(let reason) = try look(bytes, isExecutable: isExecutable) { reason } else { nil }
    }

    /// Two widths and two byte orders.
    private static let layouts: [(is64Bit: Bool, isLittleEndian: Bool)] = [
        (true, true), (true, false), (false, true), (false, false),
    ]

    @Test("every field is read, in both widths and byte orders", arguments: layouts)
    func fields(_ layout: (is64Bit: Bool, isLittleEndian: Bool)) throws {
        var crafted = CraftedElf(machine: 183, is64Bit: layout.is64Bit, isLittleEndian: layout.isLittleEndian)
        crafted.interpreter = "/lib/ld-linux-aarch64.so.1"
        crafted.needed = ["libm.so.6", "libc.so.6"]
        crafted.runPath = "$ORIGIN/../lib:/opt/lib"
        crafted.versions = [("libm.so.6", ["GLIBC_2.29"]), ("libc.so.6", ["GLIBC_2.17", "GLIBC_2.38"])]
        crafted.buildID = [0xDE, 0xAD, 0xBE, 0xEF]
        let elf = try Self.elf(crafted.bytes)
        #expect(elf.machine.number == 183)
        #expect(elf.machine.is64Bit == layout.is64Bit)
        #expect(elf.kind == .shared)
        #expect(elf.interpreter == "/lib/ld-linux-aarch64.so.1")
        #expect(elf.needed == ["libm.so.6", "libc.so.6"])
        #expect(elf.runPath == ["$ORIGIN/../lib", "/opt/lib"])
        #expect(
            elf.versions == [
                .init(library: "libm.so.6", versions: ["GLIBC_2.29"]),
                .init(library: "libc.so.6", versions: ["GLIBC_2.17", "GLIBC_2.38"]),
            ])
        #expect(elf.buildID == [0xDE, 0xAD, 0xBE, 0xEF])
        #expect(elf.isProgram && !elf.isStatic)
    }

    @Test("a library, a static program and a position-independent one are told apart")
    func kinds() throws {
        var library = CraftedElf(interpreter: nil, name: "libfoo.so.1", isMarkedPIE: false)
        #expect(try Self.elf(library.bytes).isProgram == false)
        #expect(try Self.elf(library.bytes).name == "libfoo.so.1")
        // A C library can be started to print its version.
        library.interpreter = "/lib64/ld-linux-x86-64.so.2"
        #expect(try Self.elf(library.bytes).isProgram == false)
        let staticPIE = try Self.elf(CraftedElf(interpreter: nil, needed: []).bytes)
        #expect(staticPIE.isStatic)
        let plain = try Self.elf(CraftedElf(type: 2, interpreter: nil, needed: [], isMarkedPIE: false).bytes)
        #expect(plain.isStatic)
        let old = try Self.elf(CraftedElf(isMarkedPIE: false).bytes)
        #expect(old.isProgram && !old.isStatic)
    }

    @Test("the machine's own programs are read as what they are")
    func real() throws {
        let busybox = try Self.elf(try #require(ScratchTree.contents("/bin/busybox")))
        #expect(busybox.isStatic)
        let bytes = try #require(ScratchTree.contents("/bin/true"))
        let program = try Self.elf(bytes)
        #expect(program.isProgram && !program.isStatic)
        #expect(program.needed.contains("libc.so.6"))
        let versions = try #require(program.versions.first { $0.library == "libc.so.6" }).versions
        #expect(!versions.isEmpty && versions.allSatisfy { $0.hasPrefix("GLIBC_") }, "\(versions)")
        #expect(program.machine.loader(of: .glibc) == program.interpreter)
        #expect(program.buildID.count == 20)
    }

    @Test("however a file is cut off, it is not whole")
    func truncated() throws {
        for bytes in [CraftedElf().bytes, try #require(ScratchTree.contents("/bin/true"))] {
            for length in Array(4..<min(2000, bytes.count)) + Array(stride(from: 2000, to: bytes.count, by: 997)) {
                #expect(try Self.reason(Array(bytes[..<length])) != nil, "cut to \(length) of \(bytes.count)")
            }
        }
    }

    @Test("what a linker has not written yet is named")
    func halfLinked() throws {
        let bytes = CraftedElf().bytes
        let zeros = [UInt8](repeating: 0, count: bytes.count)
        #expect(try Self.reason([]) == "it is empty")
        #expect(try Self.reason(zeros) == "its header is all zeros")
        #expect(
            try Self.reason(Array(bytes[..<64]) + zeros[64...]) == "its section headers are all zeros")
        #expect(
            try Self.reason(Array(bytes[..<64]) + zeros[64..<288] + bytes[288...])
                == "its program headers are all zeros")
        let end = bytes.count - 1
        #expect(
            try Self.reason(Array(bytes[..<end]))
                == "its section headers lie at \(bytes.count - 128), and it ends at \(end)")
        // Data may be empty or begin with zeros.
        #expect(try Self.look([], isExecutable: false) == .other)
        #expect(try Self.look(zeros, isExecutable: false) == .other)
    }

    @Test(
        "the interpreter of a script is the one that Linux starts",
        arguments: [
            ("#!/bin/sh\necho", "/bin/sh"), ("#! \t/usr/bin/env  python3\n", "/usr/bin/env"), ("#!/bin/sh", "/bin/sh"),
            ("#!/bin/sh\r\necho", "/bin/sh\r"),
        ])
    func scripts(_ text: String, _ interpreter: String) throws {
        #expect(try Self.look(Array(text.utf8)) == .script(interpreter: interpreter))
    }

    @Test("what is neither is left alone", arguments: ["#", "#!", "#!\n/bin/sh", "\u{7F}EL", "text"])
    func other(_ text: String) throws {
        #expect(try Self.look(Array(text.utf8)) == .other)
    }

    @Test("of a large file only its headers and names are read")
    func economy() throws {
        var crafted = CraftedElf()
        crafted.padding = 60 << 20
        let bytes = crafted.bytes
        var read = 0
        let file = try ProgramFile(
            FileBytes(size: UInt64(bytes.count)) { offset, limit in
                let part = bytes[Int(offset)...].prefix(limit)
                read += part.count
                return Array(part)
            }, isExecutable: true)
        guard case .elf = file else { throw Unexpected(file: file) }
        #expect(read < 256 << 10)
    }

    @Test("damaged and hostile files are read within bounds")
    func fuzz() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the ELF fuzzing: \(seed)")
        var random = SeededGenerator(seed: seed)
        var crafted = CraftedElf(runPath: "/opt/lib", versions: [("libc.so.6", ["GLIBC_2.17", "GLIBC_2.38"])])
        crafted.buildID = [1, 2, 3, 4]
        let narrow = CraftedElf(machine: 3, is64Bit: false).bytes
        let large = try #require(ScratchTree.contents("/bin/true"))
        for round in 0..<3000 {
            var bytes = [crafted.bytes, narrow, large][round % 3]
            // Headers and tables decide; a byte anywhere else is only a name.
            let area = round % 2 == 0 ? 512 : bytes.count
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let value: UInt8 = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
                let start = Int.random(in: 4..<min(area, bytes.count), using: &random)
                for place in start..<min(start + Int.random(in: 1...8, using: &random), bytes.count) {
                    bytes[place] = Bool.random(using: &random) ? value : .random(in: 0...255, using: &random)
                }
            }
            if round % 5 == 0 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random)) }
            // The same in a file that seems to be huge.
            let size = round % 7 == 0 ? UInt64(1) << 62 : UInt64(bytes.count)
            var read = 0
            _ = try ProgramFile(
                FileBytes(size: size) { offset, limit in
                    read += limit
                    let there = offset < bytes.count ? Array(bytes[Int(offset)...].prefix(limit)) : []
                    return there + [UInt8](repeating: 0, count: size > bytes.count ? limit - there.count : 0)
                }, isExecutable: true)
            #expect(read < 512 << 20, "seed \(seed), round \(round)")
        }
    }
}
