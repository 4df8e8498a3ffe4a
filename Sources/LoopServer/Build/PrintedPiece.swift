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
                        while let bytes = try? await stream.read(), !bytes.isEmpty {
                            if number == 0, hasAnswer {
                                sink.yield(.answer(bytes))
                            } else {
                                for line in splitter.feed(bytes) { sink.yield(.line(line)) }
                            }
                        }
                        if let rest = splitter.finish() { sink.yield(.line(rest)) }
                    }
                }
            }
            sink.finish()
        }
        let ending = Task {
            _ = await wait()
            // A moment for what is still in the pipes; a program that was left behind may hold them open.
            try? await Task.sleep(for: .milliseconds(200))
            reading.cancel()
        }
        for await piece in output { each(piece) }
        ending.cancel()
    }
}
