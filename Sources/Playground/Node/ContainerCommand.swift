internal import Glibc
internal import JSON
internal import Reactor

/// Runs a command in a container to its end: probes and lifecycle hooks.
enum ContainerCommand {
    struct Outcome: Sendable {
        let exit: ContainerExit
        let output: String
    }

    /// How much of a command's output is kept, as the kubelet has it.
    private static let outputLimit = 10 << 10

    /// The command's exit and its output; killed, and `nil`, after `timeout` or when the task is cancelled.
    static func run(
        _ arguments: [String], in run: ContainerRun, _ runc: Runc, timeout: Duration
    ) async throws -> Outcome? {
        var process = run.template
        process["args"] = .array(arguments.map { .string($0) })
        process["terminal"] = false
        let started = try await runc.exec(run.id, process: process, input: .null)
        return await withTaskGroup(of: Void.self) { group in
            group.addTask {
                if (try? await Task.sleep(for: timeout)) != nil { started.process.signal(SIGKILL) }
            }
            async let out = collect(started.standardOutput)
            async let err = collect(started.standardError)
            let exit = await started.process.exit()
            let hasTimedOut = exit == .signalled(SIGKILL)
            if exit == nil { started.process.signal(SIGKILL) }
            group.cancelAll()
            // What it said may still be in the pipe; but a child of the command may hold its output open for ever.
            let patience = Task {
                try? await Task.sleep(for: .milliseconds(100))
                started.standardOutput?.close()
                started.standardError?.close()
            }
            let output = await out + err
            patience.cancel()
            await patience.value
            guard let exit, !hasTimedOut else { return nil }
            return Outcome(exit: exit, output: String(decoding: output, as: UTF8.self))
        }
    }

    private static func collect(_ stream: Stream?) async -> [UInt8] {
        var bytes: [UInt8] = []
        while let chunk = try? await stream?.read(upTo: 4096), !chunk.isEmpty {
            bytes += chunk.prefix(outputLimit - bytes.count)
        }
        return bytes
    }
}
