internal import CLinux
internal import Glibc
internal import JSON
internal import Reactor

/// Terminals of processes in containers: runc makes them and hands their other end over a socket.
enum Terminal {
    static func resize(_ descriptor: Int32, columns: UInt16, rows: UInt16) {
        _ = clinux_set_window_size(descriptor, columns, rows)
    }

    /// Receives the terminal's end from runc.
    static func receive(on listener: Listener) async throws -> Stream {
        let connection = try await listener.accept()
        defer { connection.close() }
        while true {
            let (raw, failure) = try connection.withDescriptor { socket in
                let raw = clinux_receive_descriptor(socket)
                return (raw, raw < 0 ? errno : 0)
            }
            if raw >= 0 { return try Stream(OwnedDescriptor(raw)) }
            guard failure == EAGAIN else { throw SystemError(code: failure, attempt: "receive a terminal from runc") }
            try await connection.untilReadable()
        }
    }
}

extension Runc {
    /// Starts a further process in a running container on a terminal of its own, which is its input and its output.
    func execOnTerminal(_ id: String, process: JSON) async throws -> ExecProcess {
        // Short, and not in the container's folder: a socket's path has 107 bytes at most.
        let path = "\(layout.root)/tty-\(Identifier.random(bytes: 4))"
        let listener = try Listener(.unix(path: path))
        defer { listener.close() }
        async let received = Terminal.receive(on: listener)
        do {
            let started = try await exec(id, process: process, input: .null, consoleSocket: path)
            let terminal = try await received
            return ExecProcess(
                process: started.process, standardInput: terminal, standardOutput: terminal, standardError: nil)
        } catch {
            // Nothing will connect any more: let the waiting end before this scope does.
            listener.close()
            throw error
        }
    }
}
