import CAgent

/// The container's service: a main process that leads a process group, started again and again.
struct ServiceProcess {
    /// How long what is left of a killed group may take to be gone; only a process that the kernel cannot end takes that.
    private static let patience: Int64 = 5000

    private let arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    /// The working directory, by name, so that a folder put in its place counts.
    private let directory: Bytes
    /// The main process; 0 while there is none.
    private(set) var pid: pid_t = 0
    /// How many programs were started.
    private(set) var starts: UInt32 = 0
    /// Tells whether the program could be executed; -1 when that is known.
    private(set) var report: Int32 = -1
    private(set) var isStopping = false
    /// When the group is killed.
    private var killTime: Int64?
    /// The group of the main process that has ended, while some of it may be left, and until when that counts.
    private var remains: (group: pid_t, deadline: Int64)?

    init(_ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) {
        self.arguments = arguments
        var buffer = [CChar](repeating: 0, count: 4096)
        directory = getcwd(&buffer, buffer.count).map { Bytes(cString: $0) } ?? Bytes(".")
    }

    /// What was asked to run.
    var name: Bytes { arguments.pointee.map { Bytes(cString: $0) } ?? [] }
    /// Whether there is a main process, executed or not.
    var isThere: Bool { pid > 0 }
    var isStarting: Bool { report >= 0 }
    /// Whether nothing of the program before is left.
    var isClear: Bool { remains == nil }

    /// How long nothing has to be done, if nothing happens.
    var timeout: Int64 {
        let next = min(killTime ?? .max, remains?.deadline ?? .max)
        return next == .max ? .max : max(0, next - cagent_now())
    }

    /// Starts a program; `outcome` tells when it is executed.
    mutating func start() throws(SystemFailure) {
        starts += 1
        isStopping = false
        killTime = nil
        let started = directory.withCString { cagent_start(arguments, $0, &report) }
        guard started > 0 else { throw .last() }
        pid = started
    }

    /// Takes the news of whether the program was executed, once; `nil` when there are none yet.
    mutating func outcome() -> Result<pid_t, SystemFailure>? {
        guard report >= 0 else { return nil }
        var code: Int32 = 0
        let count = read(report, &code, MemoryLayout.size(ofValue: code))
        guard count >= 0 else { return nil }
        close(report)
        report = -1
        guard count > 0 else { return .success(pid) }
        // It ends by itself and is reaped like any other child.
        pid = 0
        return .failure(StartFailure.explain(code, name))
    }

    /// Asks the main process to end; the group is killed after the grace, or when the main process has ended.
    mutating func stop(grace: Int64) {
        guard isThere else { return }
        killTime = min(killTime ?? .max, cagent_now() + grace)
        guard !isStopping else { return }
        isStopping = true
        cagent_ask(pid, SIGTERM)
    }

    /// From now on it may take as long as it wants to end.
    mutating func letEnd() { killTime = nil }

    /// Sends the main process a signal; false when there is none.
    func signal(_ number: Int32) -> Bool { isThere && kill(pid, number) == 0 }

    /// Kills the group when its time has come.
    mutating func keepTime() {
        let now = cagent_now()
        if let killTime, killTime <= now {
            self.killTime = nil
            // Itself, too: it may have joined another group.
            if isThere {
                kill(-pid, SIGKILL)
                kill(pid, SIGKILL)
            }
        }
        if let remains, remains.deadline <= now { self.remains = nil }
    }

    /// Reaps every child that has ended, orphans included; `exit` is how the main process did.
    ///
    /// Not complete while it is unknown whether a main process that has ended was executed at all: `report` tells now.
    mutating func reap() -> (exit: ProgramExit?, isComplete: Bool) {
        var exit: ProgramExit?
        while true {
            let ended = cagent_ended_child()
            guard ended > 0 else { break }
            if ended == pid, isStarting { return (nil, false) }
            // The dead leader still holds the group's number.
            if ended == pid { kill(-pid, SIGKILL) }
            var code: Int32 = 0
            _ = cagent_reap(ended, &code)
            guard ended == pid else { continue }
            exit = code < 0 ? .signal(-code) : .code(code)
            remains = (pid, cagent_now() + ServiceProcess.patience)
            pid = 0
            killTime = nil
        }
        // Dying members, and those whose parents have not reaped them yet, still hold the group's number.
        if let remains, kill(-remains.group, 0) < 0, cagent_errno() == ESRCH { self.remains = nil }
        return (exit, true)
    }
}
