import Testing

@testable import LoopServer

@Suite("Whether a built file may land") struct ElfCheckTests {
    private static func check(_ architecture: String? = "amd64", isNamed: Bool = true) -> ElfCheck {
        ElfCheck(path: "out/server", isNamed: isNamed, node: "n1", architecture: architecture)
    }

    private static func elf(_ change: (inout CraftedElf) -> Void = { _ in }) throws -> ProgramFile {
        var crafted = CraftedElf()
        change(&crafted)
        return try ElfReaderTests.look(crafted.bytes)
    }

    private func expect(_ verdict: ProgramVerdict, _ line: String, _ fix: String) {
        #expect(verdict == .problem(line: line, fix: fix))
    }

    @Test("a program for another machine is named with what to build for")
    func machine() throws {
        let arm = try Self.elf { $0.machine = 183 }
        expect(
            Self.check().verdict(on: arm, mode: 0o755), "out/server is for aarch64, but node n1 is amd64",
            "build for amd64 (cargo: --target x86_64-unknown-linux-gnu)")
        expect(
            Self.check("arm64").verdict(on: try Self.elf(), mode: 0o755),
            "out/server is for x86_64, but node n1 is arm64",
            "build for arm64 (cargo: --target aarch64-unknown-linux-gnu)")
        #expect(Self.check("arm64").verdict(on: arm, mode: 0o755) == .fine())
        // Of a node of which nothing is known, nothing can be said.
        for unknown in [nil, "vax"] { #expect(Self.check(unknown).verdict(on: arm, mode: 0o755) == .fine()) }
    }

    @Test("a 32-bit program runs on a 64-bit node of its kind")
    func narrow() throws {
        let narrow = try Self.elf {
            $0.machine = 3
            $0.is64Bit = false
        }
        #expect(Self.check().verdict(on: narrow, mode: 0o755) == .fine())
        #expect(Self.check("arm64").verdict(on: narrow, mode: 0o755) != .fine())
    }

    @Test("libraries of other machines may lie in a folder, but not be what a rule names")
    func libraries() throws {
        let library = try Self.elf {
            $0.machine = 183
            $0.interpreter = nil
            $0.isMarkedPIE = false
        }
        #expect(Self.check(isNamed: false).verdict(on: library, mode: 0o755) == .fine())
        #expect(Self.check(isNamed: true).verdict(on: library, mode: 0o644) != .fine())
        let own = try Self.elf {
            $0.interpreter = nil
            $0.isMarkedPIE = false
        }
        #expect(Self.check().verdict(on: own, mode: 0o644) == .fine())
    }

    @Test("a program that a rule names must be executable")
    func mode() throws {
        let program = try Self.elf()
        expect(
            Self.check().verdict(on: program, mode: 0o644),
            "out/server is a program, but not executable: its mode is 0644",
            "let the build make it executable (chmod +x)")
        #expect(Self.check(isNamed: false).verdict(on: program, mode: 0o644) == .fine())
    }

    @Test("a half-written file, and a script with the line ends of Windows")
    func others() throws {
        expect(
            Self.check().verdict(on: .notWhole("it is empty"), mode: 0o755),
            "out/server is not whole: it is empty; the build may still be writing it",
            "let the build end when its output is complete, or build again")
        #expect(Self.check().verdict(on: .script(interpreter: "/bin/sh"), mode: 0o755) == .fine())
        expect(
            Self.check().verdict(on: .script(interpreter: "/bin/sh\r"), mode: 0o755),
            #"out/server is a script for "/bin/sh\r": its lines end as on Windows"#,
            "let its lines end with a line feed only")
        #expect(Self.check().verdict(on: .other, mode: 0o755) == .fine())
    }

    struct Row: CustomTestStringConvertible {
        var interpreter = "/lib64/ld-linux-x86-64.so.2"
        var answer: ContainerAnswer
        var line: String
        var fix: String

        var testDescription: String { line }
    }

    private static func lacks(_ text: String, glibc: String? = nil) -> ContainerAnswer {
        .lacks(LoaderOutput(text, program: "/stage/1"), glibc: glibc)
    }

    static let rows = [
        Row(
            answer: .noInterpreter(present: [.musl]),
            line: "out/server needs /lib64/ld-linux-x86-64.so.2 (glibc), which the container does not have: "
                + "its image is musl's",
            fix: "build it for musl, or link it statically"),
        Row(
            interpreter: "/lib/ld-musl-x86_64.so.1", answer: .noInterpreter(present: [.glibc]),
            line: "out/server needs /lib/ld-musl-x86_64.so.1 (musl), which the container does not have: "
                + "its image is glibc's",
            fix: "build it for glibc, or link it statically"),
        Row(
            answer: .noInterpreter(present: []),
            line: "out/server needs /lib64/ld-linux-x86-64.so.2 (glibc), which the container does not have, "
                + "nor any other C library",
            fix: "link it statically, or use an image with glibc"),
        Row(
            interpreter: "/nix/store/abc-glibc-2.38/lib/ld-linux-x86-64.so.2",
            answer: .noInterpreter(present: [.glibc]),
            line: "out/server needs /nix/store/abc-glibc-2.38/lib/ld-linux-x86-64.so.2 (glibc), which the container "
                + "does not have: it has /lib64/ld-linux-x86-64.so.2",
            fix: "build it for that one (-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2), or link it statically"),
        Row(
            answer: lacks("\tlibfoo.so.1 => not found\n\tlibbar.so.2 => not found\n"),
            line: "out/server needs libfoo.so.1, libbar.so.2, which the container does not have",
            fix: "put them into the image, sideload them as well, or link them statically"),
        Row(
            answer: lacks(
                "/stage/1: /lib/libc.so.6: version `GLIBC_2.38' not found (required by /stage/1)", glibc: "2.36"),
            line: "out/server needs GLIBC_2.38 of libc.so.6, the container has up to 2.36",
            fix: "build it in an image like the container's, or link it statically"),
        Row(
            answer: lacks("/stage/1: /lib/libbar.so.1: version `FOO_2.0' not found (required by /stage/1)"),
            line: "out/server needs FOO_2.0 of libbar.so.1, which the container's does not have",
            fix: "build it in an image like the container's, or link it statically"),
        Row(
            interpreter: "/lib/ld-musl-x86_64.so.1",
            answer: lacks("Error relocating /stage/1: __printf_chk: symbol not found"),
            line: "out/server needs __printf_chk, which no library in the container has",
            fix: "build it in an image like the container's, or link it statically"),
    ]

    private static func needs(_ interpreter: String) -> ProgramNeeds {
        ProgramNeeds(
            machine: ElfMachine(number: 62, is64Bit: true, isLittleEndian: true), interpreter: interpreter,
            needed: ["libfoo.so.1", "libc.so.6"], runPath: [], versions: [])
    }

    @Test("what the container lacks is one line with its usual fix", arguments: rows)
    func container(_ row: Row) {
        expect(Self.check().verdict(on: Self.needs(row.interpreter), row.answer), row.line, row.fix)
    }

    @Test("what loopd brings there as well is not missing")
    func delivered() {
        let needs = Self.needs("/lib64/ld-linux-x86-64.so.2")
        for answer in [
            Self.lacks("\tlibfoo.so.1 => not found\n"), .noInterpreter(present: []),
            Self.lacks("/stage/1: /lib/libfoo.so.1: version `FOO_2' not found (required by /stage/1)"),
            Self.lacks("Error relocating /stage/1: foo: symbol not found"),
        ] {
            let verdict = Self.check().verdict(on: needs, answer) {
                ["libfoo.so.1", "ld-linux-x86-64.so.2"].contains($0)
            }
            #expect(verdict == .fine())
        }
    }

    @Test("a loader that says nothing refuses nothing")
    func silent() {
        #expect(
            Self.check().verdict(on: Self.needs("/lib64/ld-linux-x86-64.so.2"), .silent("it ends with signal 11"))
                == .fine(detail: "out/server was not checked against the container: it ends with signal 11"))
    }
}
