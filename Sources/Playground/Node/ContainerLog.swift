internal import Glibc
internal import Reactor
internal import Synchronization

/// One run's output on disk, in the format of the container runtime interface: `<time> stdout F <line>`.
///
/// The containers write into named pipes that the playground reads. They hold both ends of them, so a playground that dies
/// costs them neither SIGPIPE nor output: what they write meanwhile waits in the pipe (up to 1 MiB, then they wait), and the
/// next playground reads on. So lines have true times, which raw files could not give, and no pump process is needed.
final class ContainerLog: Sendable {
    enum Source: String, Sendable { case stdout, stderr }

    private struct State {
        var descriptor: Int32
        var size: Int
        /// Counts rotations; followers reopen the file when it changes.
        var generation = 0
        var hasEnded = false
        var waiters: [Int: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter = 0
    }

    let path: String
    private let limit: Int
    private let state: Mutex<State>

    /// Opens or continues a log; one that grows over `limit` bytes is put aside as `<path>.1`, replacing an older one.
    init(_ path: String, limit: Int = 16 << 20) throws(SystemError) {
        try Disk.makeDirectory(Disk.parent(of: path))
        let raw = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        guard raw >= 0 else { throw .last("open \(path)") }
        self.path = path
        self.limit = limit
        state = Mutex(State(descriptor: raw, size: Int(lseek(raw, 0, SEEK_END))))
    }

    deinit { end() }

    /// Appends whole records.
    func append(_ records: [UInt8]) {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard !state.hasEnded else { return [] }
            if state.size > limit { rotate(&state) }
            // A full disk loses output, as it does on a real node; the container goes on.
            try? Disk.write(records, to: state.descriptor, named: path)
            state.size = Int(lseek(state.descriptor, 0, SEEK_END))
            return ContainerLog.takeWaiters(&state)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// No more output will come: followers come to an end.
    func end() {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            guard !state.hasEnded else { return [] }
            state.hasEnded = true
            close(state.descriptor)
            return ContainerLog.takeWaiters(&state)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Waits until there is more than `offset` bytes of this `generation`, or a newer one, or the end.
    ///
    /// Returns the present generation, and whether more may come.
    func change(after offset: Int, of generation: Int) async -> (generation: Int, mayGrow: Bool) {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isDone = state.withLock { state in
                    let isNews = state.hasEnded || state.size > offset || state.generation != generation
                    if isNews || Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if isDone { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
        return state.withLock { ($0.generation, !$0.hasEnded) }
    }

    var generation: Int { state.withLock { $0.generation } }

    private static func takeWaiters(_ state: inout State) -> [CheckedContinuation<Void, Never>] {
        defer { state.waiters = [:] }
        return Array(state.waiters.values)
    }

    private func rotate(_ state: inout State) {
        guard rename(path, path + ".1") == 0 else { return }
        let raw = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        guard raw >= 0 else { return }
        close(state.descriptor)
        state.descriptor = raw
        state.size = 0
        state.generation += 1
    }
}

/// Turns a stream of bytes into log records.
struct LogFormatter {
    let source: ContainerLog.Source
    private var pending: [UInt8] = []
    /// Longer lines become several records, marked as partial.
    static let longest = 16384

    init(source: ContainerLog.Source) { self.source = source }

    /// The records of all lines that are complete with these bytes.
    mutating func records(of bytes: [UInt8], at time: Timestamp) -> [UInt8] {
        var out: [UInt8] = []
        let head = "\(time.precise) \(source.rawValue) "
        var rest = bytes[...]
        while let newline = rest.firstIndex(of: 0x0A) {
            pending += rest[..<newline]
            rest = rest[(newline + 1)...]
            flush(into: &out, head, ends: true)
        }
        pending += rest
        while pending.count > LogFormatter.longest {
            out += "\(head)P ".utf8 + pending.prefix(LogFormatter.longest) + [0x0A]
            pending.removeFirst(LogFormatter.longest)
        }
        return out
    }

    /// The record of a last line without an end.
    mutating func remainder(at time: Timestamp) -> [UInt8] {
        var out: [UInt8] = []
        if !pending.isEmpty { flush(into: &out, "\(time.precise) \(source.rawValue) ", ends: false) }
        return out
    }

    private mutating func flush(into out: inout [UInt8], _ head: String, ends: Bool) {
        var rest = pending[...]
        while rest.count > LogFormatter.longest {
            out += "\(head)P ".utf8 + rest.prefix(LogFormatter.longest) + [0x0A]
            rest = rest.dropFirst(LogFormatter.longest)
        }
        out += "\(head)\(ends ? "F" : "P") ".utf8 + rest + [0x0A]
        pending = []
    }
}
