internal import JSON
internal import Reactor

/// Gathers what a service's dev mode depends on: the nodes' architecture, the helper for it, and what the image says.
struct DevInputs: Sendable {
    let service: Service
    let dev: DevMode
    let plan: ServicePlan
    let pods: KubePods
    let programs: Programs
    /// Where the nodes find images whose name has no registry.
    var registry: String?
    /// The names of the registry that loopd pushes to.
    var names: @Sendable () async -> RegistryNames? = { nil }
    /// The images that its variables may name.
    var images: @Sendable () async -> ManifestImages = { ManifestImages() }
    /// What an image that this session has built says, by its reference.
    var built: @Sendable (String) async -> ImageConfiguration? = { _ in nil }

    /// What dev mode of a workload needs, and the program that its pods mount.
    ///
    /// - Parameters:
    ///   - base: the workload, or its manifest, as it is without dev mode.
    ///   - isRunning: whether there may be containers of it to look at.
    func gather(for base: JSON, isRunning: Bool) async throws -> (DevTemplate.Inputs, HelperProgram) {
        let architecture = try await architecture(of: base)
        let program: HelperProgram
        do {
            program = try HelperProgram.load(architecture: architecture, from: programs)
        } catch let error as SystemError {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "dev mode: loopd's helper cannot be read: \(error)", nextStep: "install loopd again"))
        }
        var inputs = DevTemplate.Inputs(
            container: service.container, dev: try await imaged(), destinations: plan.destinations.map(\.path),
            rootFiles: rootFiles,
            program: ProgramConfigMap.name(of: program))
        let template = base.at("spec", "template") ?? .null
        guard let target = DevTemplate.target(of: template, service.container), let image = target["image"]?.string
        else {
            return (inputs, program)
        }
        let isNeeded = DevTemplate.needsImage(template, inputs)
        let decidesUser = SeededVolumes.canWriteImage(
            target, pod: template["spec"] ?? .null, image: ImageConfiguration(user: "unknown"))
        guard isNeeded || !decidesUser else { return (inputs, program) }
        inputs.image = await built(image)
        if inputs.image == nil {
            let lookup = ImageLookup(
                leash: pods.leash, architecture: architecture, registry: registry, names: await names())
            inputs.image = await lookup.configuration(of: image, isNeeded: isNeeded)
        }
        if inputs.image == nil, isRunning {
            let running = RunningContainer(pods: pods, programs: programs)
            inputs.image = await running.configuration(
                of: target, workload: base, needsCommand: isNeeded, devArguments: dev.arguments)
            inputs.commandIsSeen = isNeeded && inputs.image != nil
        }
        return (inputs, program)
    }

    /// The section with the images that its variables name.
    private func imaged() async throws -> DevMode {
        let known = await images()
        var result = dev
        for (name, text) in dev.environment {
            let replaced = try known.expanded(text, in: "dev.env.\(name) of \(service.name)")
            guard replaced.missing.isEmpty else {
                let names = replaced.missing.sorted().joined(separator: ", ")
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "dev mode: \"\(name)\" names the image \(names), which has not been built yet",
                        nextStep: "start loopd again when it can be built"))
            }
            result.environment[name] = replaced.value
        }
        return result
    }

    /// Whether a variable names one of these images.
    func names(_ images: Set<String>) -> Bool {
        dev.environment.values.contains { text in images.contains { text.contains("${image:\($0)}") } }
    }

    /// The files that go directly into `/`; `nil` where a rule syncs whatever it finds there.
    private var rootFiles: [String]? {
        if service.rules.contains(where: { $0.sync?.to == "/" }) { return nil }
        return plan.outputs.filter { plan.destinations[$0.place.destination].path == "/" }.map { "/\($0.place.path)" }
    }

    /// The architecture of the nodes that run its pods, or would.
    private func architecture(of workload: JSON) async throws -> String {
        let selector = workload.at("spec", "template", "spec", "nodeSelector")
        if let chosen = selector?["kubernetes.io/arch"]?.string { return chosen }
        let all: [JSON]
        do {
            all = try await pods.client.list(.init(.nodes)).items
        } catch let error as KubeError where error.isForbidden || error.isNotFound {
            // Who may use one namespace only cannot look at nodes: the usual one.
            return "amd64"
        }
        let scope = KubeClient.Scope(.pods, namespace: pods.namespace, labels: workload.selectorText)
        let names = Set(try await pods.client.list(scope).items.compactMap { $0.at("spec", "nodeName")?.string })
        let used = all.filter { names.contains($0.at("metadata", "name")?.string ?? "") }
        let found = Set(
            (used.isEmpty ? all : used).map(\.nodePlatform).filter { $0.system == "linux" }.map(\.architecture))
        guard found.count < 2 else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "dev mode: its nodes are of several architectures (\(found.sorted().joined(separator: ", ")))",
                    nextStep: "add nodeSelector \"kubernetes.io/arch\" to its pod template"))
        }
        return found.first ?? "amd64"
    }
}
