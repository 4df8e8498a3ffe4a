internal import Glibc
internal import LoopServer

/// The loop.json and the cluster that a command works on, with the command line's choices applied.
struct Target {
    var configuration: Configuration
    let playground: PlaygroundProcess

    /// Reads what the command line names; problems are shown, and the outcome is thrown as the exit code.
    static func load(_ invocation: Invocation, _ console: Console) throws(Stop) -> Target {
        let (loaded, problems) = Configuration.load(path: invocation.values[.file] ?? Configuration.defaultFile)
        console.complain(problems.map { ProblemText.line($0, usesColour: false) })
        guard let loaded else { throw Stop(outcome: .usage) }
        let overrides = try overrides(invocation, console)
        var target = Target(configuration: loaded.overridden(by: overrides), playground: PlaygroundProcess.standard())
        target.leadToPlayground()
        // What was deployed may be of a service that has left the file.
        let named = target.hosts(invocation)
        if invocation.command != .undeploy { try target.checkServices(invocation.services + named.services, console) }
        do {
            target.configuration = try target.configuration.hosting(named, running: target.running(invocation))
        } catch {
            console.complain(error.message, hint: error.hint)
            throw Stop(outcome: .usage)
        }
        return target
    }

    /// Why a command ends early; whatever it is was shown.
    struct Stop: Error {
        let outcome: Outcome
    }

    var isPlayground: Bool { configuration.cluster.provider == .playground }

    private mutating func leadToPlayground() {
        guard isPlayground else { return }
        configuration.cluster.kubeconfig = playground.kubeconfig
        configuration.cluster.context = PlaygroundProcess.context
        // The file may allow other contexts only, but it did choose the playground by name.
        configuration.cluster.allowContexts.append(PlaygroundProcess.context)
    }

    static func overrides(_ invocation: Invocation, _ console: Console) throws(Stop) -> Overrides {
        var overrides = Overrides()
        overrides.context = invocation.values[.context]
        overrides.kubeconfig = invocation.values[.kubeconfig].map(StateDirectory.absolute)
        overrides.namespace = invocation.values[.namespace]
        if let namespace = overrides.namespace, !Configuration.isNamespace(namespace) {
            console.complain("--namespace: \"\(namespace)\" is not a name that Kubernetes accepts")
            throw Stop(outcome: .usage)
        }
        return overrides
    }

    /// The services that the command is about; none is all of them.
    private func running(_ invocation: Invocation) -> [String] {
        let named = invocation.services
        return named.isEmpty ? [] : named + hosts(invocation).services.filter { !named.contains($0) }
    }

    /// The services that run on this machine.
    private func hosts(_ invocation: Invocation) -> HostChoice {
        var choice = HostChoice()
        choice.services =
            invocation.command == .run
            ? invocation.arguments : invocation.values[.host]?.split(separator: ",").map(String.init) ?? []
        choice.endsWithProgram = invocation.command == .run
        choice.command = invocation.program ?? []
        choice.replicas = invocation.values[.replica].flatMap(Host.Replicas.init(rawValue:))
        choice.fallback = invocation.values[.fallback].flatMap(Host.Fallback.init(rawValue:))
        choice.debug = invocation.flags.contains(.debug)
        // Of several programs nobody would know which one is meant.
        choice.takesInput = choice.services.count == 1 && isatty(STDIN_FILENO) == 1
        return choice
    }

    private func checkServices(_ names: [String], _ console: Console) throws(Stop) {
        let known = configuration.services.map(\.name)
        for name in names where !known.contains(name) {
            let near = NearestName.of(name, among: known)
            console.complain(
                "\(configuration.file) has no service \"\(name)\"",
                hint: near.map { "did you mean \"\($0)\"?" } ?? "services: \(known.joined(separator: ", "))")
            throw Stop(outcome: .usage)
        }
    }

    /// The session for this target.
    func session(_ invocation: Invocation) -> Session {
        // What a loop keeps about the playground's pods goes with the playground.
        let state = isPlayground ? "\(playground.directory)/sessions" : StateDirectory.path()
        // What cannot be made is missed where something is to be remembered.
        try? StateDirectory.create(state)
        var options = Session.Options(stateDirectory: state, programs: Programs.find())
        options.registry = isPlayground ? playground.registry : nil
        options.services = running(invocation)
        options.host = hosts(invocation)
        options.deploy = !invocation.flags.contains(.noDeploy)
        options.cleanup = invocation.flags.contains(.cleanup)
        options.takeOver = invocation.flags.contains(.takeOver)
        return Session(configuration, options: options)
    }
}
