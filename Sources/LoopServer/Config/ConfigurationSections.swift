internal import JSON

/// The root of the file, `cluster` and `watch`.
extension ConfigurationReader {
    /// The whole file.
    ///
    /// What could not be read is at its default: the caller looks at the problems.
    mutating func configuration(_ root: Node) -> Configuration? {
        guard supportsVersion(root), let keys = section(root, .root) else { return nil }
        _ = string(keys["$schema"])
        let project = keys["project"] == nil ? projectFromFolder(root) : label(keys["project"])
        let cluster = keys["cluster"].flatMap { self.cluster($0) } ?? Cluster()
        let registry = keys["registry"].flatMap { self.registry($0) }
        let watch = keys["watch"].flatMap { self.watch($0) } ?? WatchSettings()
        self.builds(keys["builds"])
        let services = self.services(keys["services"], root: root)
        return Configuration(
            file: file, directory: directory, project: project ?? "", cluster: cluster, registry: registry,
            watch: watch, builds: builds, services: services, places: places)
    }

    /// A newer file may mean other things by the same keys, so that nothing else of it is looked at.
    private mutating func supportsVersion(_ root: Node) -> Bool {
        guard case .object(let members) = root.value.kind, let version = members.last(where: { $0.key == "version" })
        else { return true }
        let node = root.member("version", version.value)
        guard case .integer(let number) = version.value.kind, number > 0 else {
            error(node, "a whole number from 1 should be here")
            return true
        }
        guard number > Configuration.formatVersion else { return true }
        error(
            node, "version \(number) is newer than this loopd understands (\(Configuration.formatVersion))",
            hint: "install a newer loopd")
        return false
    }

    private mutating func projectFromFolder(_ root: Node) -> String? {
        let name = KubernetesName.label(from: String(directory.split(separator: "/").last ?? ""))
        guard !name.isEmpty else {
            error(root, "\"project\" is missing, and the folder's name cannot serve as one")
            return nil
        }
        return name
    }

    // MARK: cluster

    private mutating func cluster(_ node: Node) -> Cluster? {
        guard let keys = section(node, .cluster) else { return nil }
        var cluster = Cluster()
        let provider = choice(
            keys["provider"], Cluster.Provider.allCases.map(\.rawValue), later: ConfigurationKeys.laterProviders)
        cluster.context = string(keys["context"])
        cluster.namespace = label(keys["namespace"])
        cluster.kubeconfig = string(keys["kubeconfig"]).map { ProjectPath.anywhere($0, from: directory) }
        cluster.helperImage = string(keys["helperImage"])
        let namesCluster = keys["context"] != nil || keys["kubeconfig"] != nil
        cluster.provider =
            provider.flatMap(Cluster.Provider.init(rawValue:)) ?? (namesCluster ? .existing : .playground)
        if provider == Cluster.Provider.playground.rawValue {
            for key in ["context", "kubeconfig"] {
                guard let node = keys[key] else { continue }
                warning(node, "\"\(key)\" has no effect on the playground", hint: "\"provider\": \"existing\" uses it")
            }
        }
        if let allowed = strings(keys["allowContexts"]) {
            cluster.allowContexts = allowed.map(\.text)
            for (text, node) in allowed where text.allSatisfy({ $0 == "*" }) {
                warning(node, "every context is allowed, production too")
            }
        }
        return cluster
    }

    // MARK: watch

    private mutating func watch(_ node: Node) -> WatchSettings? {
        guard let keys = section(node, .watch) else { return nil }
        var watch = WatchSettings()
        watch.debounce = duration(keys["debounce"], in: .zero ... .seconds(10)) ?? watch.debounce
        watch.maxWait =
            duration(keys["maxWait"], in: .milliseconds(1) ... .seconds(60)) ?? max(watch.maxWait, watch.debounce)
        watch.poll = duration(keys["poll"], in: .milliseconds(100) ... .seconds(60))
        watch.ignore = strings(keys["ignore"])?.map(\.text) ?? []
        if let maxWait = keys["maxWait"], watch.maxWait < watch.debounce {
            error(maxWait, "shorter than \"debounce\" (\(DurationText.text(watch.debounce)))")
        }
        return watch
    }
}
