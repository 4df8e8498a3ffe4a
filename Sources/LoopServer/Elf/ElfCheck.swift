/// Whether a built file may take the place of the one that a container has.
enum ProgramVerdict: Equatable, Sendable {
    /// It may; `detail` is what kept the container from being asked.
    case fine(detail: String? = nil)
    case problem(line: String, fix: String)
}

/// Decides about a built file: a pure function of what it says of itself, of the node, and of what the container answered.
struct ElfCheck: Sendable {
    /// The file as its owner knows it.
    let path: String
    /// Whether a rule names this very file, rather than a folder that it lies in.
    let isNamed: Bool
    /// The node's name.
    let node: String
    /// The node's architecture in Kubernetes' names, where it is known.
    let architecture: String?

    /// What can be said without asking the container.
    func verdict(on file: ProgramFile, mode: UInt32) -> ProgramVerdict {
        switch file {
        case .other: return .fine()
        case .notWhole(let reason):
            return .problem(
                line: "\(path) is not whole: \(reason); the build may still be writing it",
                fix: "let the build end when its output is complete, or build again")
        case .script(let interpreter):
            guard interpreter.hasSuffix("\r") else { return .fine() }
            return .problem(
                line: "\(path) is a script for \"\(interpreter.dropLast())\\r\": its lines end as on Windows",
                fix: "let its lines end with a line feed only")
        case .elf(let elf): return verdict(on: elf, mode: mode)
        }
    }

    private func verdict(on elf: Elf, mode: UInt32) -> ProgramVerdict {
        // A folder may hold libraries for several machines, of which a program takes its own.
        guard !elf.isDebugOnly, elf.isProgram || (isNamed && elf.kind == .shared) else { return .fine() }
        if let architecture, !elf.machine.runs(on: architecture) {
            let target = ElfMachine.rustTarget(architecture).map { " (cargo: --target \($0))" } ?? ""
            return .problem(
                line: "\(path) is for \(elf.machine), but node \(node) is \(architecture)",
                fix: "build for \(architecture)\(target)")
        }
        if elf.isProgram, isNamed, mode & 0o111 == 0 {
            return .problem(
                line: "\(path) is a program, but not executable: its mode is \(Obstacle.octal(mode))",
                fix: "let the build make it executable (chmod +x)")
        }
        return .fine()
    }

    /// What the container's answer means; `delivered` are the names of files that loopd brings there itself.
    func verdict(
        on needs: ProgramNeeds, _ answer: ContainerAnswer, delivered: (String) -> Bool = { _ in false }
    ) -> ProgramVerdict {
        switch answer {
        case .loads: return .fine()
        case .silent(let reason): return .fine(detail: "\(path) was not checked against the container: \(reason)")
        case .noInterpreter(let present):
            return delivered(ElfCheck.fileName(needs.interpreter ?? "")) ? .fine() : withoutInterpreter(needs, present)
        case .lacks(let missing, let glibc): return lacking(needs, missing, glibc, delivered)
        }
    }

    private func withoutInterpreter(_ needs: ProgramNeeds, _ present: [CLibrary]) -> ProgramVerdict {
        let interpreter = needs.interpreter ?? ""
        let library = CLibrary(interpreter: interpreter)
        let whose = library.map { " (\($0))" } ?? ""
        let line = "\(path) needs \(interpreter)\(whose), which the container does not have"
        // The same library's loader, elsewhere: programs of Nix name their own.
        if let library, present.contains(library), let usual = needs.machine.loader(of: library) {
            return .problem(
                line: "\(line): it has \(usual)",
                fix: "build it for that one (-Wl,--dynamic-linker=\(usual)), or link it statically")
        }
        if let other = present.first {
            return .problem(
                line: "\(line): its image is \(other)'s", fix: "build it for \(other), or link it statically")
        }
        return .problem(
            line: "\(line), nor any other C library",
            fix: "link it statically, or use an image with \(library.map(\.description) ?? "that loader")")
    }

    private func lacking(
        _ needs: ProgramNeeds, _ missing: LoaderOutput, _ glibc: String?, _ delivered: (String) -> Bool
    ) -> ProgramVerdict {
        let libraries = missing.libraries.filter { !delivered(ElfCheck.fileName($0)) }
        if !libraries.isEmpty {
            let pronoun = libraries.count == 1 ? "it" : "them"
            return .problem(
                line: "\(path) needs \(ElfCheck.list(libraries)), which the container does not have",
                fix: "put \(pronoun) into the image, sideload \(pronoun) as well, or link \(pronoun) statically")
        }
        let versions = missing.versions.filter { !delivered(ElfCheck.fileName($0.library)) }
        if let library = versions.first?.library {
            let names = versions.filter { $0.library == library }.map(\.version)
            let has = glibc.map { ", the container has up to \($0)" } ?? ", which the container's does not have"
            return .problem(
                line: "\(path) needs \(ElfCheck.list(names)) of \(ElfCheck.fileName(library))\(has)",
                fix: "build it in an image like the container's, or link it statically")
        }
        // A library that comes along may have them.
        guard !missing.symbols.isEmpty, !needs.needed.contains(where: delivered) else { return .fine() }
        return .problem(
            line: "\(path) needs \(ElfCheck.list(missing.symbols)), which no library in the container has",
            fix: "build it in an image like the container's, or link it statically")
    }

    private static func list(_ names: [String]) -> String {
        let shown = names.prefix(3).joined(separator: ", ")
        return names.count > 3 ? "\(shown) and \(names.count - 3) more" : shown
    }

    private static func fileName(_ path: String) -> String {
        path.split(separator: "/").last.map(String.init) ?? path
    }
}
