/// What an ELF file says of itself, as far as it decides whether a container can run it.
struct Elf: Equatable, Sendable {
    /// `e_type`.
    enum Kind: UInt16, Sendable {
        case object = 1
        case executable = 2
        /// A shared object, which many programs are, too.
        case shared = 3
        case core = 4
    }

    var machine: ElfMachine
    /// `nil` for what only a processor or a system knows.
    var kind: Kind?
    /// `EI_OSABI`: 0 is System V's, 3 GNU's.
    var osABI: UInt8
    /// What the kernel starts in the program's place, which then loads the program.
    var interpreter: String?
    var needed: [String] = []
    /// `DT_RUNPATH`, else `DT_RPATH`: where its libraries are looked for.
    var runPath: [String] = []
    var name: String?
    var versions: [RequiredVersions] = []
    var buildID: [UInt8] = []
    /// Whether the linker marked it as a position-independent program.
    var isMarkedPIE = false
    /// Whether only debugging information is in it: its code lies in another file.
    var isDebugOnly = false

    /// The versions that a program wants one of its libraries to have.
    struct RequiredVersions: Hashable, Sendable {
        var library: String
        var versions: [String]
    }

    /// Whether it can be started, rather than loaded by something that is.
    ///
    /// A C library has an interpreter as well, and a name.
    var isProgram: Bool {
        guard !isDebugOnly else { return false }
        return switch kind {
        case .executable: true
        case .shared: isMarkedPIE || (interpreter != nil && name == nil)
        default: false
        }
    }

    /// Whether it is started without a loader.
    var isStatic: Bool { isProgram && interpreter == nil }

    /// What has to be in a container for it; the same as long as a build only changes its code.
    var needs: ProgramNeeds {
        ProgramNeeds(
            machine: machine, interpreter: interpreter, needed: needed, runPath: runPath, versions: versions)
    }
}

/// What a program asks of the container that runs it.
struct ProgramNeeds: Hashable, Sendable {
    var machine: ElfMachine
    var interpreter: String?
    var needed: [String]
    var runPath: [String]
    var versions: [Elf.RequiredVersions]
}
