internal import Watcher

/// A place in the containers of one service: a destination, by its number in `ServicePlan.destinations`, and the path below.
struct Place: Hashable, Sendable {
    let destination: Int
    let path: RelativePath
}

/// What a rule makes of a local path.
struct Placement: Equatable, Sendable {
    let place: Place
    /// The number of the rule, for its `then` steps.
    let rule: Int
}

/// A folder in the container that rules write into.
///
/// Rules with the same folder share it.
struct Destination: Equatable, Sendable {
    /// The absolute path in the container.
    let path: String
    /// Whether what exists only in the container is deleted.
    var mirror: Bool
    /// Whether the whole folder is listed to compare it, so that what is only there can be named or deleted.
    ///
    /// Of a folder that rules only put single files into, or of the whole file system, just their places are looked at.
    var isListedWhole: Bool
}

/// Something that a build makes: a file, or a folder with what is in it.
struct BuildOutput: Equatable, Sendable {
    /// The number of the rule that sideloads it.
    let rule: Int
    /// Where it is here, relative to the project's folder.
    let local: RelativePath
    /// Where it goes.
    let place: Place
}

/// A rule that brings what Nix builds into the containers, and where it goes there.
struct ClosurePlace: Equatable, Sendable {
    /// The number of the rule.
    let rule: Int
    /// The destination that is the containers' store.
    let store: Int
    /// The link that is pointed at the output; `nil` for none.
    let profile: Place?
}

/// A service's rules in the form that decides about paths: a pure function of `loop.json`.
///
/// Local paths are relative to the project's folder, which is what is watched.
struct ServicePlan: Sendable {
    private struct Pattern {
        let glob: Glob
        /// What is taken off a path, relative to the service's root.
        let base: RelativePath
    }

    /// Which of a service's places a plan is about: each kind has a lane of its own.
    enum Part: Sendable {
        case containers
        case nodes
    }

    let service: Service
    let part: Part
    let destinations: [Destination]
    /// The service's root, relative to the project's folder.
    let root: RelativePath
    /// What builds make and bring to this plan's places, rule by rule.
    let outputs: [BuildOutput]
    /// What Nix builds, rule by rule.
    let closures: [ClosurePlace]
    /// Everything that builds make for the service, relative to the project's folder.
    private let made: [RelativePath]
    /// Whether files that no rule takes are this plan's to name: only one of a service's plans does.
    private let namesOverlooked: Bool
    /// `destination` is `nil` for a rule that takes a path only to build from it.
    private let rules: [(patterns: [Pattern], destination: Int?)]

    /// The plans of a service: for its containers, for the nodes that they run on, or for both.
    static func parts(of service: Service, project: String) -> [ServicePlan] {
        let isOnNodes = service.rules.contains(where: \.isOnNodes)
        let isInContainers =
            service.dev != nil && !isOnNodes
            || service.rules.contains { $0.entersContainers && !$0.isOnNodes }
        return (isInContainers ? [ServicePlan(service, project: project)] : [])
            + (isOnNodes
                ? [ServicePlan(service, part: .nodes, project: project, namesOverlooked: !isInContainers)] : [])
    }

    /// Prepares one part of a service of the project in the folder `project`.
    init(_ service: Service, part: Part = .containers, project: String, namesOverlooked: Bool = true) {
        self.service = service
        self.part = part
        self.namesOverlooked = namesOverlooked
        root = ServicePlan.relative(service.root, to: project)
        var destinations: [Destination] = []
        func number(of path: String, mirror: Bool = false, isListedWhole: Bool = false) -> Int {
            if let known = destinations.firstIndex(where: { $0.path == path }) {
                destinations[known].mirror = destinations[known].mirror || mirror
                destinations[known].isListedWhole = destinations[known].isListedWhole || isListedWhole
                return known
            }
            destinations.append(Destination(path: path, mirror: mirror, isListedWhole: isListedWhole))
            return destinations.count - 1
        }
        var outputs: [BuildOutput] = []
        var closures: [ClosurePlace] = []
        var made: [RelativePath] = []
        rules = service.rules.enumerated().map { rule, about in
            let unplaced = (about.watch.map { Pattern(glob: $0, base: $0.fixedPart) }, Int?.none)
            switch about.action {
            case .sync(let sync) where part == .containers:
                let patterns = about.watch.map { glob in
                    Pattern(glob: glob, base: sync.from.map { RelativePath($0) } ?? glob.fixedPart)
                }
                let takesAll = sync.to != "/" && about.watch.contains { $0.pattern.hasSuffix("**") }
                return (patterns, number(of: sync.to, mirror: sync.mirror, isListedWhole: takesAll || sync.mirror))
            case .sideload(let items):
                for item in items {
                    let local = ServicePlan.relative(item.from, to: project)
                    made.append(local)
                    guard item.isOnNode == (part == .nodes) else { continue }
                    let (folder, name) = ServicePlan.split(item.to)
                    let place = Place(destination: number(of: folder), path: RelativePath(name))
                    outputs.append(BuildOutput(rule: rule, local: local, place: place))
                }
                return unplaced
            case .closure(let closure) where closure.copyTo == nil && part == .containers:
                let profile = closure.profile.map { path in
                    let (folder, name) = ServicePlan.split(path)
                    return Place(destination: number(of: folder), path: RelativePath(name))
                }
                closures.append(ClosurePlace(rule: rule, store: number(of: NixStore.folder), profile: profile))
                return unplaced
            case .image(let image):
                if case .append(let layer) = image.builder, about.build != nil {
                    made += layer.files.map { ServicePlan.relative($0.from, to: project) }
                }
                return unplaced
            case .sync, .closure, .deploy: return unplaced
            }
        }
        self.outputs = outputs
        self.made = made
        self.closures = closures
        self.destinations = destinations
    }

    /// Where a local path goes: the first rule that matches takes it.
    ///
    /// The destination itself is nobody's to place.
    func placement(of local: RelativePath) -> Placement? {
        guard let path = local.relative(to: root), !path.isRoot else { return nil }
        for (number, rule) in rules.enumerated() {
            for pattern in rule.patterns where pattern.glob.matches(path) {
                guard let destination = rule.destination else { return nil }
                guard let below = path.relative(to: pattern.base), !below.isRoot else { continue }
                return Placement(place: Place(destination: destination, path: below), rule: number)
            }
        }
        return nil
    }

    /// The local paths that have this place, the one that gets it first: two patterns can lead to one folder.
    func sources(of place: Place) -> [RelativePath] {
        var sources: [RelativePath] = []
        for rule in rules where rule.destination == place.destination {
            for pattern in rule.patterns {
                let local = root.appending(pattern.base.bytes).appending(place.path.bytes)
                if !sources.contains(local), placement(of: local)?.place == place { sources.append(local) }
            }
        }
        return sources
    }

    /// The places by which other destinations, nested in this place's or around it, know the same path in the container.
    func aliases(of place: Place) -> [Place] {
        guard destinations.count > 1 else { return [] }
        let path = RelativePath(destinations[place.destination].path).appending(place.path.bytes)
        return destinations.indices.compactMap { other in
            guard other != place.destination else { return nil }
            return path.relative(to: RelativePath(destinations[other].path)).map { Place(destination: other, path: $0) }
        }
    }

    /// Whether a place lies in another destination that is nested in its own, which then decides what is there.
    func isNested(_ place: Place) -> Bool {
        let own = RelativePath(destinations[place.destination].path)
        return aliases(of: place).contains { alias in
            let other = RelativePath(destinations[alias.destination].path)
            return other != own && other.isInside(own)
        }
    }

    /// Whether a local path lies in the service's folder and no rule has a use for it, so that it should be named.
    func isOverlooked(_ local: RelativePath) -> Bool {
        guard namesOverlooked, let path = local.relative(to: root), !path.isRoot, !isOutput(local) else { return false }
        return !rules.contains { $0.patterns.contains { $0.glob.matches(path) } }
    }

    /// Whether a local path is something that a build makes.
    func isOutput(_ local: RelativePath) -> Bool { made.contains { local.isInside($0) } }

    /// Whether a rule brings something to this plan's places when its build has succeeded.
    func takesOutputs(of rule: Int) -> Bool { outputs.contains { $0.rule == rule } }

    /// The first rule that takes a local path to build from it.
    func builder(of local: RelativePath) -> Int? {
        guard let path = local.relative(to: root), !path.isRoot, !isOutput(local) else { return nil }
        let taken = rules.firstIndex { $0.patterns.contains { $0.glob.matches(path) } }
        return taken.flatMap { rules[$0].destination == nil ? $0 : nil }
    }

    /// Whether a rule can take something of a local subtree that no earlier rule takes.
    func mayTake(_ rule: Int, below local: RelativePath) -> Bool {
        guard let path = local.relative(to: root) else { return root.isInside(local) }
        let patterns = rules[rule].patterns
        guard patterns.contains(where: { $0.glob.matches(path) || $0.glob.canMatch(inside: path) }) else {
            return false
        }
        // A pattern that takes files of any name at any depth is one that ends in **.
        let files = [path.appending([1]), path.appending([1]).appending([1])]
        return rules[..<rule].allSatisfy { earlier in
            !files.allSatisfy { file in earlier.patterns.contains { $0.glob.matches(file) } }
        }
    }

    /// Whether a rule could take something below a local folder, so that a walk has to enter it.
    func canMatch(inside local: RelativePath) -> Bool {
        guard let path = local.relative(to: root) else { return true }
        return rules.contains { $0.patterns.contains { $0.glob.canMatch(inside: path) } }
    }

    /// The local folders below which files can match, none inside another.
    var bases: [RelativePath] {
        let all = Set(
            rules.filter { $0.destination != nil }.flatMap {
                $0.patterns.map { root.appending($0.glob.fixedPart.bytes) }
            })
        return all.filter { base in !all.contains { $0 != base && base.isInside($0) } }.sorted()
    }

    /// The rule that brings something to a place, whether or not it is there.
    func rule(of place: Place) -> Int? {
        let output = outputs.first {
            $0.place.destination == place.destination && place.path.isInside($0.place.path)
        }
        return output?.rule ?? sources(of: place).lazy.compactMap { self.placement(of: $0)?.rule }.first
    }

    /// The `then` steps of a rule; a node's pods restart by themselves when something has landed there.
    func steps(of rule: Int) -> [Step] { part == .nodes ? [] : service.rules[rule].then }

    /// The folder of an absolute path, and the name in it.
    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return ("/", path) }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    private static func relative(_ path: String, to project: String) -> RelativePath {
        RelativePath(path).relative(to: RelativePath(project)) ?? .root
    }
}
