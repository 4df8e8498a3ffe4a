internal import JSON
internal import LoopServer

/// `loopd restore`: workloads as they were before dev mode.
enum RestoreCommand {
    static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        let isAll = invocation.flags.contains(.all)
        if isAll, let name = invocation.arguments.first {
            console.complain("--all means every workload, not only \"\(name)\"", hint: "leave one of them out")
            return .usage
        }
        do throws(Target.Stop) {
            let target = try Target.load(invocation, console)
            if target.isPlayground, !target.playground.isRunning {
                let report = RestoreReport(
                    context: PlaygroundProcess.context, namespace: target.configuration.namespace,
                    unreachable: "the playground does not run; start it: loopd up")
                show(report, invocation, console)
                return .cluster
            }
            let (report, outcome) = await target.session(invocation).restore(all: isAll)
            show(report, invocation, console)
            return outcome
        } catch {
            return error.outcome
        }
    }

    private static func show(_ report: RestoreReport, _ invocation: Invocation, _ console: Console) {
        console.show(invocation.isJSON ? [report.json.pretty()] : report.lines)
    }
}
