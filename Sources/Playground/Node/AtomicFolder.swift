internal import Glibc
internal import Reactor

/// The content of a ConfigMap, Secret or downward API volume: it changes as a whole, or not at all.
///
/// As in the kubelet's, the files live in a folder with a unique name, `..data` is a link to it, and every visible name is a
/// link through `..data`; renaming a new `..data` over the old one switches all files at once. Programs that watch for
/// `..data` work as on a real node.
struct AtomicFolder {
    struct File: Equatable {
        /// Relative, without `..`.
        var path: String
        var content: [UInt8]
        var mode: mode_t
    }

    let path: String
    /// The group that owns the files, where the pod has an `fsGroup`.
    let group: UInt32?

    /// Makes the folder hold exactly these files; returns whether anything changed.
    @discardableResult
    func write(_ files: [File]) throws(SystemError) -> Bool {
        try Disk.makeDirectory(path)
        let previous = Disk.link("\(path)/..data")
        if let previous, holds(files, in: "\(path)/\(previous)") { return false }

        let version = "..\(Identifier.random(bytes: 8))"
        try Disk.makeDirectory("\(path)/\(version)")
        for file in files {
            let target = "\(path)/\(version)/\(file.path)"
            try Disk.makeDirectory(Disk.parent(of: target))
            try Disk.write(file.content, to: target, mode: group == nil ? file.mode : file.mode | 0o440)
            if let group, chown(target, 0, group) != 0 { throw .last("chown \(target)") }
        }
        let draft = "\(path)/..data_tmp"
        _ = unlink(draft)
        guard symlink(version, draft) == 0 else { throw .last("symlink \(draft)") }
        guard rename(draft, "\(path)/..data") == 0 else { throw .last("rename \(draft)") }

        let visible = Set(files.map { String($0.path.prefix { $0 != "/" }) })
        for name in visible where !Disk.exists("\(path)/\(name)") {
            guard symlink("..data/\(name)", "\(path)/\(name)") == 0 else { throw .last("symlink \(path)/\(name)") }
        }
        for name in Disk.names(in: path) where !name.hasPrefix("..") && !visible.contains(name) {
            _ = unlink("\(path)/\(name)")
        }
        if let previous { Disk.removeTree("\(path)/\(previous)") }
        return true
    }

    private func holds(_ files: [File], in folder: String) -> Bool {
        var expected: [String: [UInt8]] = [:]
        for file in files { expected[file.path] = file.content }
        return present(in: folder, prefix: "") == expected
    }

    private func present(in folder: String, prefix: String) -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        for name in Disk.names(in: folder) {
            let path = "\(folder)/\(name)"
            if Disk.kind(of: path, followingLinks: false) == .directory {
                found.merge(present(in: path, prefix: "\(prefix)\(name)/")) { first, _ in first }
            } else {
                found[prefix + name] = (try? Disk.read(path)) ?? []
            }
        }
        return found
    }
}
