internal import Glibc
internal import Playground
internal import Reactor

/// The playground's process and its files, seen from outside.
///
/// Whoever runs the playground holds a lock on a file; so a playground that was killed is never taken for a running one,
/// and two can never run on the same state.
struct PlaygroundProcess: Sendable {
    /// The kubeconfig's context that leads to the playground.
    static let context = "loopd-playground"

    /// The folder of its state.
    let directory: String

    static func standard() -> PlaygroundProcess { PlaygroundProcess(directory: "\(StateDirectory.path())/playground") }

    var kubeconfig: String { "\(directory)/kubeconfig" }
    /// Where its images are pushed to, while it runs.
    var registry: String? { PlaygroundServer.registry(in: directory) }
    /// What pods cannot do in it, one line each.
    var notes: [String] { PlaygroundServer.notes(in: directory) }
    /// What it printed since it was started.
    var log: String { "\(directory).log" }
    private var lockFile: String { "\(directory).lock" }

    // MARK: Whether it runs

    /// Whether a process holds the playground.
    var isRunning: Bool { pid != nil }

    /// Waits while the process that holds the playground is starting; returns whether it answers then.
    func untilAnswers() async throws -> Bool {
        while let pid {
            if PlaygroundServer.process(in: directory) == pid { return true }
            try await Task.sleep(for: .milliseconds(20))
        }
        return false
    }

    /// The process that holds the playground, as the kernel names the lock's owner.
    var pid: Int32? {
        let raw = open(lockFile, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let file = OwnedDescriptor(raw)
        var lock = PlaygroundProcess.lock(F_WRLCK)
        guard fcntl(file.raw, F_GETLK, &lock) == 0, lock.l_type != F_UNLCK else { return nil }
        return lock.l_pid
    }

    /// Makes this process the one that holds the playground; `nil` when another one does.
    ///
    /// It holds it until the result goes away or the process ends. A lock of this kind also ends when the process closes
    /// any other descriptor of the file, so whoever holds it does not ask for `pid`.
    func hold() throws -> OwnedDescriptor? {
        while true {
            let raw = open(lockFile, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard raw >= 0 else { throw SystemError.last("open \(lockFile)") }
            let file = OwnedDescriptor(raw)
            var lock = PlaygroundProcess.lock(F_WRLCK)
            guard fcntl(file.raw, F_SETLK, &lock) == 0 else {
                guard errno == EAGAIN || errno == EACCES else { throw SystemError.last("lock \(lockFile)") }
                return nil
            }
            // Between open and lock, `down` may have removed this very file: a lock on it would hold nothing.
            if isLockFile(file.raw) { return file }
        }
    }

    private static func lock(_ type: Int32) -> flock {
        var lock = flock()
        lock.l_type = Int16(type)
        lock.l_whence = Int16(SEEK_SET)
        return lock
    }

    private func isLockFile(_ descriptor: Int32) -> Bool {
        var mine = stat()
        var there = stat()
        return fstat(descriptor, &mine) == 0 && stat(lockFile, &there) == 0 && mine.st_ino == there.st_ino
    }

    // MARK: Stopping

    /// Asks the process to end and waits until it has; one that takes longer than `grace` is killed.
    func stop(grace: Duration) async throws {
        guard let pid else { return }
        guard kill(pid, SIGTERM) == 0 || errno == ESRCH else { throw SystemError.last("stop process \(pid)") }
        let lockFile = lockFile
        await withTaskGroup { group in
            group.addTask {
                // The kernel drops the lock when the process ends, however it ends.
                _ = try? await offPool {
                    let raw = open(lockFile, O_RDONLY | O_CLOEXEC)
                    guard raw >= 0 else { return }
                    let file = OwnedDescriptor(raw)
                    var lock = PlaygroundProcess.lock(F_RDLCK)
                    while fcntl(file.raw, F_SETLKW, &lock) != 0, errno == EINTR {}
                }
                return true
            }
            group.addTask {
                try? await Task.sleep(for: grace)
                return false
            }
            // The wait for the lock cannot be cancelled, but the kill ends it.
            if await group.next() == false { kill(pid, SIGKILL) }
            group.cancelAll()
        }
    }

    /// Removes what belongs to no playground once it is gone.
    func removeFiles() {
        unlink(log)
        unlink(lockFile)
    }
}
