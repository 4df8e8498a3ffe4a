import CAgent

/// Applies a commit's operations in an order that no reader can stumble over: folders first, then everything that appears,
/// in one go, then touches and removals.
struct Batch {
    /// Larger files are exchanged only where they came from here: an overlay would first copy the image's own up.
    private static let exchanged: UInt64 = 1 << 20

    let target: Target
    let place: StagingPlace
    private let operations: [FileOperation]
    private var results: [OperationResult]
    private var isDone: [Bool]
    /// Which places have a file that can be exchanged.
    private var isExchanged: [Bool]
    /// Folders of the files before: a batch's files lie side by side.
    private var known: [(path: Bytes, folder: Folder)] = []

    init(_ operations: [FileOperation], on target: Target, through place: StagingPlace) {
        self.target = target
        self.place = place
        self.operations = operations
        results = [OperationResult](repeating: OperationResult(), count: operations.count)
        isDone = [Bool](repeating: false, count: operations.count)
        isExchanged = isDone
    }

    /// Applies everything that can be applied; what fails says so in its result, and its content is staged no more.
    mutating func apply() -> [OperationResult] {
        for index in operations.indices {
            if case .makeFolder(let path, let mode) = operations[index] {
                attempt(index) { (batch) throws(SystemFailure) in try batch.makeFolder(path, mode, index) }
            }
        }
        // Owner, mode and time are set before the renames, so that these follow each other without a pause.
        for index in operations.indices {
            if case .place(let stage, let path, let mode, let modified) = operations[index] {
                attempt(index) { (batch) throws(SystemFailure) in
                    try batch.dress(stage, path, mode, modified, index)
                }
            }
        }
        known = []
        for index in operations.indices where results[index].code == 0 {
            switch operations[index] {
            case .place(let stage, let path, let mode, let modified):
                attempt(index) { (batch) throws(SystemFailure) in
                    try batch.land(stage, path, mode, modified, index)
                }
            case .link(let path, let destination):
                attempt(index) { (batch) throws(SystemFailure) in try batch.link(path, destination, index) }
            default: break
            }
        }
        for index in operations.indices {
            if case .touch(let path, let mode, let modified) = operations[index] {
                attempt(index) { (batch) throws(SystemFailure) in try batch.touch(path, mode, modified, index) }
            }
        }
        removeWhatIsLeft()
        for index in operations.indices where results[index].code != 0 {
            if case .place(let stage, _, _, _) = operations[index] { target.forget(stage) }
        }
        return results
    }

    /// Where a file goes.
    ///
    /// The folder is looked up once for all that lie in it, so that a folder that somebody moves away meanwhile takes them
    /// along, as it would a moment later.
    private mutating func locate(_ path: Bytes, making: Bool = false) throws(SystemFailure) -> Location {
        guard target.single == nil else { return try target.locate(path) }
        let (above, name) = try Target.parts(path)
        for near in known where near.path == above { return Location(folder: near.folder, name: name) }
        if known.count == 16 { known = [] }
        let location: Location
        do {
            location = try target.locate(path, making: making)
        } catch {
            // Each of them is a descriptor, of which there may be few.
            guard error.code == EMFILE, !known.isEmpty else { throw error }
            known = []
            location = try target.locate(path, making: making)
        }
        known.append((above, location.folder))
        return location
    }

    private mutating func attempt(
        _ index: Int, _ body: (inout Batch) throws(SystemFailure) -> Void
    ) {
        do {
            try body(&self)
        } catch {
            results[index].code = error.code
            results[index].text = error.text
            if let location = try? target.locate(operations[index].path) {
                // Of what is in the way, else of the folder that it is in.
                let blocking = (try? status(location.folder.raw, location.name)) ?? (try? status(location.folder.raw))
                results[index].mode = blocking?.permissions ?? 0
            }
        }
    }

    private mutating func note(_ index: Int, _ location: Location) throws(SystemFailure) {
        let now = try status(location.folder.raw, location.name)
        results[index].mode = now.permissions
        results[index].stamp = now.stamp
    }

    private mutating func makeFolder(_ path: Bytes, _ mode: UInt32, _ index: Int) throws(SystemFailure) {
        let location = try target.locate(path, making: true)
        let folder = location.folder.raw
        let name = location.name
        if name.withCString({ mkdirat(folder, $0, 0o700) }) < 0 {
            guard cagent_errno() == EEXIST else { throw .last() }
            if try status(folder, name).isFolder {
                results[index].flags.insert(.unchanged)
                try note(index, location)
                return
            }
            try checked(name.withCString { cagent_remove(folder, $0, 0) })
            try checked(name.withCString { mkdirat(folder, $0, 0o700) })
        }
        // Not through the name, which could be a link by now; and not left to mkdir, which applies the umask.
        let made = try Descriptor(
            name.withCString { cagent_open(folder, $0, CAGENT_READ | CAGENT_DIRECTORY | CAGENT_NOFOLLOW, 0) })
        // A folder that gives its group to what is in it made this one do so, too.
        let old = try status(made.raw).permissions
        if old & 0o777 != mode & 0o777 { try unlessRefused(fchmod(made.raw, mode & 0o777 | old & 0o7000)) }
        try note(index, location)
    }

    private func file(_ stage: UInt32) throws(SystemFailure) -> StagedFile {
        guard let file = target.staged[stage] else {
            throw SystemFailure(ENOENT, "nothing is staged under this number")
        }
        return file
    }

    /// Gives staged content the owner and mode of what it replaces, and its modification time.
    private mutating func dress(
        _ stage: UInt32, _ path: Bytes, _ mode: UInt32, _ modified: Int64, _ index: Int
    ) throws(SystemFailure) {
        let staged = try file(stage)
        let location = try locate(path, making: true)
        let own = staged.status
        var mode = mode & 0o777
        var owner = own.uid
        var group = own.gid
        if let old = try? status(location.folder.raw, location.name), old.isFile {
            mode = Batch.mode(old.permissions, executable: mode)
            owner = old.uid
            group = old.gid
            isExchanged[index] = old.size <= Batch.exchanged || target.hasLanded(path)
        } else if let inherited = location.folder.group {
            group = inherited
        }
        // Before the owner: who gives a file away may not be let to change it any more.
        if mode != own.permissions {
            try unlessRefused(staged.name.withCString { cagent_set_mode(place.folder, $0, mode) })
        }
        try unlessRefused(staged.name.withCString { cagent_set_modified(place.folder, $0, modified) })
        guard owner != own.uid || group != own.gid else { return }
        if staged.name.withCString({ cagent_set_owner(place.folder, $0, owner, group) }) < 0 {
            // Who may not give files away can often still choose among its groups.
            _ = staged.name.withCString { cagent_set_owner(place.folder, $0, own.uid, group) }
            results[index].flags.insert(.ownerChanged)
        }
        // A new owner takes set-user-id bits away.
        if mode & 0o7000 != 0 { _ = staged.name.withCString { cagent_set_mode(place.folder, $0, mode) } }
    }

    /// The old file's mode; who may read may execute, if anybody may execute the new content.
    static func mode(_ old: UInt32, executable new: UInt32) -> UInt32 {
        new & 0o111 == 0 ? old & ~0o111 : old | (old & 0o444) >> 2
    }

    private mutating func land(
        _ stage: UInt32, _ path: Bytes, _ mode: UInt32, _ modified: Int64, _ index: Int
    ) throws(SystemFailure) {
        let staged = try file(stage)
        let location = try locate(path)
        do {
            if !isExchanged[index] || !exchange(staged.name, with: location) {
                try rename(staged.name, to: location, path)
            }
            target.staged[stage] = nil
            if staged.status.size > Batch.exchanged { target.noteLanded(path) }
        } catch {
            // EBUSY: the file is itself a mount. EXDEV: that, or a folder on the way is one.
            guard error.code == EBUSY || error.code == EXDEV else { throw error }
            let isCopied = error.code == EXDEV ? try copyBeside(location, staged, modified) : false
            if !isCopied {
                try overwrite(location, with: staged, mode, modified)
                results[index].flags.insert(.writtenInPlace)
            }
            target.forget(stage)
        }
        try note(index, location)
    }

    private mutating func rename(
        _ name: Bytes, to location: Location, _ path: Bytes
    ) throws(SystemFailure) {
        let folder = location.folder.raw
        func attempt() -> Int32 {
            name.withCString { from in location.name.withCString { renameat(place.folder, from, folder, $0) } }
        }
        if attempt() == 0 { return }
        guard cagent_errno() == EISDIR else { throw .last() }
        // A folder becomes a file: what the batch removes from it has to go first.
        removeBelow(path)
        known = []
        guard location.name.withCString({ cagent_remove(folder, $0, 1) }) == 0 else {
            let failure = SystemFailure.last()
            throw failure.code == ENOTEMPTY
                ? SystemFailure(ENOTEMPTY, "a folder with files that are not loopd's is in the way") : failure
        }
        try checked(attempt())
    }

    /// Puts a file in another one's place by an exchange, and removes the old one; a large one a little later.
    ///
    /// As atomic as a rename, and quicker: ext4 writes a new file out before it renames it over another one.
    private func exchange(_ name: Bytes, with location: Location) -> Bool {
        let folder = location.folder.raw
        func swap() -> Int32 {
            name.withCString { from in location.name.withCString { cagent_exchange(place.folder, from, folder, $0) } }
        }
        guard swap() == 0 else { return false }
        if let old = try? status(place.folder, name), old.isFile, old.size > Batch.exchanged {
            target.keep(name)
            return true
        }
        if name.withCString({ cagent_remove(place.folder, $0, 0) }) == 0 { return true }
        // Since it was looked at, a folder came in its place.
        _ = swap()
        return false
    }

    private mutating func link(_ path: Bytes, _ destination: Bytes, _ index: Int) throws(SystemFailure) {
        known = []
        guard !destination.isEmpty, !destination.contains(0) else { throw SystemFailure(code: EINVAL) }
        let location = try target.locate(path, making: true)
        if (try? readLink(location.folder.raw, location.name)) == destination {
            results[index].flags.insert(.unchanged)
            return try note(index, location)
        }
        // Made aside and renamed, so that the name is never missing.
        let temporary = place.fileName(target.number, 0) + Bytes(".link")
        _ = temporary.withCString { cagent_remove(place.folder, $0, 0) }
        try checked(
            destination.withCString { text in temporary.withCString { symlinkat(text, place.folder, $0) } })
        do {
            try rename(temporary, to: location, path)
        } catch {
            _ = temporary.withCString { cagent_remove(place.folder, $0, 0) }
            guard error.code == EXDEV else { throw error }
            try linkBeside(location, destination)
        }
        try note(index, location)
    }

    private mutating func touch(
        _ path: Bytes, _ mode: UInt32, _ modified: Int64, _ index: Int
    ) throws(SystemFailure) {
        let location = try target.locate(path)
        let old = try status(location.folder.raw, location.name)
        if old.isLink {
            try checked(location.name.withCString { cagent_set_modified(location.folder.raw, $0, modified) })
        } else {
            let flags = CAGENT_READ | CAGENT_NOFOLLOW | CAGENT_NONBLOCK
            let file = try Descriptor(location.name.withCString { cagent_open(location.folder.raw, $0, flags, 0) })
            let same = try status(file.raw)
            guard same.isFile || same.isFolder else { throw SystemFailure(EINVAL, "neither a file nor a folder") }
            // Somebody else's file refuses with reason; ours only where the mount knows no modes or times.
            let isOurs = same.uid == geteuid() || same.uid == place.owner
            func set(_ result: Int32) throws(SystemFailure) {
                if isOurs { try unlessRefused(result) } else { try checked(result) }
            }
            // Bits that no local file has, such as a folder's that gives its group to what is in it, stay.
            let wanted = mode & 0o777 | same.permissions & 0o7000
            if same.permissions != wanted { try set(fchmod(file.raw, wanted)) }
            if same.isFile { try set(cagent_set_modified_of(file.raw, modified)) }
        }
        try note(index, location)
    }

    // Removals.

    private mutating func removeBelow(_ path: Bytes) {
        let prefix = path + [UInt8(ascii: "/")]
        remove(operations.indices.filter { operations[$0].path.hasPrefix(prefix) })
    }

    private mutating func removeWhatIsLeft() {
        // A name that the batch gives to something else is not removed again; it went as that operation did.
        var appeared: [Bytes: Int] = [:]
        for index in operations.indices {
            if case .remove = operations[index] { continue }
            appeared[operations[index].path] = index
        }
        for index in operations.indices {
            guard case .remove(let path, _) = operations[index], let other = appeared[path] else { continue }
            isDone[index] = true
            results[index].code = results[other].code
            results[index].text = results[other].text
        }
        remove(Array(operations.indices))
    }

    /// Carries out the removals among these operations, deepest first, so that their order does not matter.
    private mutating func remove(_ indices: [Int]) {
        var doomed: [(depth: Int, index: Int)] = []
        for index in indices where !isDone[index] {
            guard case .remove(let path, _) = operations[index] else { continue }
            doomed.append((path.reduce(0) { $0 + ($1 == UInt8(ascii: "/") ? 1 : 0) }, index))
        }
        doomed.sort { $0.depth > $1.depth || ($0.depth == $1.depth && $0.index < $1.index) }
        for (_, index) in doomed {
            guard case .remove(let path, let recursive) = operations[index] else { continue }
            isDone[index] = true
            attempt(index) { (batch) throws(SystemFailure) in
                do throws(SystemFailure) {
                    let location = try batch.target.locate(path)
                    try Removal.remove(location.name, in: location.folder.raw, recursive: recursive)
                } catch {
                    // Gone already, with what it was in.
                    guard error.code == ENOENT || error.code == ENOTDIR else { throw error }
                }
            }
        }
    }
}
