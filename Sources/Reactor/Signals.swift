internal import CLinux
internal import Glibc

/// The process's own signals as an asynchronous sequence: the default action no longer happens.
///
/// Make it before anything can be lost, and at most once for each signal: a later one takes the signal over.
public struct Signals: Sendable {
    private let stream: Stream
    private let writeEnd: Int32

    /// Starts to catch `signals`.
    ///
    /// The handler writes one byte into a pipe; several pending equal signals may show as one.
    public init(_ signals: [Int32]) throws {
        var ends: [Int32] = [0, 0]
        guard clinux_pipe(&ends) == 0, clinux_set_nonblocking(ends[1]) == 0 else { throw SystemError.last("pipe") }
        stream = try Stream(OwnedDescriptor(ends[0]))
        writeEnd = ends[1]
        for signal in signals where clinux_signal_to(signal, writeEnd) != 0 {
            throw SystemError.last("sigaction \(signal)")
        }
    }

    /// The next signal's number.
    public func next() async throws -> Int32 {
        let byte = try await stream.read(upTo: 1)
        return Int32(byte.first ?? 0)
    }
}
