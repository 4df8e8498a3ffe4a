internal import JSON

/// `host` and `forward`.
extension ConfigurationReader {
    /// A command, or an object with more to say.
    mutating func host(_ node: Node?, root: String, name: String) -> Host? {
        guard let node else { return nil }
        guard case .object = node.value.kind else {
            return arguments(node).map { Host(command: $0, directory: root) }
        }
        guard let keys = section(node, .host) else { return nil }
        if keys["command"] == nil {
            error(node, "\"command\" is missing", hint: "\"command\": [\"program\", \"argument\"]")
        }
        let directory = keys["dir"].flatMap { node in
            string(node).flatMap { relative(node, $0, hint: "\"dir\" is relative to loop.json or the service's root") }
        }
        if let node = keys["dir"] { note(node) }
        var host = Host(
            command: keys["command"].flatMap { arguments($0) } ?? [],
            directory: ProjectPath.join(root, directory ?? ""))
        host.watch = patterns(keys["watch"])
        host.build = keys["build"].flatMap { self.build(of: $0, root: root, name: "\(name)/host") }
        if let node = keys["build"], keys["watch"] == nil, let build = host.build, !watches(build: build) {
            error(
                node, "\"watch\" is missing",
                hint: "what the build is made from: \"watch\": [\"src/**\"], here or at the build")
        }
        host.environment = variables(keys["env"])
        host.ports = elements(keys["ports"]).map { ports in ports.compactMap { port(pair: $0) } }
        checkPorts(host, keys["ports"])
        host.needs = strings(keys["needs"])?.compactMap { dependency($0.text, $0.node) } ?? []
        host.identity = choice(keys["identity"], of: Host.Identity.self) ?? host.identity
        host.replicas = choice(keys["replicas"], of: Host.Replicas.self) ?? host.replicas
        host.fallback = choice(keys["fallback"], of: Host.Fallback.self) ?? host.fallback
        host.patience = duration(keys["wait"], in: .zero ... .seconds(300)) ?? host.patience
        host.grace = duration(keys["grace"], in: .zero ... .seconds(300)) ?? host.grace
        host.debugCommand = keys["debug"].flatMap { arguments($0) }
        return host
    }

    /// What keeps a service from running on the host, beyond its section.
    mutating func checkHost(_ service: Service, _ keys: [String: Node]) {
        guard let node = keys["host"], service.host != nil else { return }
        switch service.target {
        case .selector:
            error(
                node, "\"host\" beside a \"selector\"",
                hint: "dev mode hands the pods' connections over, and it needs a \"workload\"")
        case .workload(let kind, _) where !kind.rollsOut:
            error(
                node,
                "connections of a \(kind == .job ? "Job" : "pod of its own") cannot be handed over: "
                    + "what it runs cannot be changed while it is there",
                hint: "a Deployment of the same pod template can")
        case .workload: break
        case nil:
            // One that only talks to the cluster is in no pod.
            guard service.host?.ports?.isEmpty == false else { break }
            error(
                node, "\"ports\" without a \"workload\"",
                hint: "the connections come from a workload's pods: for example \"workload\": "
                    + "\"deployment/\(service.name)\"")
        }
    }

    /// Pairs of ports as people write them: 8080, or "8080:80".
    mutating func forwards(_ node: Node?, of keys: [String: Node]) -> [Forward] {
        guard let node, let elements = elements(node) else { return [] }
        if keys["workload"] == nil, keys["selector"] == nil {
            error(node, "\"forward\" needs a \"workload\" or a \"selector\"", hint: "they say which pods it leads to")
        }
        var taken: Set<UInt16> = []
        return elements.compactMap { element in
            guard let forward = forward(element) else { return nil }
            guard forward.local == 0 || taken.insert(forward.local).inserted else {
                error(element, "port \(forward.local) is here twice")
                return nil
            }
            return forward
        }
    }

    private mutating func forward(_ node: Node) -> Forward? {
        if case .integer = node.value.kind { return port(node).map { Forward(local: $0, remote: $0) } }
        guard let text = string(node) else { return nil }
        do {
            return try Forward(parsing: text)
        } catch {
            self.error(node, error.message)
            return nil
        }
    }

    // MARK: Ports

    /// A port of both sides, or one for each.
    private mutating func port(pair node: Node) -> HostPort? {
        if case .string(let text) = node.value.kind, text.lowercased().hasSuffix("/udp") {
            error(
                node, "UDP is not carried: \"\(text)\"", hint: "only TCP connections can be handed over to this machine"
            )
            return nil
        }
        guard case .object = node.value.kind else {
            return port(node).map { HostPort(container: $0, host: $0) }
        }
        guard let keys = section(node, .port) else { return nil }
        for key in ["container", "host"] where keys[key] == nil {
            error(node, "\"\(key)\" is missing", hint: "{\"container\": 80, \"host\": 8080}")
        }
        guard let container = keys["container"].flatMap({ port($0) }), let host = keys["host"].flatMap({ port($0) })
        else { return nil }
        return HostPort(container: container, host: host)
    }

    private mutating func port(_ node: Node) -> UInt16? {
        guard case .integer(let number) = node.value.kind, let port = UInt16(exactly: number), port > 0 else {
            error(node, "a port should be here: a whole number from 1 to 65535")
            return nil
        }
        return port
    }

    private mutating func checkPorts(_ host: Host, _ node: Node?) {
        guard let node, let ports = host.ports else { return }
        for side in [ports.map(\.container), ports.map(\.host)] {
            let twice = side.enumerated().first { number, port in side[..<number].contains(port) }
            guard let twice else { continue }
            return error(node, "port \(twice.element) is here twice")
        }
    }

    private mutating func dependency(_ text: String, _ node: Node) -> Dependency? {
        do {
            return try Dependency(parsing: text)
        } catch {
            self.error(node, error.message)
            return nil
        }
    }

    private mutating func choice<Words: RawRepresentable<String> & CaseIterable>(
        _ node: Node?, of words: Words.Type
    ) -> Words? {
        choice(node, words.allCases.map(\.rawValue)).flatMap(Words.init(rawValue:))
    }
}
