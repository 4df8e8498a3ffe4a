internal import JSON
internal import LoopServer

/// `loopd status`: what the cluster holds now.
enum StatusCommand {
    static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        do throws(Target.Stop) {
            let target = try Target.load(invocation, console)
            if target.isPlayground, !target.playground.isRunning {
                let report = StatusReport(
                    context: PlaygroundProcess.context, namespace: target.configuration.namespace,
                    unreachable: "the playground does not run; start it: loopd up")
                show(report, invocation, console)
                return .cluster
            }
            let (report, outcome) = await target.session(invocation).status()
            show(report, invocation, console)
            return outcome
        } catch {
            return error.outcome
        }
    }

    private static func show(_ report: StatusReport, _ invocation: Invocation, _ console: Console) {
        console.show(invocation.isJSON ? [report.json.pretty()] : report.lines)
    }
}
