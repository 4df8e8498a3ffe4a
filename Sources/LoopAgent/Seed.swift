import CAgent

/// Fills an empty volume with what the image has at a path, so that the volume can stand in its place.
///
/// A second run completes what an interrupted one left: a file's time is set last, so that one with the right size and time
/// is whole. Nothing outside either tree is touched: links are copied as links, and none is followed on the way.
struct Seed {
    /// A volume that cannot be written.
    struct Obstacle: Error {
        let path: Bytes
        let failure: SystemFailure
    }

    private let from: Bytes
    private let to: Bytes
    /// The volume, which may itself lie in the tree.
    private let volume: cagent_status
    private var buffer = Bytes(repeating: 0, count: 64 << 10)

    /// Copies a tree; returns the exit code, or `nil` when the command line makes no sense.
    static func seed(_ arguments: inout Arguments) -> Int32? {
        guard let from = arguments.next(), let to = arguments.next(), arguments.isEmpty else { return nil }
        do throws(Obstacle) {
            try run(from, to)
            return 0
        } catch {
            complain(Bytes("seed: ") + error.path + Bytes(": ") + error.failure.text)
            return 1
        }
    }

    private static func run(_ from: Bytes, _ to: Bytes) throws(Obstacle) {
        let flags = CAGENT_READ | CAGENT_DIRECTORY
        guard let target = try? Descriptor(to.withCString { cagent_open(-1, $0, flags, 0) }),
            let volume = try? status(target.raw)
        else { throw Obstacle(path: to, failure: .last()) }
        // Not waiting, because it may be a pipe. Here links are followed: the path itself may be one.
        let opened = from.withCString { cagent_open(-1, $0, CAGENT_READ | CAGENT_NONBLOCK, 0) }
        guard let source = try? Descriptor(opened), let what = try? status(source.raw) else {
            // An image without the folder has nothing to bring along.
            let failure = SystemFailure.last()
            if failure.code != ENOENT, failure.code != ENOTDIR { report(from, failure) }
            return
        }
        var seed = Seed(from: from, to: to, volume: volume)
        if what.isFolder {
            try seed.copyEntries(source.raw, what, target.raw, [])
            // The volume's own mode and owner are Kubernetes', where this user may not change them.
            _ = fchown(target.raw, what.uid, what.gid)
            _ = fchmod(target.raw, what.permissions)
        } else if what.isFile {
            var name = from
            while name.last == UInt8(ascii: "/") { name.removeLast() }
            let start = name.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0
            name = Array(name[start...])
            do throws(SystemFailure) {
                try seed.copyFile(source.raw, what, target.raw, name)
            } catch {
                throw Obstacle(path: to + Bytes("/") + name, failure: error)
            }
        }
    }

    private init(from: Bytes, to: Bytes, volume: cagent_status) {
        self.from = from
        self.to = to
        self.volume = volume
    }

    private static func report(_ path: Bytes, _ failure: SystemFailure) {
        complain(Bytes("seed: ") + path + Bytes(": left out: ") + failure.text)
    }

    /// Copies what is in a folder; `path` is where that is, below both trees.
    private mutating func copyEntries(
        _ source: Int32, _ own: cagent_status, _ target: Int32, _ path: Bytes
    ) throws(Obstacle) {
        guard let names = FolderReader(source) else { return Seed.report(from + path, .last()) }
        while true {
            let name: Bytes
            do throws(SystemFailure) {
                guard let next = try names.next() else { return }
                name = next
            } catch {
                return Seed.report(from + path, error)
            }
            try copy(source, own, target, name, path + [UInt8(ascii: "/")] + name)
        }
    }

    private mutating func copy(
        _ source: Int32, _ parent: cagent_status, _ target: Int32, _ name: Bytes, _ path: Bytes
    ) throws(Obstacle) {
        let what: cagent_status
        do { what = try status(source, name) } catch { return Seed.report(from + path, error) }
        if what.isFolder { return try copyFolder(source, parent, target, name, path) }
        do throws(SystemFailure) {
            if what.isLink {
                guard let text = try? readLink(source, name) else { return Seed.report(from + path, .last()) }
                try copyLink(text, what, target, name)
            } else if what.isFile {
                let flags = CAGENT_READ | CAGENT_NOFOLLOW | CAGENT_NONBLOCK
                let opened = name.withCString { cagent_open(source, $0, flags, 0) }
                guard let file = try? Descriptor(opened), let now = try? status(file.raw), now.isFile else {
                    return Seed.report(from + path, .last())
                }
                do throws(SystemFailure) {
                    try copyFile(file.raw, now, target, name)
                } catch {
                    guard error.code == Seed.unreadable else { throw error }
                    Seed.report(from + path, SystemFailure(code: EIO))
                }
            }
        } catch {
            throw Obstacle(path: to + path, failure: error)
        }
    }

    private mutating func copyFolder(
        _ source: Int32, _ parent: cagent_status, _ target: Int32, _ name: Bytes, _ path: Bytes
    ) throws(Obstacle) {
        let flags = CAGENT_READ | CAGENT_DIRECTORY | CAGENT_NOFOLLOW
        let opened = name.withCString { cagent_open(source, $0, flags, 0) }
        guard let folder = try? Descriptor(opened), let what = try? status(folder.raw) else {
            return Seed.report(from + path, .last())
        }
        let isVolume = what.device == volume.device && what.inode == volume.inode
        do throws(SystemFailure) {
            try makeFolder(target, name)
        } catch {
            throw Obstacle(path: to + path, failure: error)
        }
        guard let made = try? Descriptor(name.withCString { cagent_open(target, $0, flags, 0) }) else {
            throw Obstacle(path: to + path, failure: .last())
        }
        // What another mount has there is mounted over the volume, too.
        if what.device == parent.device, !isVolume { try copyEntries(folder.raw, what, made.raw, path) }
        dress(made.raw, what)
    }

    /// Makes a folder that can be written, whatever an earlier run left.
    private func makeFolder(_ target: Int32, _ name: Bytes) throws(SystemFailure) {
        if name.withCString({ mkdirat(target, $0, 0o700) }) == 0 { return }
        guard cagent_errno() == EEXIST else { throw .last() }
        if try status(target, name).isFolder {
            _ = name.withCString { cagent_set_mode(target, $0, 0o700) }
        } else {
            try remove(target, name)
            try checked(name.withCString { mkdirat(target, $0, 0o700) })
        }
    }

    /// What `copyFile` throws when it is the source that failed.
    private static let unreadable: Int32 = -1

    private mutating func copyFile(
        _ source: Int32, _ what: cagent_status, _ target: Int32, _ name: Bytes
    ) throws(SystemFailure) {
        if let old = try? status(target, name), old.isFile, old.size == what.size, old.modified == what.modified {
            return
        }
        try remove(target, name)
        let flags = CAGENT_WRITE | CAGENT_CREATE | CAGENT_EXCLUSIVE | CAGENT_NOFOLLOW
        let file = try Descriptor(name.withCString { cagent_open(target, $0, flags, 0o600) })
        do throws(SystemFailure) {
            try copyContent(source, file.raw)
        } catch {
            try remove(target, name)
            throw error
        }
        dress(file.raw, what)
    }

    private mutating func copyContent(_ source: Int32, _ target: Int32) throws(SystemFailure) {
        // In the kernel where it can: it copies nothing on file systems that share blocks.
        while cagent_copy(source, target, 1 << 30) > 0 {}
        // What is left goes by hand: all of it where the kernel cannot, usually nothing.
        while true {
            let count = read(source, &buffer, buffer.count)
            guard count >= 0 else { throw SystemFailure(code: Seed.unreadable) }
            if count == 0 { return }
            try writeAll(target, buffer, count: count)
        }
    }

    private func copyLink(
        _ text: Bytes, _ what: cagent_status, _ target: Int32, _ name: Bytes
    ) throws(SystemFailure) {
        if (try? readLink(target, name)) != text {
            try remove(target, name)
            try checked(text.withCString { text in name.withCString { symlinkat(text, target, $0) } })
        }
        _ = name.withCString { cagent_set_owner(target, $0, what.uid, what.gid) }
        _ = name.withCString { cagent_set_modified(target, $0, what.modified) }
    }

    /// Gives a copy its owner, mode and time, as far as this user may.
    private func dress(_ copy: Int32, _ what: cagent_status) {
        let isOwned = fchown(copy, what.uid, what.gid) == 0
        // Who runs as another user's set-user-id program must be that user's choice.
        _ = fchmod(copy, isOwned ? what.permissions : what.permissions & 0o777)
        _ = cagent_set_modified_of(copy, what.modified)
    }

    /// Makes a name free; what is in a folder goes with it.
    private func remove(_ folder: Int32, _ name: Bytes) throws(SystemFailure) {
        do {
            try Removal.remove(name, in: folder, recursive: true)
        } catch {
            guard error.code == ENOENT else { throw error }
        }
    }
}
