internal import JSON
internal import LoopServer

/// What `loopd status` and `loopd restore` share: one look at a cluster, shown as text or JSON.
enum ReportCommand {
    static func run<Report: ClusterReport>(
        _ invocation: Invocation, _ console: Console, _ body: (Session) async -> (Report, Outcome)
    ) async -> Outcome {
        do throws(Target.Stop) {
            let target = try Target.load(invocation, console)
            let report: Report
            var outcome = Outcome.cluster
            if target.isPlayground, !target.playground.isRunning {
                report = Report(
                    context: PlaygroundProcess.context, namespace: target.configuration.namespace,
                    unreachable: "the playground does not run; start it: loopd up")
            } else {
                (report, outcome) = await body(target.session(invocation))
            }
            console.show(invocation.isJSON ? [report.json.pretty()] : report.lines)
            return outcome
        } catch {
            return error.outcome
        }
    }
}
