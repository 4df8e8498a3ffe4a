internal import Glibc
internal import JSON

/// Nix's command lines, as argument arrays.
///
/// Its newer commands and flakes are experimental as far as Nix itself is concerned: each command line allows them, so that
/// nobody has to configure anything.
enum NixCommand {
    private static let features = ["--extra-experimental-features", "nix-command flakes"]

    /// Builds an installable and answers with its outputs as JSON.
    ///
    /// The user's `flake.lock` stays as it is.
    ///
    /// - Parameters:
    ///   - root: where the link is made that keeps Nix from collecting the result; `nil` for none.
    ///   - system: the system to build for, in Nix's words; `nil` is this machine's.
    ///   - isEmulated: whether this machine runs programs of that system.
    ///   - overrides: inputs of the flake that are read from their folders and not as `flake.lock` has them.
    static func build(
        _ installable: Installable, system: String? = nil, isEmulated: Bool = false,
        overrides: [FlakeLock.Override] = [], root: String? = nil
    ) -> [String] {
        var words =
            ["nix", "build"] + features + (root.map { ["--out-link", $0] } ?? ["--no-link"])
            + ["--json", "--print-build-logs", "--no-write-lock-file"]
        if let system {
            words += ["--system", system]
            // Nix takes this machine to be what it is told to be: only its builders are.
            if !isEmulated { words += ["--max-jobs", "0"] }
        }
        switch installable.source {
        case .flake(let flake):
            words += overrides.flatMap { ["--override-input", $0.input, "path:\($0.folder)"] }
            words.append(flake)
        case .file(let file, let attribute):
            words += ["-f", file]
            for (name, value) in installable.arguments.sorted(by: { $0.key < $1.key }) {
                words += ["--argstr", name, value]
            }
            // Without a name it is what the file itself evaluates to, which Nix calls the empty one.
            words.append(attribute ?? "")
        }
        return words
    }

    /// Names a store path and everything that it refers to, one to a line.
    static func closure(of path: String) -> [String] { ["nix", "path-info"] + features + ["--recursive", path] }

    /// Copies a store path, with everything that it refers to, into another store.
    static func copy(_ path: String, to store: String) -> [String] {
        ["nix", "copy"] + features + ["--to", store, path]
    }

    /// The store path in what `build` answers; of several outputs the one called `out`.
    static func output(of answer: [UInt8]) -> String? {
        guard let first = (try? JSON(parsing: answer))?[0] else { return nil }
        let outputs = first["outputs"]
        // What is in the store already, and was built from nothing, has no outputs.
        return outputs?["out"]?.string ?? outputs?.object?.first(where: { _ in true })?.value.string
            ?? first["path"]?.string ?? first.string
    }
}

extension Installable {
    /// The installable as people write it on the command line.
    var words: String {
        switch source {
        case .flake(let flake): flake
        case .file(let file, let attribute):
            "-f \(file.split(separator: "/").last.map(String.init) ?? file)" + (attribute.map { " \($0)" } ?? "")
        }
    }
}

extension Installable {
    /// Whether its words or arguments say which system it is built for: `.#packages.aarch64-linux.app`.
    var namesSystem: Bool {
        let parts = words.split { "#. ".contains($0) }.map(String.init) + arguments.values
        return parts.contains { $0.hasSuffix("-linux") }
    }
}

/// What Nix calls the machines that nodes are.
enum NixSystem {
    /// The system of a node's architecture in Kubernetes' words; `nil` for one that closures are not built for.
    static func name(ofNode architecture: String) -> String? {
        switch architecture {
        case "amd64": "x86_64-linux"
        case "arm64": "aarch64-linux"
        case "386": "i686-linux"
        case "arm": "armv7l-linux"
        case "riscv64": "riscv64-linux"
        default: nil
        }
    }

    /// This machine's.
    static var native: String {
        #if arch(arm64)
            "aarch64-linux"
        #else
            "x86_64-linux"
        #endif
    }

    /// Whether the kernel has been told how to run programs of a system that is not this machine's.
    static func isEmulated(_ system: String) -> Bool {
        let architecture = system.prefix { $0 != "-" }
        return access("/proc/sys/fs/binfmt_misc/qemu-\(architecture)", F_OK) == 0
    }

    /// Why nothing can be built for nodes of these architectures; `nil` where something can, or nothing is known of them.
    static func obstacle(forNodes architectures: Set<String>) -> LoopEvent.Failure? {
        guard !architectures.isEmpty, architectures.allSatisfy({ name(ofNode: $0) == nil }) else { return nil }
        return LoopEvent.Failure(
            "nothing is built for the nodes' architecture: \(architectures.sorted().joined(separator: ", "))",
            nextStep: "closures can be for nodes of amd64, arm64, 386, arm or riscv64")
    }

    /// What has to be named on the command line to build for nodes of these architectures.
    ///
    /// `nil` where this machine's own system is right: some node has it, or nothing is known of the nodes.
    static func needed(forNodes architectures: Set<String>) -> String? {
        let systems = Set(architectures.compactMap(name))
        return systems.isEmpty || systems.contains(native) ? nil : systems.min()
    }
}
