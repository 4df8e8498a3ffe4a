import CAgent

/// What a batch does about mounts: below its destination, of single files, and of file systems that know less than others.
extension Batch {
    /// Writes staged content into a file that cannot be replaced.
    func overwrite(
        _ location: Location, with staged: StagedFile, _ mode: UInt32, _ modified: Int64
    ) throws(SystemFailure) {
        let flags = CAGENT_WRITE | CAGENT_NOFOLLOW | CAGENT_NONBLOCK
        let output = try Descriptor(location.name.withCString { cagent_open(location.folder.raw, $0, flags, 0) })
        let old = try status(output.raw)
        guard old.isFile else { throw SystemFailure(EINVAL, "not a regular file") }
        // All the room at first: on a full disk the old content stays as it was.
        guard cagent_reserve(output.raw, staged.status.size) == 0 else {
            let failure = SystemFailure.last()
            _ = ftruncate(output.raw, off_t(old.size))
            throw failure
        }
        try copy(staged, to: output.raw)
        // Only now: a shorter file that was cut first would be seen empty.
        try checked(ftruncate(output.raw, off_t(staged.status.size)))
        // A mounted file often belongs to somebody else, who may keep its mode and time.
        _ = fchmod(output.raw, Batch.mode(old.permissions, executable: mode))
        _ = cagent_set_modified_of(output.raw, modified)
    }

    /// Copies staged content into the folder that is a mount of its own, and renames it there.
    ///
    /// Returns false where that cannot be, because the name is a mount itself or its folder cannot be written.
    func copyBeside(
        _ location: Location, _ staged: StagedFile, _ modified: Int64
    ) throws(SystemFailure) -> Bool {
        let folder = location.folder.raw
        let name = target.nameBeside
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
            try unlessRefused(fchmod(output.raw, dressed.permissions))
            try unlessRefused(cagent_set_modified_of(output.raw, modified))
            // As above: the owner last, then what it takes away.
            _ = fchown(output.raw, dressed.uid, dressed.gid)
            if dressed.permissions & 0o7000 != 0 { _ = fchmod(output.raw, dressed.permissions) }
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

    /// Makes a link in a folder that is a mount of its own.
    func linkBeside(_ location: Location, _ destination: Bytes) throws(SystemFailure) {
        let folder = location.folder.raw
        let name = target.nameBeside
        _ = name.withCString { cagent_remove(folder, $0, 0) }
        try checked(destination.withCString { text in name.withCString { symlinkat(text, folder, $0) } })
        if name.withCString({ from in location.name.withCString { renameat(folder, from, folder, $0) } }) < 0 {
            let failure = SystemFailure.last()
            _ = name.withCString { cagent_remove(folder, $0, 0) }
            throw failure
        }
    }

    /// Mounts without modes or times of their own (SMB, FAT, some of FUSE) refuse to set them even on what one has made.
    func unlessRefused(_ result: Int32) throws(SystemFailure) {
        guard result < 0 else { return }
        let failure = SystemFailure.last()
        guard [EPERM, EOPNOTSUPP, ENOSYS].contains(failure.code) else { throw failure }
    }
}
