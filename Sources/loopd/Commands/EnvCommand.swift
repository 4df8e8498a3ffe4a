internal import Glibc
internal import LoopServer

/// `loopd env`: the variables that lead `kubectl` to the same cluster, and docker to the same images; with a service,
/// those of its container.
enum EnvCommand {
    private struct Place {
        var kubeconfig: String?
        var context: String?
        var namespace: String?
        var registry: String?
    }

    static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        do throws(Target.Stop) {
            let variables: [(String, String)]
            if invocation.arguments.isEmpty {
                variables = ofCluster(try place(invocation, console))
            } else {
                variables = try await ofService(invocation, console)
            }
            let format = invocation.values[.output].flatMap(VariableFormat.init(rawValue:)) ?? .shell
            console.show(format.lines(variables))
            let left = format.leftOut(variables)
            if !left.isEmpty { console.complain("no shell can export \(left.joined(separator: ", ")): left out") }
            return .done
        } catch {
            return error.outcome
        }
    }

    private static func ofCluster(_ place: Place) -> [(String, String)] {
        let engine = ContainerEngine.found()
        let named = [
            ("KUBECONFIG", place.kubeconfig), ("LOOPD_CONTEXT", place.context),
            ("LOOPD_NAMESPACE", place.namespace), ("LOOPD_REGISTRY", place.registry),
            // Only where docker would not come there by itself.
            ("LOOPD_ENGINE", engine?.program.rawValue), ("DOCKER_HOST", engine?.dockerHost),
        ]
        return named.compactMap { name, value in value.map { (name, $0) } }
    }

    /// The variables of the service's container; what is left out is told on standard error.
    private static func ofService(
        _ invocation: Invocation, _ console: Console
    ) async throws(Target.Stop) -> [(String, String)] {
        let target = try Target.load(invocation, console)
        if target.isPlayground, !target.playground.isRunning {
            console.complain("the playground does not run", hint: "start it: loopd up")
            throw Target.Stop(outcome: .cluster)
        }
        let (report, outcome) = await target.session(invocation).environment()
        console.complain(report.notices.map { "loopd: \($0)" })
        if let failure = report.failure { console.complain(failure.summary, hint: failure.nextStep) }
        guard outcome == .done else { throw Target.Stop(outcome: outcome) }
        return report.variables
    }

    private static func place(_ invocation: Invocation, _ console: Console) throws(Target.Stop) -> Place {
        var place: Place
        let playground = PlaygroundProcess.standard()
        var isPlayground: Bool
        if invocation.values[.file] != nil || access(Configuration.defaultFile, F_OK) == 0 {
            let target = try Target.load(invocation, console)
            let cluster = target.configuration.cluster
            isPlayground = target.isPlayground
            place = Place(
                kubeconfig: cluster.kubeconfig, context: cluster.context, namespace: target.configuration.namespace)
        } else {
            let given = try Target.overrides(invocation, console)
            isPlayground = given.context == nil && given.kubeconfig == nil
            place = Place(
                kubeconfig: isPlayground ? playground.kubeconfig : given.kubeconfig,
                context: isPlayground ? PlaygroundProcess.context : given.context, namespace: given.namespace)
        }
        if isPlayground, !playground.isRunning {
            console.complain("the playground does not run", hint: "start it: loopd up")
            throw Target.Stop(outcome: .cluster)
        }
        if isPlayground { place.registry = playground.registry }
        return place
    }
}
