internal import Glibc
internal import Wire

/// What a container says of a program that was brought close to its place there.
enum ContainerAnswer: Equatable, Sendable {
    /// Everything that the program needs is there.
    case loads
    /// The program's interpreter is not there; the loaders of these C libraries are.
    case noInterpreter(present: [CLibrary])
    /// Something is missing; and, where it is a version of glibc's, which one the container has.
    case lacks(LoaderOutput, glibc: String?)
    /// The loader could not look at the program, for a reason that says nothing of the program.
    case silent(String)
}

/// Asks a container's own loader whether it could load a program.
struct ContainerLoader {
    /// How programs are run in the container.
    typealias Run = (_ arguments: [String], _ output: (ProgramOutput) -> Void) async throws -> ProgramExit

    private let run: Run

    /// A loader in a container where programs are run so.
    ///
    /// What throws `LinkError.refused` was not started, with ENOENT where the container does not have it.
    init(_ run: @escaping Run) { self.run = run }

    private struct Answer {
        let exit: ProgramExit
        let text: String
    }

    /// Whether the container could load a program, which lies at `staged` and is to lie in `folder`.
    func answer(_ needs: ProgramNeeds, staged: String, folder: String) async throws -> ContainerAnswer {
        // A static program needs nothing.
        guard let interpreter = needs.interpreter else { return .loads }
        guard CLibrary(interpreter: interpreter) != nil, interpreter.hasPrefix("/") else {
            return .silent("its interpreter \(interpreter) is no loader that can be asked")
        }
        let first: Answer
        do {
            guard let answer = try await ask([interpreter, "--list", staged]) else {
                return .noInterpreter(present: try await present(needs))
            }
            first = answer
        } catch LinkError.refused(let failure) {
            return .silent("\(interpreter) cannot be run: \(String(decoding: failure.text, as: UTF8.self))")
        }
        var missing = LoaderOutput(first.text, program: staged)
        if !missing.libraries.isEmpty, let path = ContainerLoader.libraryPath(needs, folder) {
            // `$ORIGIN` is the program's folder, where it does not lie yet.
            let second = try await unlessRefused([interpreter, "--library-path", path, "--list", staged])
            if let second {
                let there = LoaderOutput(second.text, program: staged)
                missing.libraries.removeAll { !there.libraries.contains($0) }
            }
        }
        if missing.isEmpty { return ContainerLoader.reading(first) }
        var glibc: String?
        if let library = missing.versions.first?.library, library.hasSuffix("/libc.so.6") {
            glibc = try await unlessRefused([library]).flatMap { LoaderOutput.glibcVersion($0.text) }
        }
        return .lacks(missing, glibc: glibc)
    }

    /// What an answer means that names nothing missing.
    private static func reading(_ answer: Answer) -> ContainerAnswer {
        switch answer.exit {
        case .code(0): return .loads
        case .code(let code):
            let words = answer.text.split(whereSeparator: \.isNewline).last.map { ": \($0)" } ?? ""
            return .silent("the container's loader ends with exit code \(code)\(words)")
        case .signal(let signal): return .silent("the container's loader ends with signal \(signal)")
        }
    }

    /// The C libraries whose loaders a container has for a machine's programs.
    private func present(_ needs: ProgramNeeds) async throws -> [CLibrary] {
        var present: [CLibrary] = []
        for library in CLibrary.allCases {
            guard let loader = needs.machine.loader(of: library), loader != needs.interpreter else { continue }
            if try await unlessRefused([loader, "--version"]) != nil { present.append(library) }
        }
        return present
    }

    /// Where a program's libraries are looked for, once it lies in `folder`; `nil` where that does not depend on it.
    private static func libraryPath(_ needs: ProgramNeeds, _ folder: String) -> String? {
        guard needs.dependsOnFolder else { return nil }
        return needs.runPath.map {
            $0.replacing("${ORIGIN}", with: folder).replacing("$ORIGIN", with: folder)
        }.joined(separator: ":")
    }

    private func unlessRefused(_ arguments: [String]) async throws -> Answer? {
        do {
            return try await ask(arguments)
        } catch LinkError.refused {
            return nil
        }
    }

    /// Runs a program and keeps the first 64 KiB of what it prints; `nil` when there is no such program.
    private func ask(_ arguments: [String]) async throws -> Answer? {
        var printed: [UInt8] = []
        do {
            let exit = try await run(arguments) { output in
                printed += output.bytes.prefix((64 << 10) - printed.count)
            }
            return Answer(exit: exit, text: String(decoding: printed, as: UTF8.self))
        } catch LinkError.refused(let failure) where failure.code == ENOENT {
            return nil
        }
    }
}

extension ProgramNeeds {
    /// Whether its libraries are looked for beside it.
    var dependsOnFolder: Bool { runPath.contains { $0.contains("$ORIGIN") || $0.contains("${ORIGIN}") } }
}
