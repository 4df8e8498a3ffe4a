import CAgent

/// Applies a commit's operations in an order that no reader can stumble over: folders first, then everything that appears,
/// in one go, then touches and removals.
struct Batch {
    private let target: Target
    private let place: StagingPlace
    private let operations: [FileOperation]
    private var results: [OperationResult]
    private var isDone: [Bool]

    init(_ operations: [FileOperation], on target: Target, through place: StagingPlace) {
        self.target = target
        self.place = place
        self.operations = operations
        results = [OperationResult](repeating: OperationResult(), count: operations.count)
        isDone = [Bool](repeating: false, count: operations.count)
    }

    /// Applies everything that can be applied; what fails says so in its result.
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
        return results
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

    private mutating func note(_ index: Int, _ location: borrowing Location) throws(SystemFailure) {
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
                try note(index, location)
                return
            }
            try checked(name.withCString { cagent_remove(folder, $0, 0) })
            try checked(name.withCString { mkdirat(folder, $0, 0o700) })
        }
        // Not through the name, which could be a link by now; and not left to mkdir, which applies the umask.
        let made = try Descriptor(
            name.withCString { cagent_open(folder, $0, CAGENT_READ | CAGENT_DIRECTORY | CAGENT_NOFOLLOW, 0) })
        try checked(fchmod(made.raw, mode & 0o777))
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
        let location = try target.locate(path, making: true)
        var mode = mode & 0o777
        if let old = try? status(location.folder.raw, location.name), old.isFile {
            mode = Batch.mode(old.permissions, executable: mode)
            let own = try status(place.folder, staged.name)
            if old.uid != own.uid || old.gid != own.gid {
                // Who may not give files away can often still choose among its groups.
                if staged.name.withCString({ cagent_set_owner(place.folder, $0, old.uid, old.gid) }) < 0 {
                    _ = staged.name.withCString { cagent_set_owner(place.folder, $0, own.uid, old.gid) }
                    results[index].flags.insert(.ownerChanged)
                }
            }
        }
        // After the owner, which takes set-user-id bits away.
        try checked(staged.name.withCString { cagent_set_mode(place.folder, $0, mode) })
        try checked(staged.name.withCString { cagent_set_modified(place.folder, $0, modified) })
    }

    /// The old file's mode; who may read may execute, if anybody may execute the new content.
    private static func mode(_ old: UInt32, executable new: UInt32) -> UInt32 {
        new & 0o111 == 0 ? old & ~0o111 : old | (old & 0o444) >> 2
    }

    private mutating func land(
        _ stage: UInt32, _ path: Bytes, _ mode: UInt32, _ modified: Int64, _ index: Int
    ) throws(SystemFailure) {
        let staged = try file(stage)
        let location = try target.locate(path)
        do {
            try rename(staged.name, to: location, path)
            target.staged[stage] = nil
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
        _ name: Bytes, to location: borrowing Location, _ path: Bytes
    ) throws(SystemFailure) {
        let folder = location.folder.raw
        func attempt() -> Int32 {
            name.withCString { from in location.name.withCString { renameat(place.folder, from, folder, $0) } }
        }
        if exchange(name, with: location) || attempt() == 0 { return }
        guard cagent_errno() == EISDIR else { throw .last() }
        // A folder becomes a file: what the batch removes from it has to go first.
        removeBelow(path)
        guard location.name.withCString({ cagent_remove(folder, $0, 1) }) == 0 else {
            let failure = SystemFailure.last()
            throw failure.code == ENOTEMPTY
                ? SystemFailure(ENOTEMPTY, "a folder with files that are not loopd's is in the way") : failure
        }
        try checked(attempt())
    }

    /// Puts a file in a small file's place by an exchange, and removes the old one.
    ///
    /// As atomic as a rename, and quicker: ext4 writes a new file out before it renames it over another one. Not for big
    /// ones, which an overlay would first copy up from the image.
    private func exchange(_ name: Bytes, with location: borrowing Location) -> Bool {
        let folder = location.folder.raw
        guard let old = try? status(folder, location.name), old.isFile, old.size <= 1 << 20 else { return false }
        func swap() -> Int32 {
            name.withCString { from in location.name.withCString { cagent_exchange(place.folder, from, folder, $0) } }
        }
        guard swap() == 0 else { return false }
        if name.withCString({ cagent_remove(place.folder, $0, 0) }) == 0 { return true }
        // Since it was looked at, a folder came in its place.
        _ = swap()
        return false
    }

    private mutating func overwrite(
        _ location: borrowing Location, with staged: StagedFile, _ mode: UInt32, _ modified: Int64
    ) throws(SystemFailure) {
        let flags = CAGENT_WRITE | CAGENT_NOFOLLOW | CAGENT_NONBLOCK
        let output = try Descriptor(location.name.withCString { cagent_open(location.folder.raw, $0, flags, 0) })
        let old = try status(output.raw)
        guard old.isFile else { throw SystemFailure(EINVAL, "not a regular file") }
        try copy(staged, to: output.raw)
        // Only now: a shorter file that was cut first would be seen empty.
        try checked(ftruncate(output.raw, off_t(staged.size)))
        // A mounted file often belongs to somebody else, who may keep its mode and time.
        _ = fchmod(output.raw, Batch.mode(old.permissions, executable: mode))
        _ = cagent_set_modified_of(output.raw, modified)
    }

    /// Copies staged content into the folder that is a mount of its own, and renames it there.
    ///
    /// Returns false where that cannot be, because the name is a mount itself or its folder cannot be written.
    private func copyBeside(
        _ location: borrowing Location, _ staged: StagedFile, _ modified: Int64
    ) throws(SystemFailure) -> Bool {
        let folder = location.folder.raw
        let name = Bytes(".loopd-") + staged.name
        let flags = CAGENT_WRITE | CAGENT_CREATE | CAGENT_NOFOLLOW | CAGENT_EXCLUSIVE
        _ = name.withCString { cagent_remove(folder, $0, 0) }
        let created = name.withCString { cagent_open(folder, $0, flags, 0o600) }
        guard created >= 0 else {
            let failure = SystemFailure.last()
            if [EACCES, EPERM, EROFS].contains(failure.code) { return false }
            throw failure
        }
        let output = Descriptor(opened: created)
        do throws(SystemFailure) {
            try copy(staged, to: output.raw)
            let dressed = try status(place.folder, staged.name)
            _ = fchown(output.raw, dressed.uid, dressed.gid)
            try checked(fchmod(output.raw, dressed.permissions))
            try checked(cagent_set_modified_of(output.raw, modified))
            try checked(name.withCString { from in location.name.withCString { renameat(folder, from, folder, $0) } })
            return true
        } catch {
            _ = name.withCString { cagent_remove(folder, $0, 0) }
            guard error.code == EBUSY else { throw error }
            return false
        }
    }

    private func copy(_ staged: StagedFile, to output: Int32) throws(SystemFailure) {
        let input = try Descriptor(
            staged.name.withCString { cagent_open(place.folder, $0, CAGENT_READ | CAGENT_NOFOLLOW, 0) })
        var buffer = Bytes(repeating: 0, count: 32 << 10)
        while true {
            let count = read(input.raw, &buffer, buffer.count)
            guard count >= 0 else { throw .last() }
            if count == 0 { return }
            try writeAll(output, buffer, count: count)
        }
    }

    private mutating func link(_ path: Bytes, _ destination: Bytes, _ index: Int) throws(SystemFailure) {
        guard !destination.isEmpty, !destination.contains(0) else { throw SystemFailure(code: EINVAL) }
        let location = try target.locate(path, making: true)
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

    /// Makes a link in a folder that is a mount of its own.
    private func linkBeside(_ location: borrowing Location, _ destination: Bytes) throws(SystemFailure) {
        let folder = location.folder.raw
        let name = Bytes(".loopd-") + place.fileName(target.number, 0) + Bytes(".link")
        _ = name.withCString { cagent_remove(folder, $0, 0) }
        try checked(destination.withCString { text in name.withCString { symlinkat(text, folder, $0) } })
        if name.withCString({ from in location.name.withCString { renameat(folder, from, folder, $0) } }) < 0 {
            let failure = SystemFailure.last()
            _ = name.withCString { cagent_remove(folder, $0, 0) }
            throw failure
        }
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
            if same.permissions != mode & 0o777 { try checked(fchmod(file.raw, mode & 0o777)) }
            if same.isFile { try checked(cagent_set_modified_of(file.raw, modified)) }
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
