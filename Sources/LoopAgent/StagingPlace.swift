import CAgent

/// Who writes: the generation decides between writers, the token tells two sessions of one generation apart.
struct Writer {
    let generation: UInt64
    let token: UInt64

    var line: Bytes { Bytes(decimal: generation) + [32] + Bytes(hexadecimal: token) + [10] }
}

/// The hidden folder where contents wait for their commit, with the lock that makes its owner the one writer.
///
/// The file `lock` in it names the writer. It is only held (flock) while it is read, changed or relied on, so that a newer
/// writer can take over from one that still runs; the older one finds out at its next commit. The folder itself is held,
/// shared, by everybody who has it open: that tells a living writer from a killed one's name.
final class StagingPlace {
    private static let lockName = Bytes("lock")

    let folder: Int32
    /// Whom the mount shows as the owner of what is made here.
    let owner: UInt32
    private let lock: Int32
    /// Where the folder itself lies.
    private let parent: Int32
    private let name: Bytes
    private let writer: Writer

    /// Makes the place `name` in `parent`, or takes it over from an older writer; what dead writers left there is removed.
    init(_ name: Bytes, in parent: Int32, for writer: Writer) throws(SystemFailure) {
        let place = try Descriptor(cagent_open(parent, ".", CAGENT_READ | CAGENT_DIRECTORY, 0))
        let (folder, lock, owner) = try StagingPlace.claim(name, in: place.raw, for: writer)
        self.folder = folder
        self.owner = owner
        self.lock = lock
        self.parent = place.release()
        self.name = name
        self.writer = writer
    }

    deinit {
        close(folder)
        close(lock)
        close(parent)
    }

    /// The name of a staged file: whose it is can be read from it.
    func fileName(_ destination: UInt32, _ stage: UInt32) -> Bytes {
        Bytes(hexadecimal: writer.token) + [46] + Bytes(decimal: UInt64(destination)) + [46]
            + Bytes(decimal: UInt64(stage))
    }

    /// Runs `body` as the one writer; refuses with ESTALE, naming the newer one, when that is somebody else by now.
    func whileWriter<Result>(_ body: () -> Result) throws(SystemFailure) -> Result {
        try checked(cagent_lock(lock))
        defer { unlock() }
        let current = try StagingPlace.generation(in: lock)
        guard let current, try status(lock).links > 0 else {
            throw SystemFailure(
                ESTALE, "another writer has taken over this destination and has ended since")
        }
        guard current.text == writer.line else {
            throw StagingPlace.superseded(writer.generation, by: current.number)
        }
        return body()
    }

    /// Whether the place is still there.
    var isIntact: Bool { ((try? status(lock))?.links ?? 0) > 0 }

    /// Removes the place, unless a newer writer has it.
    func remove() {
        _ = try? whileWriter {
            StagingPlace.clean(folder) { $0 != StagingPlace.lockName }
            StagingPlace.lockName.withCString { _ = cagent_remove(folder, $0, 0) }
            name.withCString { _ = cagent_remove(parent, $0, 1) }
        }
    }

    /// Whether a file can be renamed from here into `target`, tried out.
    func reaches(_ target: Int32) throws(SystemFailure) -> Bool {
        let trial = Bytes(".loopd-trial-") + Bytes(hexadecimal: writer.token)
        let file = try Descriptor(
            trial.withCString { cagent_open(folder, $0, CAGENT_WRITE | CAGENT_CREATE | CAGENT_NOFOLLOW, 0o600) })
        let renamed = trial.withCString { renameat(folder, $0, target, $0) }
        let failure = SystemFailure.last()
        trial.withCString { _ = cagent_remove(renamed == 0 ? target : folder, $0, 0) }
        _ = file.raw
        if renamed == 0 { return true }
        if failure.code == EXDEV { return false }
        throw failure
    }

    private func unlock() { cagent_unlock(lock) }

    private static func claim(
        _ name: Bytes, in parent: Int32, for writer: Writer
    ) throws(SystemFailure) -> (folder: Int32, lock: Int32, owner: UInt32) {
        // An owner that ends removes the folder under our feet: then there is a new one to make.
        for _ in 0..<100 {
            let made = name.withCString { mkdirat(parent, $0, 0o700) }
            guard made == 0 || cagent_errno() == EEXIST else { throw .last() }
            let flags = CAGENT_READ | CAGENT_DIRECTORY | CAGENT_NOFOLLOW
            guard let folder = try vanishing(name.withCString { cagent_open(parent, $0, flags, 0) }) else { continue }
            // Also of one just made: who may write to its parent can have put another one in its place.
            let owner = try status(folder.raw).uid
            guard owner == geteuid() || owner == maker(in: folder.raw, writer) else {
                throw SystemFailure(EACCES, "the staging folder belongs to another user")
            }
            let opened = lockName.withCString {
                cagent_open(folder.raw, $0, CAGENT_READWRITE | CAGENT_CREATE | CAGENT_NOFOLLOW, 0o600)
            }
            guard let lock = try vanishing(opened) else { continue }
            try checked(cagent_lock(lock.raw))
            guard try status(lock.raw).links > 0 else { continue }
            // A dead writer's number says nothing: its host's clock may have been ahead of ours.
            if let current = try generation(in: lock.raw), current.number > writer.generation,
                cagent_is_held(folder.raw) != 0
            {
                throw superseded(writer.generation, by: current.number)
            }
            _ = cagent_hold(folder.raw)
            try write(writer, to: lock.raw)
            let own = Bytes(hexadecimal: writer.token)
            clean(folder.raw) { $0 != lockName && !$0.hasPrefix(own) }
            cagent_unlock(lock.raw)
            return (folder.release(), lock.release(), owner)
        }
        throw SystemFailure(EBUSY, "the staging folder is removed again and again")
    }

    /// Whom the mount shows as the owner of what this process makes, where it maps users.
    private static func maker(in folder: Int32, _ writer: Writer) -> UInt32? {
        let trial = Bytes(hexadecimal: writer.token) + Bytes(".maker")
        let flags = CAGENT_WRITE | CAGENT_CREATE | CAGENT_EXCLUSIVE | CAGENT_NOFOLLOW
        let opened = trial.withCString { cagent_open(folder, $0, flags, 0o600) }
        guard let file = try? Descriptor(opened) else { return nil }
        trial.withCString { _ = cagent_remove(folder, $0, 0) }
        return (try? status(file.raw))?.uid
    }

    private static func vanishing(_ opened: Int32) throws(SystemFailure) -> Descriptor? {
        if opened < 0, cagent_errno() == ENOENT { return nil }
        return try Descriptor(opened)
    }

    private static func write(_ writer: Writer, to lock: Int32) throws(SystemFailure) {
        let line = writer.line
        let written = line.withUnsafeBytes { pwrite(lock, $0.baseAddress, $0.count, 0) }
        guard written == line.count else { throw SystemFailure(code: written < 0 ? cagent_errno() : ENOSPC) }
        try checked(ftruncate(lock, off_t(line.count)))
    }

    /// What the lock file says; `nil` when it is new.
    private static func generation(in lock: Int32) throws(SystemFailure) -> (number: UInt64, text: Bytes)? {
        var buffer = Bytes(repeating: 0, count: 64)
        let count = pread(lock, &buffer, buffer.count, 0)
        guard count >= 0 else { throw .last() }
        guard count > 0 else { return nil }
        var number: UInt64 = 0
        for byte in buffer[..<count] {
            guard byte >= 48, byte <= 57 else { break }
            number = number &* 10 &+ UInt64(byte - 48)
        }
        return (number, Array(buffer[..<count]))
    }

    private static func superseded(_ own: UInt64, by other: UInt64) -> SystemFailure {
        SystemFailure(
            code: ESTALE,
            reason: Bytes("generation ") + Bytes(decimal: other) + Bytes(" writes here now, this is generation ")
                + Bytes(decimal: own))
    }

    private static func clean(_ folder: Int32, _ doomed: (Bytes) -> Bool) {
        guard let names = FolderReader(folder) else { return }
        while let name = try? names.next() {
            if doomed(name) { name.withCString { _ = cagent_remove(folder, $0, 0) } }
        }
    }
}
