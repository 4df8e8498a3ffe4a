internal import Glibc
internal import JSON
internal import Reactor

/// The `manifests` of services, which are applied as by `kubectl apply`: when loopd starts, and again when an image in them
/// is another one.
actor StartManifests {
    /// A manifest on its way to the cluster.
    struct Prepared {
        /// What is applied instead of the manifest: the same with images, and in dev mode; `nil` where nothing differs.
        var file: String?
        var objects: [JSON] = []
        var images: Set<String> = []
        /// What waits for images, in lines for people.
        var waiting: [String] = []
        /// Whether all of it waits.
        var isEmpty: Bool { objects.isEmpty && !waiting.isEmpty }
    }

    private let services: [Service]
    private let inputs: Deployments.Inputs
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    /// The images in each service's manifests.
    private var images: [String: Set<String>] = [:]
    private var toldWaiting: Set<String> = []
    /// The workloads that `apply` has changed.
    private(set) var workloads: [ObjectReference] = []
    /// What is applied now: one after the other.
    private var turn: Task<Void, Never>?
    private var fileCount = 0
    private let resources: APIResources

    /// The manifests of these services.
    init(
        _ services: [Service], _ inputs: Deployments.Inputs, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.services = services.filter { !$0.manifests.isEmpty }
        self.inputs = inputs
        self.emit = emit
        resources = APIResources(inputs.connection.client)
    }

    private var connection: ClusterConnection { inputs.connection }
    private var namespace: String { inputs.configuration.namespace }

    /// Applies all of them, and says what is not unchanged; throws `LoopFailure`.
    func apply() async throws -> [String] {
        try await inTurn { start in
            var changed: [String] = []
            for service in start.services { changed += try await start.apply(service) }
            return changed
        }
    }

    /// Applies those again that have one of these images in them.
    func settle(images changed: Set<String>) async {
        try? await inTurn { await $0.settleNow(images: changed) }
    }

    /// Runs something after what was asked for before: images are finished at any time.
    private func inTurn<Result: Sendable>(
        _ body: @escaping @Sendable (isolated StartManifests) async throws -> Result
    ) async throws -> Result {
        let before = turn
        let next = Task {
            await before?.value
            try Task.checkCancellation()
            return try await body(self)
        }
        turn = Task { _ = await next.result }
        return try await withTaskCancellationHandler {
            try await next.value
        } onCancel: {
            next.cancel()
        }
    }

    private func settleNow(images changed: Set<String>) async {
        for service in services where images[service.name]?.isDisjoint(with: changed) == false {
            let started = monotonicNow()
            guard let done = await DeployAttempt.run(emit, { try await apply(service) }), !done.isEmpty else {
                continue
            }
            emit(.deployed(objects: done, milliseconds: Double(monotonicNow() - started) / 1e6))
        }
    }

    /// What applying all of them would change.
    func difference(isNewNamespace: Bool) async throws -> [String] {
        var lines: [String] = []
        for service in services {
            for manifest in service.manifests {
                let prepared = try await prepare(manifest)
                // There may be Secrets in it.
                defer { if let file = prepared.file { unlink(file) } }
                tell(prepared.waiting)
                if prepared.isEmpty { continue }
                // Into a namespace that is not there nothing can be tried.
                if isNewNamespace {
                    lines.append("+ \(Manifests.shown(manifest, in: inputs.configuration.directory))")
                    continue
                }
                lines += try await connection.apply(manifest, as: prepared.file, namespace: namespace, dryRun: true).map
                {
                    line in
                    let words = line.split(separator: " ")
                    let sign = words.count > 1 && words[1] == "created" ? "+" : "~"
                    return "\(sign) \(words.first ?? "")"
                }
            }
        }
        return lines
    }

    private func apply(_ service: Service) async throws -> [String] {
        var changed: [String] = []
        var found: Set<String> = []
        for manifest in service.manifests {
            let prepared = try await prepare(manifest)
            defer { if let file = prepared.file { unlink(file) } }
            tell(prepared.waiting)
            found.formUnion(prepared.images)
            // Whatever fails from here on, those that were there before are in it, too.
            images[service.name, default: []].formUnion(prepared.images)
            if prepared.isEmpty { continue }
            let references = try await remember(prepared.objects, of: service.name)
            let lines = try await connection.apply(manifest, as: prepared.file, namespace: namespace)
            workloads += StartManifests.workloads(among: references, in: lines).filter { !workloads.contains($0) }
            changed += lines
        }
        images[service.name] = found
        return changed
    }

    /// The workloads that kubectl says it has changed: `deployment.apps/web configured`.
    static func workloads(among references: [ObjectReference], in lines: [String]) -> [ObjectReference] {
        let changed = Set(lines.compactMap { $0.split(separator: " ").first.map(String.init) })
        return references.filter { reference in
            let group = reference.group.isEmpty ? "" : ".\(reference.group)"
            return reference.workloadKind != nil
                && changed.contains("\(reference.kind.lowercased())\(group)/\(reference.name)")
        }
    }

    private func tell(_ waiting: [String]) {
        for words in waiting where toldWaiting.insert(words).inserted { emit(.notice(words)) }
    }

    // MARK: Images and dev mode

    private func prepare(_ manifest: String) async throws -> Prepared {
        var prepared = Prepared()
        guard let objects = await objects(of: manifest) else { return prepared }
        let known = await inputs.images()
        for object in objects {
            var replaced = try known.replaced(in: object)
            if !replaced.missing.isEmpty, let reference = ObjectReference(object),
                let resource = try await resources.resource(of: reference)
            {
                let live = try? await connection.client.get(resource, reference.name, namespace: reference.namespace)
                replaced = try known.replaced(in: object, running: live)
            }
            let rolled = ObjectReference(object).map { inputs.rolled($0) } ?? []
            prepared.images.formUnion(
                replaced.used.subtracting(rolled).union(replaced.named).union(replaced.missing))
            if !replaced.missing.isEmpty, let reference = ObjectReference(object) {
                prepared.waiting.append(ManifestImages.words(reference, waitsFor: replaced.missing))
            } else {
                prepared.objects.append(await inputs.carry(replaced.value, .kubectl))
            }
        }
        guard prepared.objects != objects else { return prepared }
        let list: JSON = ["apiVersion": "v1", "kind": "List", "items": .array(prepared.objects)]
        fileCount += 1
        prepared.file = PrivateFile.write(list.bytes, to: "\(inputs.scratch)/manifest-\(fileCount).json")
        return prepared
    }

    /// The objects of a manifest; `nil` where it cannot be read: what is wrong with it, kubectl says when it applies it.
    private func objects(of manifest: String) async -> [JSON]? {
        let source = ClusterConnection.source(manifest)
        // With their namespaces; a kind whose definition is yet to come is known without the cluster only.
        let ways = [
            ["create", "--dry-run=client", "-o", "json", "-n", namespace] + source, Manifests.printing + source,
        ]
        for arguments in ways {
            let output = try? await connection.context.kubectl.run(arguments, leash: connection.leash)
            guard let output, output.status.isSuccess else { continue }
            return try? Manifests.documents(in: output.text).flatMap(Manifests.flat)
        }
        return nil
    }

    // MARK: Remembering

    /// Keeps what all of them make, where there is nothing to apply: another service's list may have had it so far.
    func remember() async throws {
        for service in services {
            for manifest in service.manifests {
                let prepared = try await prepare(manifest)
                if let file = prepared.file { unlink(file) }
                _ = try await remember(prepared.objects, of: service.name)
            }
        }
    }

    /// Keeps what a service's manifests make, so that it can be taken away again; what leaves them stays in the list.
    ///
    /// Returns what they are about, each with its namespace. Throws `LoopFailure` where the list is another project's.
    private func remember(_ manifests: [JSON], of service: String) async throws -> [ObjectReference] {
        let store = InventoryStore(
            client: connection.client, namespace: namespace, service: service, project: inputs.configuration.project,
            part: .manifests)
        var objects: [ObjectReference] = []
        do {
            let known = try await store.read() ?? Inventory([])
            var found = FoundObjects(known, store)
            for object in manifests.compactMap(ObjectReference.init) {
                let resource = try await resources.resource(of: object)
                let place = placed(object, resource)
                objects.append(place)
                if found.isSettled(place) { continue }
                try await found.look(at: place, live: try await live(place, resource))
            }
            let all = Inventory(known.objects + objects, found: found.references)
            if all != known { try await store.write(all) }
        } catch let failure as LoopFailure {
            throw failure
        } catch {
            if !Task.isCancelled {
                emit(
                    .notice(
                        "configmap/\(store.name) cannot be written, so that `loopd undeploy` knows nothing of it: "
                            + "\(error)"))
            }
        }
        return objects
    }

    /// What a manifest is about, with the namespace that it goes to.
    private func placed(_ object: ObjectReference, _ resource: KubeResource?) -> ObjectReference {
        ObjectReference(
            apiVersion: object.apiVersion, kind: object.kind,
            namespace: resource?.isNamespaced ?? true ? object.namespace ?? namespace : nil, name: object.name)
    }

    private func live(_ object: ObjectReference, _ resource: KubeResource?) async throws -> JSON? {
        guard let resource else { return nil }
        do {
            return try await connection.client.get(resource, object.name, namespace: object.namespace)
        } catch let error as KubeError where error.isNotFound {
            return nil
        } catch let error as KubeError where error.isForbidden {
            // What nobody may look at may be there, and is nobody's to delete.
            return [:]
        }
    }
}

extension SessionRun {
    /// What deployments need.
    func deployInputs(
        _ connection: ClusterConnection, _ devModes: [DevModeSession], _ images: ImageSet, scratch: String
    ) -> Deployments.Inputs {
        let known = configuration.imageNames
        return Deployments.Inputs(
            connection: connection, configuration: configuration, devModes: devModes, takeOver: options.takeOver,
            images: { ManifestImages(await images.references, known: known) }, expected: { await images.expected },
            clues: clues(images),
            scratch: scratch)
    }

    /// Makes the namespace and applies the manifests; false when that failed, which is reported.
    func deploy(_ start: StartManifests, _ connection: ClusterConnection) async -> Bool {
        guard options.deploy else { return true }
        let started = monotonicNow()
        do {
            let isMade = try await connection.ensureNamespace(configuration.namespace)
            await tellOfRemovedServices(connection)
            var objects = isMade ? ["namespace/\(configuration.namespace) created"] : []
            guard services.contains(where: { !$0.manifests.isEmpty }) || isMade else { return true }
            objects += try await start.apply()
            report(.deployed(objects: objects, milliseconds: Double(monotonicNow() - started) / 1e6))
            return true
        } catch let failure as LoopFailure {
            // The pods may be there from before: the loop goes on.
            report(.failed(failure.failure))
        } catch let error as KubeError {
            report(.failed(LoopEvent.Failure("namespace \(configuration.namespace): \(error.message)")))
        } catch {
            if !Task.isCancelled { report(.failed(LoopEvent.Failure("the manifests cannot be applied: \(error)"))) }
        }
        return false
    }
}
