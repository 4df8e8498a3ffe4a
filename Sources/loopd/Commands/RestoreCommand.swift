internal import LoopServer

/// `loopd restore`: workloads as they were before dev mode.
enum RestoreCommand {
    static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        let isAll = invocation.flags.contains(.all)
        if isAll, let name = invocation.arguments.first {
            console.complain("--all means every workload, not only \"\(name)\"", hint: "leave one of them out")
            return .usage
        }
        return await ReportCommand.run(invocation, console) { await $0.restore(all: isAll) }
    }
}
