internal import Glibc

/// What a finished program printed, and how it ended.
public struct Output: Sendable {
    /// How it ended.
    public let status: ExitStatus
    /// What it printed, up to the limit.
    public let standardOutput: [UInt8]
    /// What it printed as errors, up to the limit.
    public let standardError: [UInt8]

    /// Standard output as text; bytes that are not UTF-8 are replaced.
    public var text: String { String(decoding: standardOutput, as: UTF8.self) }
    /// Standard error as text; bytes that are not UTF-8 are replaced.
    public var errorText: String { String(decoding: standardError, as: UTF8.self) }
}

extension Child {
    /// Runs a program to its end and collects at most `limit` bytes of each output; more is read and dropped.
    ///
    /// The launch's standard output and error become pipes. A standard input of `.pipe` without `input` stays open until the
    /// program ends, as programs want it that end with their parent. When the task is cancelled, the whole process group gets
    /// SIGTERM, then SIGKILL after `grace`, and `CancellationError` is thrown once the process has ended.
    public static func run(
        _ launch: Launch, input: [UInt8] = [], limit: Int = 16 << 20, grace: Duration = .seconds(2)
    ) async throws -> Output {
        var launch = launch
        launch.standardInput = input.isEmpty ? launch.standardInput : .pipe
        launch.standardOutput = .pipe
        launch.standardError = .pipe
        let child = try await spawn(launch)
        return try await withTaskCancellationHandler {
            let feeding = Task { if !input.isEmpty { await feed(input, to: child.standardInput) } }
            let out = Task { await collect(child.standardOutput, limit: limit) }
            let err = Task { await collect(child.standardError, limit: limit) }
            let status = await child.wait()
            // A process that the program left behind may hold the pipes open for ever: what is in them now is all.
            for collecting in [out, err] { collecting.cancel() }
            feeding.cancel()
            let output = Output(status: status, standardOutput: await out.value, standardError: await err.value)
            await feeding.value
            child.standardInput?.close()
            try Task.checkCancellation()
            return output
        } onCancel: {
            Task.detached { await child.terminate(grace: grace) }
        }
    }

    /// Ends the process group: SIGTERM, then SIGKILL after `grace`; returns when the process has ended.
    ///
    /// What is left of the group when its leader ends gets SIGKILL then.
    public func terminate(grace: Duration) async {
        endGroupWithLeader()
        signal(SIGTERM, toGroup: true)
        let deadline = Task {
            // The only wait by the clock here: how long the program may take to end by itself.
            try await Task.sleep(for: grace)
            signal(SIGKILL, toGroup: true)
        }
        _ = await wait()
        deadline.cancel()
    }

    private static func feed(_ input: [UInt8], to stream: Stream?) async {
        // A program may end without reading its input: that is its right, and shows in its exit code.
        try? await stream?.write(input)
        stream?.close()
    }

    private static func collect(_ stream: Stream?, limit: Int) async -> [UInt8] {
        var bytes: [UInt8] = []
        // Cancelled when the program has ended; what it wrote last is in the pipe then.
        await stream?.drain { bytes += $0.prefix(limit - bytes.count) }
        return bytes
    }
}
