/// What a built file is, by its first bytes and, of a program, by what they lead to.
enum ProgramFile: Equatable, Sendable {
    case elf(Elf)
    /// A script, with the interpreter that the kernel starts for it.
    case script(interpreter: String)
    /// Something of which a part is missing: why.
    case notWhole(String)
    case other

    /// Looks at a file; `isExecutable` says that it is meant to be started.
    ///
    /// Throws only what reading throws.
    init(_ file: FileBytes, isExecutable: Bool) throws {
        var file = file
        guard file.size > 0 else {
            self = isExecutable ? .notWhole("it is empty") : .other
            return
        }
        let start = try file.bytes(at: 0, count: Int(min(file.size, 256)))
        if ElfReader.isElf(start) {
            do {
                self = .elf(try ElfReader.read(file))
            } catch let problem as ElfReader.NotWhole {
                self = .notWhole(problem.reason)
            }
        } else if let interpreter = ProgramFile.interpreter(of: start) {
            self = .script(interpreter: interpreter)
        } else if isExecutable, start.prefix(64).allSatisfy({ $0 == 0 }) {
            self = .notWhole("its header is all zeros")
        } else {
            self = .other
        }
    }

    /// The interpreter in a script's first line, as Linux reads it: 256 bytes at most, up to a blank or the line's end.
    private static func interpreter(of start: ArraySlice<UInt8>) -> String? {
        guard start.starts(with: [0x23, 0x21]) else { return nil }
        let line = start.dropFirst(2).prefix { $0 != 0x0A && $0 != 0 }
        let path = line.drop { $0 == 0x20 || $0 == 0x09 }.prefix { $0 != 0x20 && $0 != 0x09 }
        return path.isEmpty ? nil : String(decoding: path, as: UTF8.self)
    }
}
