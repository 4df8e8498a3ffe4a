internal import Watcher

/// The images of a session, who builds and who runs them, and which a change asks for: a pure function of `loop.json`.
struct ImagePlan: Sendable {
    /// One image.
    struct Entry: Sendable {
        /// As manifests name it, without tag and digest.
        let name: String
        /// The service that builds it.
        let owner: Service
        /// The numbers of the owner's rules that make it, in order: of an appended image one layer each, else one rule.
        let rules: [Int]
        /// The services that run it, in the order of the file.
        let users: [User]
        /// The names of the builds that make files for it, in order.
        let builds: [String]
        /// The number of the image of this session that it is appended to; `nil` where the base comes from elsewhere.
        var base: Int?
        /// Whether it is built once, and no change builds it again: who runs it runs on this machine.
        fileprivate(set) var isResting = true

        /// What its first rule says: the builder, an alias.
        var image: Image { owner.rules[rules[0]].image ?? Image(name, nil) }
        /// Whether a service runs it.
        func isRun(by service: Service) -> Bool { users.contains { $0.service.name == service.name } }
        /// The layers that are appended, in order; none where another builder makes the image.
        var layers: [(rule: Int, layer: AppendedLayer)] {
            rules.compactMap { rule in
                if case .append(let layer) = owner.rules[rule].image?.builder { (rule, layer) } else { nil }
            }
        }
    }

    /// A service that runs an image.
    struct User: Equatable, Sendable {
        let service: Service
        /// The container whose image it is; `nil` is the pod's only one, or its default one.
        let container: String?
    }

    /// The images that the chosen services build or run, in the order of the file.
    let entries: [Entry]
    private let plans: [String: ServicePlan]

    /// The images of a project in the folder `project`.
    ///
    /// - Parameters:
    ///   - services: all services of the file: one that is not chosen may build what a chosen one runs.
    ///   - chosen: the names of the services of this session; `nil` is all of them.
    init(_ services: [Service], chosen: Set<String>? = nil, project: String) {
        var names: [String] = []
        var rules: [String: (owner: Service, rules: [Int])] = [:]
        var users: [String: [User]] = [:]
        // What a program starts pods with is built whoever has the rule.
        let programs = services.filter { chosen?.contains($0.name) ?? true }
        let variables = programs.flatMap { [$0.isOnHost ? $0.host?.environment : nil, $0.dev?.environment] }
        let named = ImagePlan.named(in: variables.flatMap { Array(($0 ?? [:]).values) }, of: services)
        var wanted = named
        var wantedInCluster: Set<String> = []
        let bases = ImagePlan.bases(of: services)
        for service in services {
            let isChosen = chosen?.contains(service.name) ?? true
            for (number, rule) in service.rules.enumerated() {
                guard let image = rule.image else { continue }
                if isChosen { wanted.insert(image.name) }
                if isChosen, !service.isOnHost { wantedInCluster.insert(image.name) }
                let isFirst = rules[image.name] == nil || image.builder == nil
                if image.builder != nil {
                    if rules[image.name] == nil { names.append(image.name) }
                    rules[image.name, default: (service, [])].rules.append(number)
                }
                // What is only the base of another image is not for a container, unless a service says so.
                let isBase = bases.contains(image.name) && image.builder != nil && image.container == nil
                guard isChosen, isFirst, !isBase, service.target != nil else { continue }
                users[image.name, default: []].append(
                    User(service: service, container: image.container ?? service.container))
            }
        }
        var entries: [Entry] = []
        for name in ImagePlan.withBases(wanted, rules, order: names) {
            guard let (owner, numbers) = rules[name] else { continue }
            var builds: [String] = []
            for build in numbers.compactMap({ owner.rules[$0].build }) where !builds.contains(build) {
                builds.append(build)
            }
            entries.append(
                Entry(name: name, owner: owner, rules: numbers, users: users[name] ?? [], builds: builds))
        }
        for number in entries.indices {
            let base = entries[number].layers.first?.layer.base
            entries[number].base = entries.firstIndex { $0.name == base }
        }
        var needed = entries.indices.filter { number in
            let (name, users) = (entries[number].name, entries[number].users)
            let isInCluster = users.isEmpty ? wantedInCluster.contains(name) : !users.allSatisfy(\.service.isOnHost)
            return isInCluster || named.contains(name)
        }
        while let number = needed.popLast() {
            entries[number].isResting = false
            if let base = entries[number].base { needed.append(base) }
        }
        self.entries = entries
        plans = entries.reduce(into: [:]) { plans, entry in
            plans[entry.owner.name] = plans[entry.owner.name] ?? ServicePlan(entry.owner, project: project)
        }
    }

    /// The images of these services that the values of variables name.
    static func named(in texts: [String], of services: [Service]) -> Set<String> {
        let images = ManifestImages(known: Set(services.flatMap(\.rules).compactMap(\.image?.name)))
        // A name that no rule builds is told when the program starts.
        return texts.reduce(into: []) { $0.formUnion((try? images.expanded($1, in: ""))?.used ?? []) }
    }

    /// The names that images of these services have as their base.
    static func bases(of services: [Service]) -> Set<String> {
        Set(
            services.flatMap(\.rules).compactMap { rule in
                if case .append(let layer) = rule.image?.builder { layer.base } else { nil }
            })
    }

    /// The wanted names with the names of their bases, in the order of the file.
    private static func withBases(
        _ wanted: Set<String>, _ rules: [String: (owner: Service, rules: [Int])], order: [String]
    ) -> [String] {
        var all = wanted
        var rest = Array(wanted)
        while let name = rest.popLast() {
            guard let (owner, numbers) = rules[name], let first = numbers.first,
                case .append(let layer) = owner.rules[first].image?.builder, let base = layer.base
            else { continue }
            if all.insert(base).inserted { rest.append(base) }
        }
        return order.filter(all.contains)
    }

    // MARK: Which images a change asks for

    /// The images to build now, by their numbers.
    ///
    /// The first rule that matches a path takes it: what is synced is no reason to build. An image follows a build that
    /// makes files for it, and what it is appended to: neither is in the result (see `images(after:)`).
    ///
    /// - Parameter building: the names of the builds that the same change starts.
    func images(for changes: ChangeSet, building: Set<String> = []) -> Set<Int> {
        let touched = entries.indices.filter { number in
            let entry = entries[number]
            return entry.rules.contains {
                entry.owner.rules[$0].build == nil && isTouched($0, of: entry.owner, by: changes)
            }
        }
        let waiting = entries.indices.filter { !building.isDisjoint(with: entries[$0].builds) }
        return Set(touched).subtracting(waiting).subtracting(images(following: touched + waiting))
    }

    /// The images that wait for nothing: neither a build nor another image comes before them.
    var first: Set<Int> { Set(entries.indices.filter { entries[$0].builds.isEmpty && entries[$0].base == nil }) }

    /// The images that files of a build go into, by their numbers.
    func images(after build: String) -> Set<Int> {
        Set(entries.indices.filter { entries[$0].builds.contains(build) })
    }

    /// The images that are appended to this one, by their numbers.
    func images(on base: Int) -> Set<Int> { Set(entries.indices.filter { entries[$0].base == base }) }

    /// The images that are appended to one of these, directly or on top of one that is.
    private func images(following bases: [Int]) -> Set<Int> {
        var all: Set<Int> = []
        var rest = bases
        while let next = rest.popLast() {
            for number in images(on: next) where all.insert(number).inserted { rest.append(number) }
        }
        return all
    }

    // MARK: Builds that images need

    /// Whether files of a build go into an image.
    func uses(build: String) -> Bool { entries.contains { $0.builds.contains(build) } }

    /// The builds that a change asks for because a rule of an image watches for them, by name.
    func builds(for changes: ChangeSet) -> Set<String> {
        var names: Set<String> = []
        for entry in entries {
            for rule in entry.rules {
                guard let build = entry.owner.rules[rule].build, isTouched(rule, of: entry.owner, by: changes) else {
                    continue
                }
                names.insert(build)
            }
        }
        return names
    }

    /// Whether a local path is something that a build makes for an image.
    func isOutput(_ local: RelativePath) -> Bool { plans.values.contains { $0.isOutput(local) } }

    private func isTouched(_ rule: Int, of owner: Service, by changes: ChangeSet) -> Bool {
        guard let plan = plans[owner.name] else { return false }
        return changes.paths.contains { plan.builder(of: $0) == rule }
            || changes.rescan.contains { plan.mayTake(rule, below: $0) }
    }
}
