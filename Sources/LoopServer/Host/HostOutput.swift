internal import Glibc
internal import Reactor

/// What a program on this machine prints, line by line.
enum HostOutput {
    /// Hands on both outputs until they end, or the task is cancelled: then what is in the pipes now is the rest.
    ///
    /// Nothing is read before the lines before it are taken, so that a program that prints faster has to wait.
    @concurrent
    static func follow(_ child: Child, _ each: @escaping @Sendable (String) -> Void) async {
        await withDiscardingTaskGroup { group in
            for stream in [child.standardOutput, child.standardError] {
                group.addTask { if let stream { await follow(stream, each) } }
            }
        }
    }

    private static func follow(_ stream: Stream, _ each: (String) -> Void) async {
        var splitter = LineSplitter()
        await stream.drain(upTo: chunk) { bytes in
            for line in splitter.feed(bytes) { each(line.hasSuffix("\r") ? String(line.dropLast()) : line) }
        }
        if let last = splitter.finish() { each(last) }
        stream.close()
    }

    private static let chunk = 32 << 10
}
