internal import Glibc
internal import JSON

/// What a `flake.lock` says about inputs that are folders here.
///
/// Such an input is locked to the copy that was in the store when the lock was written: a later save in it would change
/// nothing. It is overridden on the command line, and the lock stays as it is.
struct FlakeLock {
    /// An input that is read from its folder.
    struct Override: Equatable, Sendable {
        /// Its name among the flake's inputs.
        let input: String
        /// The absolute folder.
        let folder: String
    }

    private let lock: JSON

    /// A lock by its text; `nil` where that is none.
    init?(_ text: [UInt8]) {
        guard let lock = try? JSON(parsing: text) else { return nil }
        self.lock = lock
    }

    /// The overrides for the flake of an installable; none where it has no lock, or is not in a folder here.
    static func overrides(for installable: Installable) -> [Override] {
        guard let named = installable.flakeFolder, let folder = flake(in: named),
            let text = try? SmallFile.read("\(folder)/flake.lock", limit: 16 << 20)
        else { return [] }
        return FlakeLock(text)?.overrides(in: folder) ?? []
    }

    /// The folder that has the flake: like Nix, the nearest one above that has one.
    private static func flake(in folder: String) -> String? {
        var folder = folder
        while access("\(folder)/flake.nix", F_OK) != 0 {
            guard let cut = folder.lastIndex(of: "/"), cut > folder.startIndex else { return nil }
            folder = String(folder[..<cut])
        }
        return folder
    }

    /// The flake's own inputs that are folders; relative ones are relative to the flake's folder.
    func overrides(in folder: String) -> [Override] {
        let root = lock["root"]?.string ?? "root"
        guard let inputs = lock.at("nodes", root, "inputs")?.object else { return [] }
        return inputs.compactMap { name, node in
            // An array is an input that follows another one.
            guard let node = node.string, let original = lock.at("nodes", node, "original"),
                original["type"]?.string == "path", let path = original["path"]?.string,
                !path.hasPrefix("/nix/store/")
            else { return nil }
            return Override(input: name, folder: FlakeLock.absolute(path, in: folder))
        }
    }

    /// A path without `.` and `..`.
    private static func absolute(_ path: String, in folder: String) -> String {
        var names: [Substring] = []
        for name in (path.hasPrefix("/") ? path : "\(folder)/\(path)").split(separator: "/") where name != "." {
            if name == ".." { _ = names.popLast() } else { names.append(name) }
        }
        return "/" + names.joined(separator: "/")
    }
}

extension Installable {
    /// The folder of a flake that is a folder here; `nil` for others.
    var flakeFolder: String? {
        guard case .flake(let text) = source else { return nil }
        var reference = text.prefix { $0 != "#" && $0 != "?" }
        for scheme in ["path:", "git+file://", "git+file:"] where reference.hasPrefix(scheme) {
            reference.removeFirst(scheme.count)
        }
        if reference.isEmpty || reference == "." { return directory }
        if reference.hasPrefix("/") { return String(reference) }
        guard reference == ".." || reference.hasPrefix("./") || reference.hasPrefix("../") else { return nil }
        return "\(directory)/\(reference)"
    }
}
