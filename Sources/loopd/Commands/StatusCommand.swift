internal import LoopServer

/// `loopd status`: what the cluster holds now.
enum StatusCommand {
    static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        await ReportCommand.run(invocation, console) { await $0.status() }
    }
}
