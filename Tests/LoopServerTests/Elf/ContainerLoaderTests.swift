import Glibc
import Testing
import Wire

@testable import LoopServer

@Suite("Asking a container's loader", .turn) struct ContainerLoaderTests {
    /// A container that answers by the words of a command; what it has no answer for is not there.
    private final class Container {
        private let answers: [String: (code: Int32, text: String)]
        private(set) var asked: [String] = []

        init(_ answers: [String: (code: Int32, text: String)]) { self.answers = answers }

        func run(_ arguments: [String], _ output: (ProgramOutput) -> Void) async throws -> ProgramExit {
            let command = arguments.joined(separator: " ")
            asked.append(command)
            guard let answer = answers[command] else {
                throw LinkError.refused(Failure(.exec, code: ENOENT, path: [], uid: 0, text: []))
            }
            output(ProgramOutput(channel: .standardError, bytes: Array(answer.text.utf8)))
            return .code(answer.code)
        }
    }

    private static let glibc = "/lib64/ld-linux-x86-64.so.2"
    private static let musl = "/lib/ld-musl-x86_64.so.1"
    private static let lost = "/stage/1: error while loading shared libraries: "
    private static let absent = ": cannot open shared object file: No such file or directory"

    private static func needs(_ interpreter: String?, runPath: [String] = []) -> ProgramNeeds {
        ProgramNeeds(
            machine: ElfMachine(number: 62, is64Bit: true, isLittleEndian: true), interpreter: interpreter,
            needed: ["libc.so.6"], runPath: runPath, versions: [])
    }

    private func answer(_ needs: ProgramNeeds, in container: Container) async throws -> ContainerAnswer {
        try await ContainerLoader { arguments, output in
            try await container.run(arguments, output)
        }.answer(needs, staged: "/stage/1", folder: "/opt/app/bin")
    }

    @Test("a program that loads is one question")
    func loads() async throws {
        let container = Container(["\(Self.glibc) --list /stage/1": (0, "\tlibc.so.6 => /lib/libc.so.6 (0x1)")])
        #expect(try await answer(Self.needs(Self.glibc), in: container) == .loads)
        #expect(container.asked.count == 1)
    }

    @Test("a static program is no question")
    func isStatic() async throws {
        let container = Container([:])
        #expect(try await answer(Self.needs(nil), in: container) == .loads)
        #expect(container.asked.isEmpty)
    }

    @Test("where the interpreter is missing, the container's own C library is looked for")
    func interpreter() async throws {
        let alpine = Container(["\(Self.musl) --version": (1, "musl libc (x86_64)")])
        #expect(try await answer(Self.needs(Self.glibc), in: alpine) == .noInterpreter(present: [.musl]))
        let debian = Container(["\(Self.glibc) --version": (0, "ld.so (Debian GLIBC 2.36-9)")])
        #expect(try await answer(Self.needs(Self.musl), in: debian) == .noInterpreter(present: [.glibc]))
        #expect(try await answer(Self.needs(Self.glibc), in: Container([:])) == .noInterpreter(present: []))
    }

    @Test("an older glibc says itself how old it is")
    func versions() async throws {
        let library = "/lib/x86_64-linux-gnu/libc.so.6"
        let container = Container([
            "\(Self.glibc) --list /stage/1": (
                0, "/stage/1: \(library): version `GLIBC_2.38' not found (required by /stage/1)\n"
            ),
            library: (0, "GNU C Library (Debian GLIBC 2.36-9) stable release version 2.36.\n"),
        ])
        guard case .lacks(let missing, "2.36") = try await answer(Self.needs(Self.glibc), in: container) else {
            Issue.record("the version is not told")
            return
        }
        #expect(missing.versions == [.init(library: library, version: "GLIBC_2.38")])
    }

    @Test("libraries beside the program are looked for where it will lie")
    func origin() async throws {
        let missing = (Int32(127), "\(Self.lost)libown.so\(Self.absent)")
        let list = "\(Self.glibc) --list /stage/1"
        let again = "\(Self.glibc) --library-path /opt/app/bin/../lib:/opt/app/bin --list /stage/1"
        let needs = Self.needs(Self.glibc, runPath: ["$ORIGIN/../lib", "${ORIGIN}"])
        #expect(try await answer(needs, in: Container([list: missing, again: (0, "")])) != .loads)
        guard
            case .lacks(let lacking, _) = try await answer(needs, in: Container([list: missing, again: missing]))
        else {
            Issue.record("a library that is nowhere is not missed")
            return
        }
        #expect(lacking.libraries == ["libown.so"])
    }

    @Test(
        "a loader that cannot look at the program says nothing about it",
        arguments: [
            "/stage/1: failed to map segment from shared object", "/stage/1\(absent)", "/stage/1: Permission denied",
        ])
    func silent(_ words: String) async throws {
        let container = Container(["\(Self.glibc) --list /stage/1": (127, Self.lost + words)])
        guard case .silent = try await answer(Self.needs(Self.glibc), in: container) else {
            Issue.record("\(words) is taken for an answer")
            return
        }
    }

    @Test("only a loader is run: a program may name anything as its interpreter")
    func strange() async throws {
        let container = Container(["/bin/rm --list /stage/1": (0, "")])
        guard case .silent = try await answer(Self.needs("/bin/rm"), in: container) else {
            Issue.record("it was asked")
            return
        }
        #expect(container.asked.isEmpty)
    }
}
