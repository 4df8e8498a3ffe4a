internal import Glibc
internal import Reactor

/// What is typed on a terminal, line by line.
///
/// One task may read at a time. In the background nothing is read: what is typed there is the shell's.
final class TerminalInput: Sendable {
    private let stream: Stream

    /// The terminal of an open descriptor; `nil` where that is none, or cannot be opened again.
    init?(_ descriptor: Int32) {
        guard isatty(descriptor) == 1 else { return nil }
        // An open file of its own: not to wait is a property of the open file, and that one the shell has too. Under
        // another user's name only the second path may be opened.
        for path in ["/proc/self/fd/\(descriptor)", "/dev/tty"] {
            let raw = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC)
            guard raw >= 0, let stream = try? Stream(OwnedDescriptor(raw)) else { continue }
            self.stream = stream
            return
        }
        return nil
    }

    /// Hands what is typed to a program, until its end is typed (Ctrl-D), the program does not want more, or the task
    /// is cancelled.
    @concurrent
    func feed(_ program: Stream) async {
        do {
            while let bytes = try await next() {
                guard !bytes.isEmpty else { break }
                try await program.write(bytes)
            }
        } catch is CancellationError {
            return
        } catch {
            // The program has closed its input, or the terminal is gone.
        }
        program.close()
    }

    /// The next line, or part of one; empty for Ctrl-D, `nil` when the terminal is gone.
    private func next() async throws -> [UInt8]? {
        while true {
            try Task.checkCancellation()
            var bytes = [UInt8](repeating: 0, count: 4096)
            let (count, failure) = try stream.withDescriptor { TerminalInput.read($0, into: &bytes) }
            if count > 0 { return Array(bytes[..<count]) }
            if count == 0 { return stream.isHungUp ? nil : [] }
            switch failure {
            case EINTR: continue
            case EAGAIN: try await stream.untilReadable()
            case EIO where !stream.isHungUp:
                // In the background. Nobody tells when that changes.
                try await Task.sleep(for: .seconds(1))
            default: throw SystemError(code: failure, attempt: "read the terminal")
            }
        }
    }

    private static func read(_ terminal: Int32, into bytes: inout [UInt8]) -> (count: Int, failure: Int32) {
        var (stop, before) = (sigset_t(), sigset_t())
        sigemptyset(&stop)
        sigaddset(&stop, SIGTTIN)
        // A read in the background stops the whole process, unless the thread blocks the signal: then it fails with
        // EIO.
        pthread_sigmask(SIG_BLOCK, &stop, &before)
        let count = Glibc.read(terminal, &bytes, bytes.count)
        let failure = count < 0 ? errno : 0
        pthread_sigmask(SIG_SETMASK, &before, nil)
        return (count, failure)
    }
}
