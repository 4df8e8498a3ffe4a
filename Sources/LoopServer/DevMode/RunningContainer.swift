internal import JSON

/// What a service's containers tell about themselves while they run.
struct RunningContainer: Sendable {
    let pods: KubePods
    let programs: Programs

    /// The user, and if needed the entrypoint, of a running container of this image; `nil` where none tells it.
    ///
    /// - Parameters:
    ///   - target: the container in the workload's template, without dev mode.
    ///   - devArguments: what stands for its arguments in dev mode.
    func configuration(
        of target: JSON, workload: JSON, needsCommand: Bool, devArguments: [String]?
    ) async -> ImageConfiguration? {
        let (container, image) = (target["name"]?.string ?? "", target["image"]?.string ?? "")
        let arguments = (target["args"]?.array ?? []).compactMap(\.string)
        let scope = KubeClient.Scope(.pods, namespace: pods.namespace, labels: workload.selectorText)
        for pod in (try? await pods.client.list(scope))?.items ?? [] {
            let state = PodState(pod)
            guard let instance = state.instance(of: container),
                state.lastingContainers.contains(where: { $0.name == container && $0.image == image })
            else { continue }
            let user = RunningContainer.user(of: container, in: pod)
            guard needsCommand else {
                if let user { return ImageConfiguration(user: user) }
                continue
            }
            // Where pods share their processes, the first one is not the service's.
            guard pod.at("spec", "shareProcessNamespace")?.bool != true, pod.at("spec", "hostPID")?.bool != true,
                let words = await words(in: instance),
                let entrypoint = RunningContainer.entrypoint(of: words, arguments, devArguments: devArguments)
            else { continue }
            return ImageConfiguration(entrypoint: entrypoint, user: user ?? "")
        }
        return nil
    }

    /// What a first process was started with, without the arguments of its manifest; `nil` where they do not fit together.
    ///
    /// The arguments are taken from the manifest: here, values of Secrets stand in them for `$(NAME)`.
    static func entrypoint(of words: [String], _ arguments: [String], devArguments: [String]?) -> [String]? {
        let isInDevMode = words.starts(with: DevTemplate.supervise)
        let own = isInDevMode ? Array(words.dropFirst(DevTemplate.supervise.count)) : words
        let last = isInDevMode ? devArguments ?? arguments : arguments
        // Of an image that has a command of its own nobody knows where dev mode's arguments belong.
        if last.isEmpty, !isInDevMode, devArguments != nil { return nil }
        guard own.count > last.count,
            zip(own.suffix(last.count), last).allSatisfy({ $1.contains("$") || $0 == $1 })
        else { return nil }
        return Array(own.dropLast(last.count))
    }

    /// The number of the user that a container runs as, where the node tells it.
    static func user(of container: String, in pod: JSON) -> String? {
        let status = pod.at("status", "containerStatuses")?.array?.first { $0["name"]?.string == container }
        return status?.at("user", "linux", "uid")?.integer.map { "\($0)" }
    }

    private func words(in instance: ContainerInstance) async -> [String]? {
        if let words = await words(printedBy: ["cat", "/proc/1/cmdline"], in: instance) { return words }
        // A container without `cat` may still have `tar`, with which the helper gets in.
        guard let node = try? await pods.node(instance.node),
            let program = try? HelperProgram.load(architecture: node.nodePlatform.architecture, from: programs)
        else { return nil }
        let upload = HelperUpload(
            exec: pods, pod: instance.pod, container: instance.container, program: program, generation: 1)
        guard let helper = try? await upload.byTar(places: UploadScript.places(destinations: [])) else { return nil }
        let access = LinkAccess(helper.link, removesHelper: true, description: helper.path)
        let words = await words(printedBy: [helper.path, "cmdline", "1"], in: instance)
        await access.end()
        return words
    }

    private func words(printedBy command: [String], in instance: ContainerInstance) async -> [String]? {
        let printed: (code: Int32, output: String)? = try? await pods.run(
            command, pod: instance.pod, container: instance.container)
        return printed.flatMap { $0.code == 0 ? RunningContainer.words($0.output) : nil }
    }

    /// The arguments of a process as `/proc` has them: each ended by a zero byte.
    static func words(_ text: String) -> [String]? {
        let words = text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
        let whole = words.last == "" ? words.dropLast() : words[...]
        return whole.isEmpty || whole.first == "" ? nil : Array(whole)
    }
}
