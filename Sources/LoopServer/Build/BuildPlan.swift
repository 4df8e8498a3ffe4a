internal import Watcher

/// Which builds a change asks for, and who uses what they make: a pure function of `loop.json`.
struct BuildPlan: Sendable {
    /// A rule that sideloads what a build makes.
    struct Consumer: Equatable, Sendable {
        /// The number of the plan.
        let plan: Int
        let rule: Int
    }

    /// The builds that some rule of the services uses.
    let builds: [Build]
    private let consumers: [[Consumer]]
    private let roots: [RelativePath]
    private let plans: [ServicePlan]

    private let images: ImagePlan?
    private let hosts: [HostPlan]

    /// The builds of a project in the folder `project`, as far as these plans, images or services on this machine use them.
    init(
        _ builds: [Build], plans: [ServicePlan], images: ImagePlan? = nil, hosts: [HostPlan] = [], project: String
    ) {
        var used: [(Build, [Consumer])] = []
        for build in builds {
            let consumers = plans.enumerated().flatMap { number, plan in
                plan.service.rules.indices.filter {
                    plan.service.rules[$0].build == build.name && plan.takesOutputs(of: $0)
                }.map { Consumer(plan: number, rule: $0) }
            }
            let isUsed =
                !consumers.isEmpty || images?.uses(build: build.name) == true
                || hosts.contains { $0.build == build.name }
            if isUsed { used.append((build, consumers)) }
        }
        self.builds = used.map(\.0)
        consumers = used.map(\.1)
        roots = self.builds.map { RelativePath($0.root).relative(to: RelativePath(project)) ?? .root }
        self.plans = plans
        self.images = images
        self.hosts = hosts
    }

    /// The rules of a plan that sideload what a build makes.
    func rules(of plan: Int, using build: Int) -> Set<Int> {
        Set(consumers[build].filter { $0.plan == plan }.map(\.rule))
    }

    /// The plans that use a build.
    func plans(using build: Int) -> Set<Int> { Set(consumers[build].map(\.plan)) }

    /// The names of the services that use a build.
    func services(using build: Int) -> Set<String> {
        let owners = images?.images(after: builds[build].name).compactMap { images?.entries[$0].owner.name } ?? []
        let started = hosts(after: builds[build].name)
        return Set(consumers[build].map { plans[$0.plan].service.name } + owners).union(started)
    }

    /// The names of the services on this machine that start anew after a build.
    func hosts(after build: String) -> Set<String> { Set(hosts.filter { $0.build == build }.map(\.service)) }

    /// The names of the services on this machine that start without a build; of all of them, or of those that a change
    /// concerns.
    func hosts(for changes: ChangeSet? = nil) -> Set<String> {
        let concerned = hosts.filter { host in
            host.build == nil && changes.map { host.isConcerned(by: $0) } != false
        }
        return Set(concerned.map(\.service))
    }

    /// The builds that a change on disk makes necessary, by their numbers.
    func builds(for changes: ChangeSet) -> Set<Int> {
        let started = Set(hosts.filter { $0.isConcerned(by: changes) }.compactMap(\.build))
        var needed = Set(builds.indices.filter { started.contains(builds[$0].name) })
        for path in changes.paths { needed.formUnion(builds(for: path)) }
        if let names = images?.builds(for: changes) {
            needed.formUnion(builds.indices.filter { names.contains(builds[$0].name) })
        }
        for subtree in changes.rescan {
            needed.formUnion(builds.indices.filter { number in inputs(of: number).contains { meet($0, subtree) } })
        }
        return needed
    }

    private func builds(for path: RelativePath) -> Set<Int> {
        // What builds make is no reason to build: it would never end.
        guard !plans.contains(where: { $0.isOutput(path) }), images?.isOutput(path) != true else { return [] }
        var needed: Set<Int> = []
        for (number, build) in builds.enumerated() {
            guard let below = path.relative(to: roots[number]) else { continue }
            if build.watch.contains(where: { $0.matches(below) }) { needed.insert(number) }
        }
        for plan in plans {
            guard let rule = plan.builder(of: path), let name = plan.service.rules[rule].build else { continue }
            if let number = builds.firstIndex(where: { $0.name == name }) { needed.insert(number) }
        }
        return needed
    }

    /// The folders that a build's inputs lie in.
    private func inputs(of build: Int) -> [RelativePath] {
        let own = builds[build].watch.map { roots[build].appending($0.fixedPart.bytes) }
        return own
            + consumers[build].flatMap { consumer in
                let plan = plans[consumer.plan]
                return plan.service.rules[consumer.rule].watch.map { plan.root.appending($0.fixedPart.bytes) }
            }
    }

    private func meet(_ one: RelativePath, _ other: RelativePath) -> Bool { one.isInside(other) || other.isInside(one) }
}
