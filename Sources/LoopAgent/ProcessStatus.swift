import CAgent

/// What `/proc` says of a process.
struct ProcessStatus {
    /// One letter, such as `R` for running and `T` for stopped.
    let state: UInt8
    let group: pid_t
    private let started: UInt64

    init?(_ pid: pid_t) {
        self.init(named: Bytes(decimal: UInt64(pid)))
    }

    private init?(named name: Bytes) {
        guard let text = ProcessStatus.read(name, "stat", limit: 1024),
            // The name, in parentheses, may hold anything.
            let end = text.lastIndex(of: UInt8(ascii: ")")), end + 2 < text.count
        else { return nil }
        // Counted from the state, which is the third of them.
        let fields = text[(end + 2)...].split(separator: 32, maxSplits: 20)
        guard fields.count > 19, let state = fields[0].first, let group = UInt64(decimal: Array(fields[2])),
            let started = UInt64(decimal: Array(fields[19]))
        else { return nil }
        self.state = state
        self.group = pid_t(truncatingIfNeeded: group)
        self.started = started
    }

    /// Whether it stands still: stopped, or at a debugger's breakpoint.
    var isHalted: Bool { state == UInt8(ascii: "T") || state == UInt8(ascii: "t") }

    /// Milliseconds since it was started.
    var age: Int64 { cagent_since_ticks(started) }

    /// Whether any process of a group stands still.
    static func isHalted(anyOf group: pid_t) -> Bool {
        guard let processes = FolderReader(opened: cagent_open(-1, "/proc", CAGENT_READ | CAGENT_DIRECTORY, 0)) else {
            return false
        }
        while let name = try? processes.next() {
            guard let first = name.first, first >= 48, first <= 57 else { continue }
            if let status = ProcessStatus(named: name), status.group == group, status.isHalted { return true }
        }
        return false
    }

    /// Prints a process's arguments, each ended by a zero byte; returns the exit code.
    static func printArguments(_ arguments: inout Arguments) -> Int32? {
        let name = arguments.isEmpty ? Bytes("1") : arguments.next() ?? []
        guard UInt64(decimal: name) != nil, arguments.isEmpty else { return nil }
        guard let text = read(name, "cmdline", limit: 4 << 20) else {
            complain(Bytes("process ") + name + Bytes(": ") + SystemFailure.last().text)
            return 1
        }
        guard (try? writeAll(1, text, count: text.count)) != nil else { return 1 }
        return 0
    }

    /// What is in `/proc/NAME/FILE`, about as far as `limit`.
    static func read(_ name: Bytes, _ file: StaticString, limit: Int) -> Bytes? {
        let path = Bytes("/proc/") + name + Bytes("/") + Bytes(file)
        guard let file = try? Descriptor(path.withCString { cagent_open(-1, $0, CAGENT_READ, 0) }) else { return nil }
        var text: Bytes = []
        var buffer = Bytes(repeating: 0, count: 1024)
        while text.count < limit {
            let count = CAgent.read(file.raw, &buffer, buffer.count)
            guard count >= 0 else { return nil }
            if count == 0 { break }
            text += buffer[..<count]
        }
        return text
    }
}
