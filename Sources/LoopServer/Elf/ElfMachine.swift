/// The machine that an ELF file is for.
struct ElfMachine: Hashable, Sendable, CustomStringConvertible {
    /// `e_machine`.
    let number: UInt16
    let is64Bit: Bool
    let isLittleEndian: Bool

    /// One row of what is known about a machine.
    private struct Known {
        let number: UInt16
        let isLittleEndian: Bool
        /// The name that people and compilers use.
        let name: String
        /// Nodes that run its programs, in Kubernetes' names.
        let nodes: [String]
        /// Where glibc's programs look for their loader.
        let glibc: String
        /// The same of musl.
        let musl: String
    }

    private static let known = [
        Known(
            number: 62, isLittleEndian: true, name: "x86_64", nodes: ["amd64"],
            glibc: "/lib64/ld-linux-x86-64.so.2", musl: "/lib/ld-musl-x86_64.so.1"),
        Known(
            number: 3, isLittleEndian: true, name: "i386", nodes: ["386", "amd64"],
            glibc: "/lib/ld-linux.so.2", musl: "/lib/ld-musl-i386.so.1"),
        Known(
            number: 183, isLittleEndian: true, name: "aarch64", nodes: ["arm64"],
            glibc: "/lib/ld-linux-aarch64.so.1", musl: "/lib/ld-musl-aarch64.so.1"),
        // Many processors of arm64 nodes run these, too; which ones, only they know.
        Known(
            number: 40, isLittleEndian: true, name: "arm", nodes: ["arm", "arm64"],
            glibc: "/lib/ld-linux-armhf.so.3", musl: "/lib/ld-musl-armhf.so.1"),
        Known(
            number: 243, isLittleEndian: true, name: "riscv64", nodes: ["riscv64"],
            glibc: "/lib/ld-linux-riscv64-lp64d.so.1", musl: "/lib/ld-musl-riscv64.so.1"),
        Known(
            number: 21, isLittleEndian: true, name: "ppc64le", nodes: ["ppc64le"],
            glibc: "/lib64/ld64.so.2", musl: "/lib/ld-musl-powerpc64le.so.1"),
        Known(
            number: 22, isLittleEndian: false, name: "s390x", nodes: ["s390x"],
            glibc: "/lib/ld64.so.1", musl: "/lib/ld-musl-s390x.so.1"),
        Known(
            number: 258, isLittleEndian: true, name: "loongarch64", nodes: ["loong64"],
            glibc: "/lib64/ld-linux-loongarch-lp64d.so.1", musl: "/lib/ld-musl-loongarch64.so.1"),
    ]

    private var entry: Known? {
        ElfMachine.known.first { $0.number == number && $0.isLittleEndian == isLittleEndian }
    }

    /// The name that people and compilers use.
    var description: String { entry?.name ?? "machine \(number)" }

    /// Whether a node of this architecture, in Kubernetes' names, runs its programs; true where nobody can say.
    func runs(on architecture: String) -> Bool {
        guard ElfMachine.known.contains(where: { $0.nodes.contains(architecture) }) else { return true }
        return entry?.nodes.contains(architecture) == true
    }

    /// Where a program of this machine looks for the loader of a C library.
    func loader(of library: CLibrary) -> String? {
        switch library {
        case .glibc: entry?.glibc
        case .musl: entry?.musl
        }
    }

    /// How cargo names what a node of this architecture runs.
    static func rustTarget(_ architecture: String) -> String? {
        switch architecture {
        case "amd64": "x86_64-unknown-linux-gnu"
        case "arm64": "aarch64-unknown-linux-gnu"
        case "riscv64": "riscv64gc-unknown-linux-gnu"
        case "ppc64le": "powerpc64le-unknown-linux-gnu"
        case "s390x": "s390x-unknown-linux-gnu"
        default: nil
        }
    }
}

/// A C library, whose loader starts programs that are not static.
enum CLibrary: String, Hashable, Sendable, CaseIterable, CustomStringConvertible {
    case glibc
    case musl

    var description: String { rawValue }

    /// Whose loader a program's interpreter is; `nil` for one that is neither's.
    init?(interpreter path: String) {
        let name = path.split(separator: "/").last ?? ""
        if name.hasPrefix("ld-musl-") {
            self = .musl
        } else if name.hasPrefix("ld-linux") || name.hasPrefix("ld64.so") || name.hasPrefix("ld.so") {
            self = .glibc
        } else {
            return nil
        }
    }
}
