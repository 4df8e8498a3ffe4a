internal import Glibc
internal import Synchronization

/// The two outputs of the program.
///
/// Lines are written whole, from any task.
final class Console: Sendable {
    /// Whether colours are wanted on standard output.
    let usesColour: Bool
    /// Whether standard output is a terminal on which a line can be replaced.
    private let replacesLines: Bool
    private let transient = Mutex(false)

    init(noColour: Bool) {
        let isTerminal = isatty(STDOUT_FILENO) == 1
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false
        let isRefused = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
        replacesLines = isTerminal && !isDumb
        usesColour = isTerminal && !noColour && !isDumb && !isRefused
    }

    /// Writes lines to standard output.
    func show(_ lines: [String]) {
        guard !lines.isEmpty else { return }
        transient.withLock { isPending in
            write((isPending ? Console.clearLine : "") + lines.joined(separator: "\n") + "\n", to: STDOUT_FILENO)
            isPending = false
        }
    }

    func show(_ line: String) { show([line]) }

    /// Shows a line that the next one replaces; nothing where nobody looks.
    func showTransient(_ line: String) {
        guard replacesLines else { return }
        transient.withLock { isPending in
            // Cut by the terminal at its present width: of a line that wraps only the last part could be replaced.
            write("\(Console.clearLine)\u{1B}[?7l\(line)\u{1B}[?7h", to: STDOUT_FILENO)
            isPending = true
        }
    }

    /// Writes a question to standard error, behind which the answer is typed.
    func prompt(_ question: String) {
        transient.withLock { isPending in
            if isPending { write(Console.clearLine, to: STDOUT_FILENO) }
            isPending = false
            write(question, to: STDERR_FILENO)
        }
    }

    /// Writes lines to standard error.
    func complain(_ lines: [String]) {
        guard !lines.isEmpty else { return }
        transient.withLock { isPending in
            if isPending { write(Console.clearLine, to: STDOUT_FILENO) }
            isPending = false
            write(lines.joined(separator: "\n") + "\n", to: STDERR_FILENO)
        }
    }

    /// Writes one problem to standard error, with what to do about it.
    func complain(_ message: String, hint: String? = nil) {
        complain(["loopd: \(message)"] + (hint.map { ["  → \($0)"] } ?? []))
    }

    private static let clearLine = "\r\u{1B}[K"

    private func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        var offset = 0
        while offset < bytes.count {
            let sent = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: offset), $0.count - offset)
            }
            if sent > 0 { offset += sent }
            guard sent <= 0, errno != EINTR else { continue }
            if sent < 0, errno == EAGAIN {
                // The terminal is shared with a program that made it non-blocking.
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&ready, 1, -1)
                continue
            }
            // Nobody reads any more (`loopd watch | head`): end as for Ctrl-C, so that everything is cleaned up.
            if errno == EPIPE { kill(getpid(), SIGTERM) }
            return
        }
    }
}
