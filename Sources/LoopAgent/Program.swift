import CAgent

/// A program that runs for the host.
final class Program {
    let stream: UInt32
    let pid: pid_t
    var window = FlowWindow.Sender()
    private(set) var standardOutput: Int32
    private(set) var standardError: Int32
    private var exit: ProgramExit?

    init(_ request: Exec, on stream: UInt32) throws(SystemFailure) {
        guard !request.arguments.isEmpty else {
            throw SystemFailure(EINVAL, "no program")
        }
        let null = try Descriptor(cagent_open(-1, "/dev/null", CAGENT_READ, 0))
        let output = try Pipe()
        let error = try Pipe()
        let arguments = CStrings(request.arguments)
        let environment = CStrings(Program.environment(with: request.environment))
        pid = request.directory.withCString {
            cagent_spawn(arguments.pointers, environment.pointers, $0, [null.raw, output.write.raw, error.write.raw])
        }
        guard pid > 0 else { throw .last() }
        self.stream = stream
        standardOutput = output.takeReader()
        standardError = error.takeReader()
    }

    deinit {
        if standardOutput >= 0 { close(standardOutput) }
        if standardError >= 0 { close(standardError) }
    }

    /// The pipes to wait for; none while the host takes no more.
    var readable: (output: Int32, error: Int32) {
        window.credit > 0 ? (standardOutput, standardError) : (-1, -1)
    }

    func ended(_ code: Int32) { exit = code < 0 ? .signal(-code) : .code(code) }

    /// Passes on what was printed, as far as the window goes.
    ///
    /// Returns false when the program is over and all is said.
    ///
    /// After its end only what is in the pipes counts: a grandchild may hold them open for ever.
    func advance(_ output: inout OutputQueue, _ buffer: inout Bytes) -> Bool {
        let first = pump(&standardOutput, .standardOutput, &output, &buffer)
        let second = pump(&standardError, .standardError, &output, &buffer)
        guard let exit, first, second else { return true }
        output.send(.exited(exit), on: stream)
        return false
    }

    func signal(_ number: Int32) {
        // Once reaped, its number may be anyone's.
        if exit == nil { kill(-pid, number) }
    }

    /// Returns whether the pipe is empty or at its end.
    private func pump(
        _ pipe: inout Int32, _ channel: ProgramOutput.Channel, _ output: inout OutputQueue, _ buffer: inout Bytes
    ) -> Bool {
        while pipe >= 0 {
            if output.isFull { return false }
            let allowed = window.take(min(buffer.count, 16 << 10))
            if allowed == 0 { return false }
            let count = read(pipe, &buffer, allowed)
            let code = cagent_errno()
            window.giveBack(allowed - max(0, count))
            if count > 0 {
                output.send(.output(ProgramOutput(channel: channel, bytes: Array(buffer[..<count]))), on: stream)
            } else if count == 0 || (code != EAGAIN && code != EINTR) {
                close(pipe)
                pipe = -1
            } else if code == EAGAIN {
                return true
            }
        }
        return true
    }

    /// The helper's own environment with these `NAME=value` in place of its own.
    private static func environment(with additions: [Bytes]) -> [Bytes] {
        var all = additions
        guard var next = cagent_environment() else { return all }
        while let pointer = next.pointee {
            let entry = Bytes(cString: pointer)
            if let equals = entry.firstIndex(of: UInt8(ascii: "=")) {
                let name = Array(entry[...equals])
                if !additions.contains(where: { $0.hasPrefix(name) }) { all.append(entry) }
            }
            next += 1
        }
        return all
    }
}

private struct Pipe: ~Copyable {
    var read: Descriptor
    let write: Descriptor

    init() throws(SystemFailure) {
        var ends: [Int32] = [-1, -1]
        try checked(cagent_pipe(&ends))
        _ = cagent_set_nonblocking(ends[0])
        read = Descriptor(opened: ends[0])
        write = Descriptor(opened: ends[1])
    }

    /// Gives the reading end away and closes the other one.
    consuming func takeReader() -> Int32 { read.release() }
}

/// A null-terminated array of C strings.
private struct CStrings: ~Copyable {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [Bytes]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() {
            (pointers + index).initialize(to: string.withCString { strdup($0) })
        }
        (pointers + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}
