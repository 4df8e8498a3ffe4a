internal import Wire

extension HelperLink {
    /// Runs a program beside the helper and returns how it ended; `output` gets what it prints as it prints it.
    ///
    /// When the task is cancelled, the program's group gets SIGKILL.
    func run(_ request: Exec, output: (ProgramOutput) -> Void) async throws -> ProgramExit {
        let stream = try begin(.exec(request))
        defer { finish(stream) }
        var window = FlowWindow.Receiver()
        do {
            while true {
                switch try await stream.next() {
                case .output(let printed):
                    try window.receive(printed.bytes.count)
                    output(printed)
                    if let grant = window.consume(printed.bytes.count) { send(.window(grant), on: stream) }
                case .exited(let exit): return exit
                case let other: throw unexpected(other)
                }
            }
        } catch is CancellationError {
            send(.signal(9), on: stream)
            throw CancellationError()
        }
    }
}
