internal import Glibc
internal import JSON

/// `dev`, and the steps that need it.
extension ConfigurationReader {
    /// `true`, or an object with what is different in dev mode.
    mutating func devMode(_ node: Node?) -> DevMode? {
        guard let node else { return nil }
        guard case .object = node.value.kind else { return bool(node) == true ? DevMode() : nil }
        guard let keys = section(node, .dev) else { return nil }
        var dev = DevMode()
        dev.command = keys["command"].flatMap { arguments($0) }
        dev.arguments = keys["args"].flatMap { words($0) }
        dev.environment = variables(keys["env"])
        dev.workingDirectory = keys["workingDir"].flatMap { destination($0) }
        return dev
    }

    /// Steps that only dev mode can take.
    mutating func checkRestarts(_ node: Node, _ rule: Rule, isInDevMode: Bool) {
        guard !isInDevMode, case .object(let members) = node.value.kind,
            let value = members.first(where: { $0.key == "then" })?.value
        else { return }
        let then = node.member("then", value)
        for case .restart(let restart) in rule.then where restart.needsDevMode {
            error(
                then, "\"restart\" of a process needs dev mode",
                hint: "\"dev\": true at the service lets loopd's helper start it; \"restart\": \"pod\" works without")
            return
        }
    }

    /// Two services that would both change one workload.
    mutating func checkDevMode(_ services: [Service], _ members: [(key: String, node: Node)]) {
        for (number, service) in services.enumerated() where service.dev != nil && service.target != nil {
            guard let other = services[..<number].first(where: { $0.dev != nil && $0.target == service.target }),
                let node = members.first(where: { $0.key == service.name })?.node
            else { continue }
            error(
                node, "services \"\(other.name)\" and \"\(service.name)\" both have one workload in dev mode",
                hint: "a workload has one container in dev mode: leave \"dev\" to one of them")
        }
    }

    /// `process`, `pod`, or `signal:` and the name of one.
    mutating func restart(_ node: Node) -> Restart? {
        guard let text = string(node) else { return nil }
        switch text {
        case "process": return .process
        case "pod": return .pod
        default: break
        }
        let hint = "\"process\", \"pod\", or a signal: \"signal:HUP\""
        guard text.hasPrefix("signal:") else {
            let near = NearestName.of(text, among: ["process", "pod"])
            error(node, "unknown value \"\(text)\"", hint: near.map { "did you mean \"\($0)\"?" } ?? hint)
            return nil
        }
        var name = String(text.dropFirst("signal:".count)).uppercased()
        if name.hasPrefix("SIG") { name = String(name.dropFirst(3)) }
        guard let number = ConfigurationReader.signals[name] else {
            let near = NearestName.of(name, among: ConfigurationReader.signals.keys.sorted())
            error(
                node, "there is no signal \"\(name)\" to send",
                hint: near.map { "did you mean \"signal:\($0)\"?" }
                    ?? "one of: \(ConfigurationReader.signals.keys.sorted().joined(separator: ", "))")
            return nil
        }
        return .signal(number)
    }

    /// Signals that programs take as a request; to stop one is what `process` does.
    private static let signals = [SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGWINCH]
        .reduce(into: [String: Int32]()) { $0[SignalName.of($1)] = $1 }

    /// Strings of which any may be empty.
    mutating func words(_ node: Node) -> [String]? {
        guard let elements = elements(node) else { return nil }
        return elements.compactMap { element in
            if case .string("") = element.value.kind { return "" }
            return string(element)
        }
    }
}
