internal import Glibc
internal import Wire

/// What a program in a container says.
enum ExecOutput: Sendable, Equatable {
    case standardOutput([UInt8])
    case standardError([UInt8])
    /// The program has ended, or was never started; nothing follows.
    case ended(ExecEnd)
}

/// How a program in a container ended.
struct ExecEnd: Error, Sendable, Equatable, CustomStringConvertible {
    enum Kind: Sendable, Equatable {
        case exited(Int32)
        /// The container has no such program.
        case programMissing
        /// The container cannot be entered: it is gone, waits, or was never there.
        case containerUnavailable
        /// The connection ended without a word about the program.
        case disconnected
        /// The API refuses exec in this namespace.
        case forbidden
    }

    let kind: Kind
    /// What the cluster said, in one line.
    let message: String

    var description: String { message }
}

/// A running exec session.
protocol ExecStream: Sendable {
    /// Writes to the program's standard input. One task at a time.
    func write(_ bytes: [UInt8]) async throws
    /// The next output. One task at a time.
    func read() async throws -> ExecOutput
    /// Drops the connection.
    func close()
}

/// Starts programs in containers.
protocol ContainerExec: Sendable {
    /// Starts a program with standard input, output and error. A program that cannot be started may show here as an
    /// `ExecEnd`, or as the stream's first output.
    func start(_ command: [String], pod: String, container: String) async throws -> any ExecStream
}

extension ContainerExec {
    /// Runs a program to its end without input; `output` gets what it prints.
    ///
    /// Throws `ExecEnd` when it cannot be started.
    func run(
        _ command: [String], pod: String, container: String, output: (ProgramOutput) -> Void
    ) async throws -> ProgramExit {
        let stream = try await start(command, pod: pod, container: container)
        defer { stream.close() }
        while true {
            switch try await stream.read() {
            case .standardOutput(let bytes): output(ProgramOutput(channel: .standardOutput, bytes: bytes))
            case .standardError(let bytes): output(ProgramOutput(channel: .standardError, bytes: bytes))
            case .ended(let end):
                if end.kind == .disconnected { throw LinkError.disconnected(end.message) }
                guard case .exited(let code) = end.kind else {
                    let code = end.kind == .programMissing ? ENOENT : EACCES
                    throw LinkError.refused(
                        Failure(.exec, code: code, path: [], uid: 0, text: Array(end.message.utf8)))
                }
                return .code(code)
            }
        }
    }

    /// Runs a program to its end without input and returns its exit code and what it printed, at most 64 KiB.
    func run(_ command: [String], pod: String, container: String) async throws -> (code: Int32, output: String) {
        var printed: [UInt8] = []
        let exit = try await run(command, pod: pod, container: container) { output in
            guard output.channel == .standardOutput else { return }
            printed += output.bytes.prefix((64 << 10) - printed.count)
        }
        guard case .code(let code) = exit else { return (-1, "") }
        return (code, String(decoding: printed, as: UTF8.self))
    }
}

/// A helper at the other end of an exec session.
final class ExecChannel: HelperChannel {
    private let stream: any ExecStream

    init(_ stream: any ExecStream) {
        self.stream = stream
    }

    func send(_ bytes: [UInt8]) async throws { try await stream.write(bytes) }

    func receive() async throws -> [UInt8] {
        var complaint: [UInt8] = []
        while true {
            switch try await stream.read() {
            case .standardOutput(let bytes) where bytes.isEmpty: continue
            case .standardOutput(let bytes): return bytes
            // The helper speaks frames only; what a person should read comes here, just before it ends.
            case .standardError(let bytes): complaint += bytes.prefix(4096 - complaint.count)
            case .ended(let end):
                let text =
                    String(decoding: complaint, as: UTF8.self).split(separator: "\n").first.map { ": \($0)" } ?? ""
                throw LinkError.disconnected(end.message + text)
            }
        }
    }

    func close() { stream.close() }
}
