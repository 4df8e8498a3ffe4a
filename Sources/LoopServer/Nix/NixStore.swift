internal import Glibc
internal import Reactor
internal import Watcher

/// Nix's store as it is on this machine.
struct NixStore: Sendable {
    /// Where the store is for everything that runs from it, here and in containers.
    static let folder = "/nix/store"

    /// The folder that the paths of the store begin at on this disk; empty where they are what they say.
    let root: String

    /// The store that Nix uses with these variables: `NIX_REMOTE` may name one that lies in another folder.
    init(environment: [String: String] = ProcessEnvironment.inherited) {
        let remote = environment["NIX_REMOTE"] ?? ""
        if remote.hasPrefix("/") {
            root = remote
        } else if remote.hasPrefix("local?") {
            let settings = remote.dropFirst("local?".count).split(separator: "&")
            root = settings.first { $0.hasPrefix("root=") }.map { String($0.dropFirst("root=".count)) } ?? ""
        } else {
            root = ""
        }
    }

    /// Where a store path is on this disk.
    func place(of path: String) -> String { root + path }

    /// What lies in the store, by the names in it.
    var tree: LocalTree { LocalTree(root: root + NixStore.folder) }

    /// The name of a store path: `/nix/store/abc-hello` is `abc-hello`; `nil` for anything else.
    static func name(of path: String) -> String? {
        let prefix = folder + "/"
        guard path.hasPrefix(prefix) else { return nil }
        let name = path.dropFirst(prefix.count)
        return name.isEmpty || name.contains("/") || name.hasPrefix(".") ? nil : String(name)
    }
}

/// What Nix built, with everything that it refers to.
struct StoreClosure: Sendable {
    /// The name of the output itself.
    let output: String
    /// The names of all store paths that belong to it, its own too.
    let names: Set<String>

    /// Asks Nix for the closure of a store path.
    ///
    /// Throws `LoopFailure`.
    static func query(_ path: String, leash: String) async throws -> StoreClosure {
        let answer = try await Leashed.run(NixCommand.closure(of: path), leash: leash)
        let names = Set(answer.text.split(separator: "\n").compactMap { NixStore.name(of: String($0)) })
        guard answer.status.isSuccess, let output = NixStore.name(of: path), names.contains(output) else {
            let said = answer.errorText.split(separator: "\n").last.map(String.init) ?? "\(answer.status)"
            throw LoopFailure(failure: LoopEvent.Failure("nix does not tell what \(path) refers to: \(said)"))
        }
        return StoreClosure(output: output, names: names)
    }
}
