internal import Glibc

/// What a finished program printed, and how it ended.
public struct Output: Sendable {
    public let status: ExitStatus
    public let standardOutput: [UInt8]
    public let standardError: [UInt8]

    /// Standard output as text; bytes that are not UTF-8 are replaced.
    public var text: String { String(decoding: standardOutput, as: UTF8.self) }
    /// Standard error as text; bytes that are not UTF-8 are replaced.
    public var errorText: String { String(decoding: standardError, as: UTF8.self) }
}

extension Child {
    /// Runs a program to its end and collects at most `limit` bytes of each output; more is read and dropped.
    ///
    /// The launch's standard output and error become pipes. When the task is cancelled, the whole process group gets
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
            async let fed: Void = feed(input, to: child.standardInput)
            async let out = collect(child.standardOutput, limit: limit)
            async let err = collect(child.standardError, limit: limit)
            let status = await child.wait()
            let output = Output(status: status, standardOutput: await out, standardError: await err)
            await fed
            try Task.checkCancellation()
            return output
        } onCancel: {
            Task.detached { await child.terminate(grace: grace) }
        }
    }

    /// Ends the process group: SIGTERM, then SIGKILL after `grace`; returns when the process has ended.
    public func terminate(grace: Duration) async {
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
        while let chunk = try? await stream?.read(), !chunk.isEmpty {
            bytes += chunk.prefix(limit - bytes.count)
        }
        return bytes
    }
}
