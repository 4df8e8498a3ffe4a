import CAgent

extension Target {
    /// Finds the destination that a request names, making it where asked for, and answers what was found.
    static func open(
        _ request: Open, number: UInt32, token: UInt64, resolver: Resolver
    ) throws(SystemFailure) -> (target: Target, answer: Opened) {
        guard request.path.first == UInt8(ascii: "/") else {
            throw SystemFailure(EINVAL, "the destination is not an absolute path")
        }
        guard request.path.count < 4096 else { throw SystemFailure(code: ENAMETOOLONG) }
        let root = try root(of: request)
        let found = try find(request, root.raw, resolver)
        let what = try status(found.handle.raw)
        let top = try status(root.raw)
        var kind = found.isNew ? Opened.Kind.created : .folder
        var single: Bytes?
        let folder: Descriptor
        if !what.isFolder {
            guard what.isFile else { throw SystemFailure(ENOTDIR, "the destination is neither a folder nor a file") }
            kind = .file
            let (above, name) = try Target.split(request.path)
            single = name
            folder = try resolver.resolve(above, .inRoot, of: root.raw)
        } else {
            folder = try resolver.resolve([], .beneath, of: found.handle.raw)
        }
        let target = Target(
            number, folder: folder, single: single,
            isRoot: what.inode == top.inode && what.device == top.device, request: request, token: token,
            resolver: resolver)
        var obstacle: Int32 = 0
        do {
            _ = try target.prepare()
        } catch {
            guard error.code != ESTALE else { throw error }
            obstacle = error.code
        }
        return (
            target,
            Opened(
                destination: number, kind: kind, staging: target.placePath, isSameMount: target.isSameMount,
                owner: what.uid, obstacle: obstacle, mode: what.permissions, uid: geteuid())
        )
    }

    static func root(of request: Open) throws(SystemFailure) -> Descriptor {
        let path = request.root.isEmpty ? Bytes("/") : request.root
        return try Descriptor(path.withCString { cagent_open(-1, $0, CAGENT_HANDLE | CAGENT_DIRECTORY, 0) })
    }

    static func find(
        _ request: Open, _ root: Int32, _ resolver: Resolver
    ) throws(SystemFailure) -> Found {
        do {
            return Found(handle: try resolver.resolve(request.path, .inRoot, of: root), isNew: false)
        } catch {
            guard error.code == ENOENT, request.createIfMissing else { throw error }
        }
        // Folder by folder, so that links on the way are followed as the container itself would.
        var end = request.path.startIndex
        while end < request.path.count {
            end = request.path[(end + 1)...].firstIndex(of: UInt8(ascii: "/")) ?? request.path.count
            let prefix = Array(request.path[..<end])
            if (try? resolver.resolve(prefix, .inRoot, of: root)) != nil { continue }
            let (above, name) = try split(prefix)
            guard name != [46, 46] else { throw SystemFailure(code: ENOENT) }
            let parent = try resolver.resolve(above, .inRoot, of: root)
            let made = name.withCString { mkdirat(parent.raw, $0, 0o755) }
            guard made == 0 || cagent_errno() == EEXIST else { throw .last() }
        }
        return Found(handle: try resolver.resolve(request.path, .inRoot, of: root), isNew: true)
    }

    private static func split(_ path: Bytes) throws(SystemFailure) -> (above: Bytes, name: Bytes) {
        var path = path
        while path.count > 1, path.last == UInt8(ascii: "/") { path.removeLast() }
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")), slash + 1 < path.count else {
            throw SystemFailure(code: EINVAL)
        }
        return (slash == 0 ? Bytes("/") : Array(path[..<slash]), Array(path[(slash + 1)...]))
    }
}

/// A destination that exists by now.
struct Found: ~Copyable {
    let handle: Descriptor
    let isNew: Bool
}
