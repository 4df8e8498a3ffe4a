internal import Glibc
internal import JSON
internal import LoopServer

/// `loopd env`: the variables that lead `kubectl` to the same cluster, and docker to the same images.
enum EnvCommand {
    private struct Place {
        var kubeconfig: String?
        var context: String?
        var namespace: String?
        var registry: String?
    }

    static func run(_ invocation: Invocation, _ console: Console) -> Outcome {
        do throws(Target.Stop) {
            let place = try place(invocation, console)
            let engine = ContainerEngine.found()
            let named = [
                ("KUBECONFIG", place.kubeconfig), ("LOOPD_CONTEXT", place.context),
                ("LOOPD_NAMESPACE", place.namespace), ("LOOPD_REGISTRY", place.registry),
                // Only where docker would not come there by itself.
                ("LOOPD_ENGINE", engine?.program.rawValue), ("DOCKER_HOST", engine?.dockerHost),
            ]
            let variables = named.compactMap { name, value in value.map { (name, $0) } }
            if invocation.isJSON {
                var object = JSONObject()
                for (name, value) in variables { object[name] = .string(value) }
                console.show(JSON.object(object).pretty())
            } else {
                console.show(variables.map { "export \($0)=\(quoted($1))" })
            }
            return .done
        } catch {
            return error.outcome
        }
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

    /// One word for a POSIX shell, whatever is in it.
    static func quoted(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || "/._-:0123456789".utf8.contains(byte)
            }
        if isPlain { return text }
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
