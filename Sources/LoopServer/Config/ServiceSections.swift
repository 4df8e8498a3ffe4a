internal import JSON

/// `services` with their rules.
extension ConfigurationReader {
    mutating func services(_ node: Node?, root: Node) -> [Service] {
        guard let node else {
            error(root, "\"services\" is missing", hint: "name at least one service")
            return []
        }
        guard let members = members(node) else { return [] }
        if members.isEmpty { error(node, "no service is named") }
        var services: [Service] = []
        var dependencies: [String: [(text: String, node: Node)]] = [:]
        for (name, node) in members {
            if !KubernetesName.isLabel(name) {
                error(node, "\"\(name)\" is not a DNS label: lower-case letters, digits and -, at most 63")
            }
            guard let keys = section(node, .service) else { continue }
            dependencies[name] = strings(keys["dependsOn"])
            services.append(service(name, node, keys))
        }
        checkDependencies(dependencies, among: members.map(\.key))
        checkDestinations()
        checkImages(of: services)
        checkDevMode(services, members)
        return services
    }

    private mutating func service(_ name: String, _ node: Node, _ keys: [String: Node]) -> Service {
        let root = path(keys["root"]).map { ProjectPath.join(directory, $0) } ?? directory
        if let node = keys["root"] { note(node) }
        var service = Service(name: name, root: root, target: target(keys))
        service.container = label(keys["container"])
        service.dev = devMode(keys["dev"])
        service.host = host(keys["host"], root: root, name: name)
        service.forwards = forwards(keys["forward"], of: keys)
        checkHost(service, keys)
        service.recreate = bool(keys["recreate"]) ?? false
        service.dependsOn = strings(keys["dependsOn"])?.map(\.text) ?? []
        for manifest in elements(keys["manifests"]) ?? [] {
            guard let path = path(manifest) else { continue }
            note(manifest)
            service.manifests.append(ProjectPath.join(root, path))
        }
        // A "dev" that cannot be read was reported: that its steps miss it is no second problem.
        let isInDevMode = keys["dev"].map { $0.value.kind != .bool(false) } ?? false
        for (number, rule) in (elements(keys["rules"]) ?? []).enumerated() {
            guard let read = self.rule(rule, root: root, name: "\(name)/rules[\(number)]") else { continue }
            if read.deployment != nil, service.rules.contains(where: { $0.deployment != nil }) {
                error(
                    rule, "a second \"deploy\" in one service",
                    hint: "make a service of its own of it: what has left the manifests is known service by service")
            }
            checkOrder(rule, read, after: service.rules)
            service.rules.append(read)
            if let sync = read.sync { claim(sync, in: rule, by: service) }
            checkRestarts(rule, read, isInDevMode: isInDevMode)
        }
        let hasTarget = keys["workload"] != nil || keys["selector"] != nil
        // Rules that could not be read were reported; whether they concern pods nobody knows.
        let rules = elements(keys["rules"]).map { $0.count == service.rules.count ? service.rules : [] }
        let needsPods = rules.map { $0.isEmpty || $0.contains(where: \.needsTarget) } ?? false
        if let node = keys["dev"], service.dev != nil, keys["workload"] == nil {
            error(
                node, "\"dev\" needs a \"workload\"",
                hint: "dev mode changes a workload's pod template while watch runs, and a selector has none")
        }
        if let node = keys["dev"], service.dev != nil, case .workload(let kind, _) = service.target, !kind.rollsOut {
            error(
                node,
                "a \(kind == .job ? "Job" : "pod of its own") cannot be in dev mode: "
                    + "what it runs cannot be changed while it is there",
                hint: "files are synced into it without; a Deployment of the same pod template can be in dev mode")
        }
        if !hasTarget, needsPods {
            error(
                node, "a service with rules needs a \"workload\" or a \"selector\"",
                hint: "for example \"workload\": \"deployment/\(name)\"")
        } else if !hasTarget, keys["manifests"] == nil, keys["rules"] == nil, keys["host"] == nil {
            error(
                node, "the service has nothing to do",
                hint: "give it a \"workload\" with \"rules\", \"manifests\", or a \"host\"")
        }
        return service
    }

    /// A path inside the project.
    private mutating func path(_ node: Node?) -> String? {
        guard let node, let text = string(node) else { return nil }
        return relative(node, text, hint: "paths are relative to loop.json or the service's root")
    }

    /// A relative text in one spelling, or its problem.
    mutating func relative(_ node: Node, _ text: String, hint: String) -> String? {
        switch ProjectPath.relative(text) {
        case .success(let path): return path
        case .failure(.absolute): error(node, "\"\(text)\" is not relative", hint: hint)
        case .failure(.escapes):
            error(node, "\"\(text)\" leads out with ..", hint: "what loopd reads stays inside the project")
        }
        return nil
    }

    // MARK: Which pods

    private mutating func target(_ keys: [String: Node]) -> Target? {
        let workload = keys["workload"].flatMap { self.workload($0) }
        let selector = keys["selector"].flatMap { self.selector($0) }
        if keys["workload"] != nil, let node = keys["selector"] {
            error(node, "a service has a \"workload\" or a \"selector\", not both")
        }
        return workload ?? selector
    }

    private mutating func workload(_ node: Node) -> Target? {
        guard let text = string(node) else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let example = "kind/name, for example \"deployment/web\""
        guard parts.count == 2 else {
            let isName = parts.count == 1 && KubernetesName.isSubdomain(text)
            error(node, "\"\(text)\" names no kind", hint: isName ? "\"deployment/\(text)\"?" : example)
            return nil
        }
        let kinds: [String: WorkloadKind] = [
            "deployment": .deployment, "deployments": .deployment, "deploy": .deployment,
            "statefulset": .statefulset, "statefulsets": .statefulset, "sts": .statefulset,
            "daemonset": .daemonset, "daemonsets": .daemonset, "ds": .daemonset,
            "job": .job, "jobs": .job, "pod": .pod, "pods": .pod, "po": .pod,
        ]
        guard let kind = kinds[parts[0].lowercased()] else {
            switch parts[0].lowercased() {
            case "cronjob", "cronjobs", "cj":
                error(
                    node, "a CronJob makes a Job at each of its times: there is no pod to work with in between",
                    hint: "\"selector\" takes the pods of its Jobs by label; or make a Job of it, "
                        + "`kubectl create job --from=cronjob/\(parts[1]) \(parts[1])-dev`, and name \"job/\(parts[1])-dev\""
                )
            default:
                let near = NearestName.of(parts[0], among: WorkloadKind.allCases.map(\.rawValue))
                error(
                    node, "\"\(parts[0])\" is not a kind that loopd syncs into",
                    hint: near.map { "did you mean \"\($0)/\(parts[1])\"?" }
                        ?? "one of: \(WorkloadKind.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            return nil
        }
        guard KubernetesName.isSubdomain(parts[1]) else {
            error(node, "\"\(parts[1])\" is not a name that Kubernetes accepts", hint: example)
            return nil
        }
        return .workload(kind, name: parts[1])
    }

    /// A selector as the API writes it, or as an object of labels.
    private mutating func selector(_ node: Node) -> Target? {
        if case .object = node.value.kind {
            guard let labels = members(node) else { return nil }
            var terms: [String] = []
            for (key, value) in labels {
                guard case .string(let text) = value.value.kind else {
                    error(value, "a string should be here, not \(value.value.kindName)")
                    continue
                }
                guard KubernetesName.isLabelKey(key), KubernetesName.isLabelValue(text) else {
                    error(value, "\(key)=\(text) is not a label")
                    continue
                }
                terms.append("\(key)=\(text)")
            }
            if labels.isEmpty { error(node, "an empty selector would take every pod") }
            return terms.isEmpty ? nil : .selector(terms.sorted().joined(separator: ","))
        }
        guard let text = string(node) else { return nil }
        guard let selector = LabelSelector.parse(text) else {
            error(node, "\"\(text)\" is not a label selector", hint: "for example \"app=web\" or {\"app\": \"web\"}")
            return nil
        }
        return .selector(selector)
    }

    // MARK: What depends on what

    private mutating func checkDependencies(
        _ dependencies: [String: [(text: String, node: Node)]], among names: [String]
    ) {
        for (service, needed) in dependencies {
            for (name, node) in needed {
                if name == service {
                    error(node, "a service cannot depend on itself")
                } else if !names.contains(name) {
                    let near = NearestName.of(name, among: names)
                    error(
                        node, "there is no service \"\(name)\"",
                        hint: near.map { "did you mean \"\($0)\"?" } ?? "services: \(names.joined(separator: ", "))")
                } else if let cycle = cycle(from: name, backTo: service, dependencies) {
                    error(node, "a circle: \(service) → \(cycle.joined(separator: " → "))")
                }
            }
        }
    }

    /// The way from one service back to another along dependencies.
    private func cycle(
        from start: String, backTo end: String, _ dependencies: [String: [(text: String, node: Node)]]
    ) -> [String]? {
        var seen: Set<String> = [start]
        var ways = [[start]]
        while let way = ways.popLast() {
            guard let last = way.last else { continue }
            if last == end { return way }
            for (next, _) in dependencies[last] ?? [] where seen.insert(next).inserted { ways.append(way + [next]) }
        }
        return nil
    }
}
