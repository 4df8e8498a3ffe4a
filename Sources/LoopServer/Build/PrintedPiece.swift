internal import Reactor

/// A piece of what a program prints while it runs.
enum PrintedPiece: Sendable {
    /// A line for people, without its end.
    case line(String)
    /// Bytes of standard output that are the program's answer.
    case answer([UInt8])
}

extension Child {
    /// Hands on what a program prints, line by line, until it has ended; with `hasAnswer` only what it prints as errors is
    /// lines.
    ///
    /// What it left behind may hold its pipes for ever: after its end only what is in them counts.
    func print(hasAnswer: Bool, _ each: (PrintedPiece) -> Void) async {
        let (output, sink) = AsyncStream.makeStream(of: PrintedPiece.self, bufferingPolicy: .unbounded)
        let reading = Task {
            await withDiscardingTaskGroup { group in
                for (number, stream) in [standardOutput, standardError].enumerated() {
                    guard let stream else { continue }
                    group.addTask {
                        var splitter = LineSplitter()
                        await stream.drain { bytes in
                            if number == 0, hasAnswer { return _ = sink.yield(.answer(bytes)) }
                            for line in splitter.feed(bytes) { sink.yield(.line(line)) }
                        }
                        if let last = splitter.finish() { sink.yield(.line(last)) }
                    }
                }
            }
            sink.finish()
        }
        Task {
            _ = await wait()
            reading.cancel()
        }
        for await piece in output { each(piece) }
    }
}
