import CAgent

/// A container's liveness or startup probe: the original check, but it passes while loopd keeps the service from answering.
struct Probe {
    enum Check {
        case exec(UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>)
        case http(port: UInt16, path: Bytes)
        case tcp(port: UInt16)
    }

    var state: Bytes = []
    /// How long after a restart in place the service need not answer yet, as after the start of a container.
    var allowance: Int64 = 0
    var timeout: Int64 = 1000
    var host = Bytes("127.0.0.1")
    /// Whether the probe names no host, and so means the pod.
    var isOwnHost = true
    var headers: [Bytes] = []
    var check = Check.tcp(port: 0)

    /// Probes once; returns the exit code, or `nil` when the command line makes no sense.
    static func probe(_ arguments: inout Arguments) -> Int32? {
        guard let probe = Probe(&arguments) else { return nil }
        cagent_ignore_signal(SIGPIPE)
        let start = cagent_now()
        // Half of the time is the check's own.
        if probe.isExcused(until: start + probe.timeout / 2) { return 0 }
        if case .exec(let command) = probe.check {
            cagent_execute(command)
            let code = cagent_errno()
            let failure = StartFailure.explain(code, command.pointee.map { Bytes(cString: $0) } ?? [])
            complain(failure.text)
            return failure.code == ENOENT ? 127 : 126
        }
        do throws(ProbeFailure) {
            try probe.connect(until: start + probe.timeout)
            return 0
        } catch {
            complain(error.line)
            return 1
        }
    }

    private init?(_ arguments: inout Arguments) {
        guard let folder = arguments.takeState() else { return nil }
        state = folder
        while true {
            if arguments.take("--initial-delay") || arguments.take("--startup") {
                guard let seconds = arguments.number() else { return nil }
                allowance = max(allowance, Int64(seconds) * 1000)
            } else if arguments.take("--timeout") {
                guard let seconds = arguments.number(), seconds > 0 else { return nil }
                timeout = Int64(seconds) * 1000
            } else {
                break
            }
        }
        if arguments.take("exec") {
            guard arguments.take("--"), !arguments.isEmpty else { return nil }
            check = .exec(arguments.pointers)
            return
        }
        let isHTTP = arguments.take("http")
        guard isHTTP || arguments.take("tcp"), let port = arguments.number(upTo: 65535), port > 0 else { return nil }
        check = .tcp(port: UInt16(port))
        if isHTTP {
            guard let path = arguments.next() else { return nil }
            check = .http(port: UInt16(port), path: path.first == UInt8(ascii: "/") ? path : Bytes("/") + path)
        }
        while !arguments.isEmpty {
            if arguments.take("--host"), let address = arguments.next() {
                host = address
                isOwnHost = false
            } else if isHTTP, arguments.take("--header"), let header = arguments.next(),
                header.contains(UInt8(ascii: ":")), !header.contains(10), !header.contains(13)
            {
                headers.append(header)
            } else {
                return nil
            }
        }
    }

    /// Whether the service need not answer: loopd has it down, restarts it, or a debugger has it stand still.
    private func isExcused(until deadline: Int64) -> Bool {
        switch serviceState(until: deadline) {
        case nil: return false
        case .starting, .stopping, .ended, .held: return true
        case .running(let number, let starts):
            let pid = pid_t(truncatingIfNeeded: number)
            guard let process = ProcessStatus(pid) else { return false }
            if starts > 1, process.age < allowance { return true }
            return process.isHalted || ProcessStatus.isHalted(anyOf: pid)
        }
    }

    /// What the supervisor says, if it does in time.
    private func serviceState(until deadline: Int64) -> ServiceState? {
        guard let supervisor = try? FrameSocket(to: state) else { return nil }
        supervisor.send(.service(.state), on: 1)
        var buffer = Bytes(repeating: 0, count: 256)
        while (try? supervisor.flush()) != nil {
            var watched = supervisor.watched
            guard wait(&watched, until: deadline), let frames = try? supervisor.receive(&buffer) else { return nil }
            for frame in frames {
                if case .serviceState(let state) = frame.message { return state }
            }
        }
        return nil
    }
}

/// Waits for a descriptor; false when the time is over.
func wait(_ watched: inout pollfd, until deadline: Int64) -> Bool {
    while true {
        let left = deadline - cagent_now()
        if left <= 0 { return false }
        if poll(&watched, 1, Int32(min(left, 3_600_000))) > 0 { return true }
    }
}
