internal import JSON
internal import Reactor

/// What loopd has deployed for some services, and how it goes.
struct Undeployment: Sendable {
    /// The part of one service.
    struct Part: Sendable {
        let service: String
        /// Whether it is not in loop.json any more.
        let isRemoved: Bool
        /// In the order in which they go.
        var objects: [Disappearance.Leaving] = []
        /// The releases, with what each has applied.
        var releases: [(name: String, objects: [Disappearance.Leaving])] = []
        /// What kluctl has deployed.
        var projects: [KluctlRemoval] = []
        /// loopd's own lists of what it has deployed.
        var lists: [String] = []
        /// The releases in them that stay, and the services whose lists have them from then on.
        var heirs: [(release: String, service: String)] = []
        /// What was there before: it stays, and loopd lets go of it.
        var found: [Disappearance.Leaving] = []
        /// What stays, in lines for people.
        var kept: [String] = []

        var isEmpty: Bool { objects.isEmpty && releases.isEmpty && projects.isEmpty && lists.isEmpty }
    }

    let connection: ClusterConnection
    let namespace: String
    let project: String
    private let resources: APIResources
    /// Every list of the project.
    private let lists: [InventoryStore.Entry]
    /// What the services have that stay.
    private let inUse: [(service: String, inventory: Inventory)]
    /// In the order in which they go.
    private(set) var parts: [Part] = []
    /// The namespaces that loopd has made and nobody else has put anything into: they go after everything else, and the
    /// one that the lists are in is the last.
    private(set) var spaces: [Disappearance.Leaving] = []
    /// Why the namespace stays that loopd has made.
    private var keptSpace: String?

    /// Looks for what was deployed for services, which are given in the order they were deployed in, and for `removed` ones,
    /// which are in loop.json no more; `staying` are those that are left out, and where there are none, the namespace may go
    /// as well.
    ///
    /// Throws `LoopFailure`.
    init(
        of services: [Service], removed: [String] = [], staying: [Service] = [], in project: String,
        _ connection: ClusterConnection, namespace: String
    ) async throws {
        self.project = project
        self.connection = connection
        self.namespace = namespace
        resources = APIResources(connection.client)
        do {
            lists = try await InventoryStore.all(connection.client, namespace: namespace).filter {
                $0.project == project
            }
        } catch let error as KubeError where error.isForbidden {
            lists = []
        }
        let going = services.map(\.name) + removed
        inUse =
            lists.filter { !going.contains($0.service) }.map { ($0.service, $0.inventory) }
            + staying.map { ($0.name, Inventory($0.releases.map { .release($0.name) })) }
        for name in removed { try await find(name, nil) }
        for service in services.reversed() { try await find(service.name, service) }
        try await keepOccupiedNamespaces()
        if staying.isEmpty, let own = try await ownNamespace() { spaces.append(own) }
    }

    /// What goes, line by line.
    var lines: [String] {
        parts.flatMap { part -> [String] in
            let releases = part.releases.map { release in
                "- release/\(release.name)  with "
                    + release.objects.map(\.reference.description).joined(separator: ", ")
            }
            return releases + part.projects.map(\.line) + part.objects.map { "- \($0.reference)" }
        } + spaces.map { "- \($0.reference)" }
    }

    /// What stays, for people.
    var kept: [String] { parts.flatMap(\.kept) + [keptSpace].compactMap(\.self) }

    /// Whether there is nothing to remove.
    var isEmpty: Bool { spaces.isEmpty && parts.allSatisfy(\.isEmpty) }

    /// Lets those stay that kluctl has deployed: it does not tell what was there before, and that goes only where a person is
    /// asked.
    mutating func keepProjects() {
        for number in parts.indices where !parts[number].projects.isEmpty {
            parts[number].projects = []
            parts[number].kept.append(
                "what kluctl has deployed for \(parts[number].service) stays: `loopd undeploy` asks and removes it")
        }
    }

    // MARK: Looking

    /// `service` is `nil` for one that is in loop.json no more.
    private mutating func find(_ name: String, _ service: Service?) async throws {
        var part = Part(service: name, isRemoved: service == nil)
        var made: [String] = []
        for kind in Inventory.Part.allCases.reversed() {
            let store = InventoryStore(
                client: connection.client, namespace: namespace, service: name, project: project, part: kind)
            guard let inventory = try await store.read() else { continue }
            part.lists.append(store.name)
            if kind == .releases {
                made = inventory.objects.map(\.name)
                continue
            }
            for object in inventory.objects.reversed() {
                try await add(object, inventory, isApplied: kind == .rules, &part)
            }
            for object in inventory.found where user(of: object) == nil {
                do {
                    if let leaving = try await leaving(object)?.leaving { part.found.append(leaving) }
                } catch let error as KubeError where error.isForbidden {
                    // Who may not look at it has applied nothing of it lately.
                }
            }
        }
        let releases = (service?.releases ?? []).map(\.name)
        try await add(releases.filter { !made.contains($0) } + made, made: made, &part)
        if let service {
            switch try await KluctlRemoval.find(for: service, connection, isApplied: !part.lists.isEmpty) {
            case .nothing: break
            case .removal(let removal): part.projects.append(removal)
            case .kept(let line): part.kept.append(line)
            }
        }
        parts.append(part)
    }

    /// The service that has something as well, and stays.
    private func user(of reference: ObjectReference) -> String? {
        inUse.first { $0.inventory.holds(reference) }?.service
    }

    /// An object with what the cluster has of it; `nil` where it is not there.
    private func leaving(
        _ reference: ObjectReference
    ) async throws -> (leaving: Disappearance.Leaving, live: JSON)? {
        guard let resource = try await resources.resource(of: reference),
            let live = try await get(resource, reference.name, namespace: reference.namespace)
        else { return nil }
        return (.init(reference: reference, resource: resource, uid: live.at("metadata", "uid")?.string), live)
    }

    private func add(
        _ reference: ObjectReference, _ inventory: Inventory, isApplied: Bool, _ part: inout Part
    ) async throws {
        let known = parts.flatMap(\.objects) + part.objects
        if known.contains(where: { $0.reference.isSame(as: reference) }) { return }
        let wasFound = inventory.wasFound(reference)
        let found: (leaving: Disappearance.Leaving, live: JSON)?
        do {
            found = try await leaving(reference)
        } catch let error as KubeError where error.isForbidden {
            part.kept.append("\(reference) stays: \(wasFound ? "it was there before" : error.message)")
            return
        }
        guard let (leaving, live) = found else { return }
        let user = user(of: reference)
        switch reference.kind {
        case _ where user != nil:
            part.kept.append("\(reference) stays: service \(user ?? "") has it, too")
        case _ where wasFound:
            part.kept.append("\(reference) stays: it was there before")
        case CustomDefinitions.kind:
            part.kept.append("\(reference) stays: every object of its kind would go with it")
        case _ where isApplied && !ManifestApply.isOurs(live):
            part.kept.append("\(reference) stays: loopd does not apply it any more")
        default:
            part.objects.append(leaving)
        }
    }

    private func add(_ releases: [String], made: [String], _ part: inout Part) async throws {
        guard let first = releases.last else { return }
        guard let helm = HelmCommand.find(for: connection.context, namespace: namespace) else {
            // Without it nothing was installed either.
            if made.isEmpty { return }
            throw HelmCommand.missing(first)
        }
        let run = HelmRun(connection.leash)
        for release in releases where !parts.contains(where: { $0.releases.contains { $0.name == release } }) {
            guard let state = try await run.state(of: release, helm), state.status != "uninstalled" else { continue }
            if let user = user(of: .release(release)) {
                part.kept.append("release/\(release) stays: service \(user) has it, too")
                if made.contains(release) { part.heirs.append((release, user)) }
            } else if made.contains(release) || lists.contains(where: { $0.inventory.holds(.release(release)) }) {
                try await add(release, helm, &part)
            } else {
                part.kept.append("release/\(release) stays: it was there before")
            }
        }
    }

    private func add(_ release: String, _ helm: HelmCommand, _ part: inout Part) async throws {
        let text = try await HelmRun(connection.leash).run(helm.manifest(release), about: release)
        var objects: [Disappearance.Leaving] = []
        for object in try await HelmManifest.objects(of: text, connection) {
            guard let reference = ObjectReference(object) else { continue }
            if object["metadata"]?.strings("annotations")["helm.sh/resource-policy"] == "keep" {
                part.kept.append("\(reference) stays: its chart says so")
                continue
            }
            guard let resource = try await resources.resource(of: reference) else { continue }
            let place = ObjectReference(
                apiVersion: reference.apiVersion, kind: reference.kind,
                namespace: resource.isNamespaced ? reference.namespace ?? namespace : nil, name: reference.name)
            objects.append(.init(reference: place, resource: resource, uid: nil))
        }
        part.releases.append((release, objects))
    }

    /// What the cluster has of an object; throws `LoopFailure`, but `KubeError` where it may not be looked at.
    func get(_ resource: KubeResource, _ name: String, namespace: String?) async throws -> JSON? {
        do {
            return try await connection.client.get(resource, name, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {
            return nil
        } catch let error as KubeError where !error.isForbidden {
            throw LoopFailure(failure: LoopEvent.Failure("\(error)"))
        }
    }

    // MARK: Namespaces

    /// Takes the namespaces out of the parts, and lets those stay that hold something of others by now.
    private mutating func keepOccupiedNamespaces() async throws {
        for number in parts.indices {
            for space in parts[number].objects where space.reference.kind == "Namespace" {
                parts[number].objects.removeAll { $0.reference == space.reference }
                if let obstacle = try await contents(of: space.reference.name).obstacle() {
                    parts[number].kept.append("\(space.reference) stays: \(obstacle)")
                } else {
                    spaces.insert(space, at: space.reference.name == namespace ? spaces.endIndex : 0)
                }
            }
        }
    }

    /// The namespace, where loopd has made it and everything in it goes.
    private mutating func ownNamespace() async throws -> Disappearance.Leaving? {
        let reference = ObjectReference(apiVersion: "v1", kind: "Namespace", namespace: nil, name: namespace)
        let words = "\(reference) stays: "
        // It may be in the manifests, too.
        guard !spaces.contains(where: { $0.reference.isSame(as: reference) }),
            !kept.contains(where: { $0.hasPrefix(words) }),
            let live = try? await connection.client.get(.namespaces, namespace),
            live["metadata"]?.strings("labels")[ClusterConnection.ownLabel] == "loopd"
        else { return nil }
        if let obstacle = try await contents(of: namespace).obstacle() {
            keptSpace = words + obstacle
            return nil
        }
        return .init(reference: reference, resource: .namespaces, uid: live.at("metadata", "uid")?.string)
    }

    /// What is in a namespace beside what goes.
    func contents(of namespace: String) -> NamespaceContents {
        NamespaceContents(
            client: connection.client, namespace: namespace,
            going: parts.flatMap { $0.objects + $0.releases.flatMap(\.objects) }.map(\.reference)
                + parts.flatMap(\.projects).flatMap(\.references),
            releases: parts.flatMap(\.releases).map(\.name), lists: parts.flatMap(\.lists))
    }
}

extension Service {
    /// The releases of its charts.
    var releases: [HelmRelease] {
        rules.compactMap(\.deployment).compactMap { deployment in
            if case .helm(let release) = deployment.source { release } else { nil }
        }
    }
}
