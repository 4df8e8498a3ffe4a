import CAgent

/// Content that is on disk and waits for its commit.
struct StagedFile {
    let name: Bytes
    /// As it was when it was complete.
    let status: cagent_status
}

/// A handle (`O_PATH`) on a folder in a destination, shared by all who work in it.
final class Folder {
    let raw: Int32
    /// The group that files made in it get, where it gives them its own.
    private(set) lazy var group: UInt32? = {
        guard let own = try? status(raw), own.permissions & 0o2000 != 0 else { return nil }
        return own.gid
    }()

    init(_ descriptor: consuming Descriptor) {
        raw = descriptor.release()
    }

    deinit {
        close(raw)
    }
}

/// Where a path is: the folder that its last name is in, opened, and that name.
struct Location {
    let folder: Folder
    let name: Bytes
}

/// An open destination.
final class Target {
    let number: UInt32
    /// The destination; for a single file the folder that it is in.
    private(set) var folder: Int32
    /// The name of a single file.
    let single: Bytes?
    let generation: UInt64
    let resolver: Resolver
    private(set) var place: StagingPlace?
    private(set) var isSameMount = false
    private(set) var placePath: Bytes = []
    var staged: [UInt32: StagedFile] = [:]
    private var landed: [Bytes] = []
    private var replaced: [Bytes] = []
    private var removal: Int64 = 0
    /// Whether the next commit has to tell that the folder is another one.
    private var isReplaced = false

    private let request: Open
    private let path: Bytes
    private let writer: Writer
    private let usesParent: Bool

    /// Takes the resolved destination.
    init(
        _ number: UInt32, folder: consuming Descriptor, single: Bytes?, isRoot: Bool, request: Open, token: UInt64,
        resolver: Resolver
    ) {
        self.number = number
        self.folder = folder.release()
        self.single = single
        self.resolver = resolver
        generation = request.generation
        self.request = request
        path = request.root + request.path
        writer = Writer(generation: request.generation, token: token)
        // Nothing is above the root.
        usesParent = !isRoot
    }

    deinit {
        close(folder)
    }

    /// The folder that a path's last name is in, and that name; missing folders on the way are made on demand.
    func locate(_ path: Bytes, making: Bool = false) throws(SystemFailure) -> Location {
        if let single {
            guard path.isEmpty else { throw SystemFailure(ENOTDIR, "the destination is a single file") }
            return Location(folder: Folder(try resolver.resolve([], .beneath, of: folder)), name: single)
        }
        let (above, name) = try Target.parts(path)
        do {
            return Location(folder: Folder(try resolver.resolve(above, .beneath, of: folder)), name: name)
        } catch {
            guard !above.isEmpty else { throw error }
            guard making, error.code == ENOENT else { throw error }
        }
        let missing = try locate(above, making: true)
        let made = missing.name.withCString { mkdirat(missing.folder.raw, $0, 0o755) }
        guard made == 0 || cagent_errno() == EEXIST else { throw .last() }
        return Location(folder: Folder(try resolver.resolve(above, .beneath, of: folder)), name: name)
    }

    /// The path of the folder that a name is in, and that name.
    static func parts(_ path: Bytes) throws(SystemFailure) -> (above: Bytes, name: Bytes) {
        try check(path)
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return ([], path) }
        return (Array(path[..<slash]), Array(path[(slash + 1)...]))
    }

    /// The staging place, made if there is none.
    ///
    /// It lies beside the destination, where no watcher of the destination sees it, or in it where the destination is a
    /// mount of its own or its parent cannot be written.
    func prepare() throws(SystemFailure) -> StagingPlace {
        if let place { return place }
        var refusal: SystemFailure?
        if usesParent, let parent = try? Descriptor(cagent_open(folder, "..", CAGENT_HANDLE | CAGENT_DIRECTORY, 0)) {
            do {
                if let found = try use(shortName, in: single == nil ? parent.raw : folder) { return found }
            } catch {
                // A newer writer is the answer, wherever it stages.
                guard error.code != ESTALE else { throw error }
                refusal = error
            }
        }
        if single == nil {
            if let found = try use(Bytes(".loopd"), in: folder, isInside: true) { return found }
        } else if let temporary = try? Descriptor(cagent_open(-1, "/tmp", CAGENT_HANDLE | CAGENT_DIRECTORY, 0)) {
            // A file that is a mount cannot be renamed over anyhow: any place will do.
            let found = try StagingPlace(shortName, in: temporary.raw, for: writer)
            placePath = Bytes("/tmp/") + shortName
            place = found
            return found
        }
        throw refusal ?? SystemFailure(code: EXDEV)
    }

    private func use(_ name: Bytes, in parent: Int32, isInside: Bool = false) throws(SystemFailure) -> StagingPlace? {
        var name = name
        let candidate: StagingPlace
        do {
            candidate = try StagingPlace(name, in: parent, for: writer)
        } catch {
            // Perhaps another user's, who once wrote here or does so from another container of the pod.
            guard error.code == EACCES else { throw error }
            name += Bytes("-") + Bytes(decimal: UInt64(geteuid()))
            candidate = try StagingPlace(name, in: parent, for: writer)
        }
        do {
            guard try candidate.reaches(folder) else {
                candidate.remove()
                return nil
            }
        } catch {
            candidate.remove()
            throw error
        }
        isSameMount = true
        placePath = (isInside ? path : Target.parent(of: path)) + [UInt8(ascii: "/")] + name
        place = candidate
        return candidate
    }

    /// Looks again where the destination's path leads.
    ///
    /// Somebody may have removed the folder, or put another one in its place; what is written must be found under the path.
    func refresh() throws(SystemFailure) {
        guard single == nil else { return }
        let root = try Target.root(of: request)
        let found = try Target.find(request, root.raw, resolver)
        let now = try status(found.handle.raw)
        let before = try status(folder)
        if now.inode == before.inode, now.device == before.device { return }
        guard now.isFolder else { throw SystemFailure(ENOTDIR, "the destination is no folder any more") }
        let next = try resolver.resolve([], .beneath, of: found.handle.raw)
        close(folder)
        folder = next.release()
        isReplaced = true
        // A staging place beside the folder outlives it, one inside does not, with what was staged there.
        if let place, place.isIntact, (try? place.reaches(folder)) == true { return }
        place = nil
        placePath = []
        staged = [:]
        replaced = []
    }

    /// Whether the folder is another one than when this was last asked.
    func takeReplacement() -> Bool {
        defer { isReplaced = false }
        return isReplaced
    }

    /// Removes what is staged here, and the staging place unless it is `shared` with another destination of the session.
    func end(shared: Bool) {
        if shared {
            for stage in Array(staged.keys) { forget(stage) }
            removeReplaced()
        } else {
            place?.remove()
        }
        place = nil
    }

    // Large files that were replaced.

    /// How long one stays: a program that runs from it ends sooner while the kernel need not free it at that moment.
    private static let grace: Int64 = 1000

    func hasLanded(_ path: Bytes) -> Bool { landed.contains(path) }

    /// Notes that a large file came from here.
    func noteLanded(_ path: Bytes) {
        if !landed.contains(path) { landed.append(path) }
    }

    /// Keeps a file in the staging place that was replaced.
    func keep(_ name: Bytes) {
        replaced.append(name)
        removal = cagent_now() + Target.grace
    }

    /// How many milliseconds are left until replaced files have to go; `nil` where there are none.
    var untilRemoval: Int64? { replaced.isEmpty ? nil : max(0, removal - cagent_now()) }

    func removeReplaced() {
        guard let place else { return }
        for name in replaced { name.withCString { _ = cagent_remove(place.folder, $0, 0) } }
        replaced = []
    }

    /// Where complete content lies, as the container sees it.
    func path(of stage: UInt32) throws(SystemFailure) -> Bytes {
        guard let file = staged[stage], let place else {
            throw SystemFailure(ENOENT, "nothing is staged under this number")
        }
        // As the kernel names it: the destination's own path may lead over links.
        let folder = try Target.name(of: place.folder)
        let handle = try Target.root(of: request)
        let root = try Target.name(of: handle.raw)
        let slash = [UInt8(ascii: "/")]
        let isBelow = root != slash && folder.hasPrefix(root + slash)
        return (isBelow ? Array(folder[root.count...]) : folder) + slash + file.name
    }

    private static func name(of descriptor: Int32) throws(SystemFailure) -> Bytes {
        try readLink(-1, Bytes("/proc/self/fd/") + Bytes(decimal: UInt64(descriptor)))
    }

    func forget(_ stage: UInt32) {
        guard let file = staged.removeValue(forKey: stage), let place else { return }
        file.name.withCString { _ = cagent_remove(place.folder, $0, 0) }
    }

    /// What a file is called for a moment that cannot be made in the staging place.
    ///
    /// Always the same, so that what a killed helper left is replaced the next time; each user's own, as staging places are.
    var nameBeside: Bytes { shortName + Bytes("-") + Bytes(decimal: UInt64(geteuid())) + Bytes(".new") }

    /// Short, and the same for every helper that opens this destination, whatever the root is called for it.
    private var shortName: Bytes {
        var hash = RunningHash()
        request.path.withUnsafeBytes { hash.update($0) }
        return Bytes(".loopd-") + Array(hash.finish()[..<6]).hexadecimal
    }

    /// Whether a name is one of loopd's own, which listings pass over.
    static func isOwn(_ name: Bytes) -> Bool { name == Bytes(".loopd") || name.hasPrefix(Bytes(".loopd-")) }

    private static func parent(of path: Bytes) -> Bytes {
        var end = path.count
        while end > 1, path[end - 1] == UInt8(ascii: "/") { end -= 1 }
        guard let slash = path[..<end].lastIndex(of: UInt8(ascii: "/")) else { return [] }
        return Array(path[..<slash])
    }

    /// Refuses what no tree listing can have named.
    private static func check(_ path: Bytes) throws(SystemFailure) {
        // The kernel's own limit, which a walk by descriptor would not notice.
        guard path.count < 4096 else { throw SystemFailure(code: ENAMETOOLONG) }
        var start = 0
        for end in 0...path.count where end == path.count || path[end] == UInt8(ascii: "/") {
            let name = path[start..<end]
            if name.isEmpty || name == [46] || name == [46, 46] || name.contains(0) {
                throw SystemFailure(EINVAL, "not a path below the destination")
            }
            start = end + 1
        }
        guard !isOwn(Array(path[..<(path.firstIndex(of: UInt8(ascii: "/")) ?? path.count)])) else {
            throw SystemFailure(EINVAL, "a name that is kept for staging")
        }
    }
}
