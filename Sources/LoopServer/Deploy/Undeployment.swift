internal import JSON
internal import Reactor

/// What loopd has deployed for some services, and how it goes.
struct Undeployment: Sendable {
    /// The part of one service.
    struct Part: Sendable {
        let service: String
        /// In the order in which they go.
        var objects: [Disappearance.Leaving] = []
        /// The releases, with what each has applied.
        var releases: [(name: String, objects: [Disappearance.Leaving])] = []
        /// What kluctl has deployed.
        var projects: [KluctlRemoval] = []
        /// loopd's own lists of what it has deployed.
        var lists: [String] = []
        /// What stays, in lines for people.
        var kept: [String] = []
    }

    let connection: ClusterConnection
    let namespace: String
    private let project: String
    private let resources: APIResources
    /// In the order in which they go.
    private(set) var parts: [Part] = []
    /// The namespace, where loopd has made it and nobody else has put anything into it.
    private(set) var space: Disappearance.Leaving?

    /// Looks for what was deployed for services, which are given in the order they were deployed in.
    ///
    /// `isEverything` says that no service is left out, so that the namespace may go as well. Throws `LoopFailure`.
    init(
        of services: [Service], in project: String, _ connection: ClusterConnection, namespace: String,
        isEverything: Bool
    ) async throws {
        self.project = project
        self.connection = connection
        self.namespace = namespace
        resources = APIResources(connection.client)
        for service in services.reversed() { parts.append(try await find(service)) }
        if isEverything { space = try await ownNamespace() }
    }

    /// What goes, line by line.
    var lines: [String] {
        parts.flatMap { part -> [String] in
            let releases = part.releases.map { release in
                "- release/\(release.name)  with "
                    + release.objects.map(\.reference.description).joined(separator: ", ")
            }
            return releases + part.projects.map(\.line) + part.objects.map { "- \($0.reference)" }
        } + (space.map { ["- \($0.reference)"] } ?? [])
    }

    /// What stays, for people.
    var kept: [String] { parts.flatMap(\.kept) }

    /// Whether there is nothing to remove.
    var isEmpty: Bool { lines.isEmpty && parts.allSatisfy(\.lists.isEmpty) }

    // MARK: Looking

    private func find(_ service: Service) async throws -> Part {
        var part = Part(service: service.name)
        for kind in Inventory.Part.allCases.reversed() {
            let name = Inventory.name(of: service.name, kind)
            guard let map = try await get(.configMaps, name, namespace: namespace) else { continue }
            try ProjectLabel.check(map, of: service.name, in: project)
            part.lists.append(name)
            let inventory = Inventory(configMap: map)
            for object in inventory.objects.reversed() {
                try await add(object, inventory, isApplied: kind == .rules, &part)
            }
        }
        for case .deploy(let deployment) in service.rules.map(\.action) {
            guard case .helm(let release) = deployment.source else { continue }
            try await add(release, &part)
        }
        switch try await KluctlRemoval.find(for: service, connection, isApplied: !part.lists.isEmpty) {
        case .nothing: break
        case .removal(let removal): part.projects.append(removal)
        case .kept(let line): part.kept.append(line)
        }
        return part
    }

    private func add(
        _ reference: ObjectReference, _ inventory: Inventory, isApplied: Bool, _ part: inout Part
    ) async throws {
        guard !part.objects.contains(where: { $0.reference.isSame(as: reference) }),
            let resource = try await resources.resource(of: reference),
            let live = try await get(resource, reference.name, namespace: reference.namespace)
        else { return }
        switch reference.kind {
        case "Namespace" where !inventory.makes(reference):
            part.kept.append("\(reference) stays: it was there before")
        case CustomDefinitions.kind:
            part.kept.append("\(reference) stays: every object of its kind would go with it")
        case _ where isApplied && !ManifestApply.isOurs(live):
            part.kept.append("\(reference) stays: loopd does not apply it any more")
        default:
            part.objects.append(
                .init(reference: reference, resource: resource, uid: live.at("metadata", "uid")?.string))
        }
    }

    private func add(_ release: HelmRelease, _ part: inout Part) async throws {
        guard let helm = HelmCommand.find(for: connection.context, namespace: namespace) else {
            throw HelmCommand.missing(release.name)
        }
        let run = HelmRun(connection.leash)
        guard try await run.state(of: release.name, helm) != nil else { return }
        let text = try await run.run(helm.manifest(release.name), about: release.name)
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
        part.releases.append((release.name, objects))
    }

    private func get(_ resource: KubeResource, _ name: String, namespace: String?) async throws -> JSON? {
        do {
            return try await connection.client.get(resource, name, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {
            return nil
        } catch let error as KubeError {
            throw LoopFailure(failure: LoopEvent.Failure("\(error)"))
        }
    }

    /// The namespace, where loopd has made it and everything in it goes.
    private mutating func ownNamespace() async throws -> Disappearance.Leaving? {
        guard let space = try? await connection.client.get(.namespaces, namespace),
            space["metadata"]?.strings("labels")[ClusterConnection.ownLabel] == "loopd"
        else { return nil }
        let going =
            parts.flatMap { $0.objects + $0.releases.flatMap(\.objects) }.map(\.reference)
            + parts.flatMap(\.projects).flatMap(\.references)
        let releases = parts.flatMap(\.releases).map(\.name)
        for resource in Undeployment.kinds {
            // A kind that the cluster does not have has no objects; one that is hidden may have some.
            let objects: [JSON]
            do {
                objects = try await connection.client.list(.init(resource, namespace: namespace)).items
            } catch let error as KubeError where [404, 405, 501].contains(error.code) {
                continue
            }
            for object in objects {
                let name = object.at("metadata", "name")?.string ?? ""
                let metadata = object["metadata"] ?? .null
                let isOwned = metadata["ownerReferences"]?.array?.isEmpty == false
                let isOwn = metadata.strings("labels")[ClusterConnection.ownLabel] == "loopd"
                let isHelms =
                    metadata.strings("labels")["owner"] == "helm"
                    && releases.contains(metadata.strings("labels")["name"] ?? "")
                let isUsual = ["kube-root-ca.crt", "default"].contains(name)
                if isOwned || isOwn || isHelms || isUsual { continue }
                let isGoing = going.contains {
                    $0.name == name && $0.kind.lowercased() + "s" == resource.plural
                        || $0.name == name && resource.plural == "ingresses" && $0.kind == "Ingress"
                }
                guard isGoing else {
                    let kind = resource.plural == "ingresses" ? "ingress" : String(resource.plural.dropLast())
                    parts[parts.count - 1].kept.append("namespace/\(namespace) stays: \(kind)/\(name) is not loopd's")
                    return nil
                }
            }
        }
        let reference = ObjectReference(apiVersion: "v1", kind: "Namespace", namespace: nil, name: namespace)
        return .init(reference: reference, resource: .namespaces, uid: space.at("metadata", "uid")?.string)
    }

    /// What people put into namespaces.
    private static let kinds: [KubeResource] = [
        .configMaps, .secrets, .pods, .deployments, .statefulSets, .daemonSets,
        KubeResource(group: "", version: "v1", plural: "services"),
        KubeResource(group: "", version: "v1", plural: "serviceaccounts"),
        KubeResource(group: "", version: "v1", plural: "persistentvolumeclaims"),
        KubeResource(group: "batch", version: "v1", plural: "jobs"),
        KubeResource(group: "batch", version: "v1", plural: "cronjobs"),
        KubeResource(group: "networking.k8s.io", version: "v1", plural: "ingresses"),
    ]

    // MARK: Removing

    /// Removes everything, waits until it is gone, and says what has gone.
    ///
    /// Throws `LoopFailure` where something is still there at the limit; what has gone until then is told by `emit`.
    func carryOut(limit: Duration, _ emit: @escaping @Sendable (LoopEvent) -> Void) async throws {
        let end = ContinuousClock.now + limit
        for part in parts
        where !(part.objects.isEmpty && part.releases.isEmpty && part.projects.isEmpty && part.lists.isEmpty) {
            let started = monotonicNow()
            let pods = try await pods(of: part.objects + part.releases.flatMap(\.objects))
            if let helm = HelmCommand.find(for: connection.context, namespace: namespace) {
                for release in part.releases {
                    _ = try await HelmRun(connection.leash).run(helm.uninstall(release.name), about: release.name)
                }
            }
            for project in part.projects {
                try await project.carryOut(connection, limit: max(end - ContinuousClock.now, .zero))
            }
            for object in part.objects { try await delete(object) }
            try await wait(for: part.objects + part.releases.flatMap(\.objects) + pods, until: end)
            // Only now: whoever is killed before that can begin again.
            for list in part.lists { try await forget(.configMaps, list) }
            try await ReleaseHistory(
                connection.client, service: part.service, of: project, namespace: namespace
            ).forget()
            let gone =
                part.releases.map { "release/\($0.name)" } + part.projects.map(\.name)
                + part.objects.map(\.reference.description)
            emit(
                LoopEvent(
                    .removed(objects: gone, milliseconds: Double(monotonicNow() - started) / 1e6), service: part.service
                ))
        }
        guard let space else { return }
        let started = monotonicNow()
        try await delete(space)
        try await wait(for: [space], until: end)
        emit(
            LoopEvent(
                .removed(
                    objects: [space.reference.description], milliseconds: Double(monotonicNow() - started) / 1e6)))
    }

    /// The pods of workloads: they end after their workload has gone.
    private func pods(of objects: [Disappearance.Leaving]) async throws -> [Disappearance.Leaving] {
        var pods: [Disappearance.Leaving] = []
        for object in objects where object.reference.workload != nil {
            guard let space = object.reference.namespace,
                let live = try await get(object.resource, object.reference.name, namespace: space)
            else { continue }
            let scope = KubeClient.Scope(.pods, namespace: space, labels: live.selectorText)
            for pod in try await connection.client.list(scope).items {
                guard let reference = ObjectReference(pod.asPod) else { continue }
                pods.append(.init(reference: reference, resource: .pods, uid: pod.at("metadata", "uid")?.string))
            }
        }
        return pods
    }

    private func delete(_ object: Disappearance.Leaving) async throws {
        do {
            try await connection.client.delete(
                object.resource, object.reference.name, namespace: object.reference.namespace, uid: object.uid)
        } catch let error as KubeError where error.isNotFound {
            return
        } catch let error as KubeError {
            throw LoopFailure(
                failure: LoopEvent.Failure("\(object.reference) cannot be deleted: \(error.message)"))
        }
    }

    private func forget(_ resource: KubeResource, _ name: String) async throws {
        do {
            try await connection.client.delete(resource, name, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {}
    }

    private func wait(for objects: [Disappearance.Leaving], until end: ContinuousClock.Instant) async throws {
        let limit = max(end - ContinuousClock.now, .zero)
        let left = await Disappearance(client: connection.client).wait(for: objects, limit: limit)
        try Task.checkCancellation()
        guard let first = left.first else { return }
        let live = try await get(first.resource, first.reference.name, namespace: first.reference.namespace)
        let finalizers = (live?.at("metadata", "finalizers")?.array ?? []).compactMap(\.string)
        let names = left.map(\.reference.description).joined(separator: ", ")
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "\(names) \(left.count == 1 ? "is" : "are") still there"
                    + (finalizers.isEmpty
                        ? "" : ": \(first.reference) waits for \(finalizers.joined(separator: ", "))"),
                nextStep: "it may still be on its way; `loopd undeploy` begins again"))
    }
}

extension JSON {
    /// An object of a list of pods, which does not say its kind.
    fileprivate var asPod: JSON {
        var pod = self
        pod["apiVersion"] = "v1"
        pod["kind"] = "Pod"
        return pod
    }
}
