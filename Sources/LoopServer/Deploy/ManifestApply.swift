internal import JSON
internal import Reactor

/// Server-side apply of one service's manifests: what would change, then changing it, then deleting what has left the set.
struct ManifestApply: Sendable {
    /// The field manager that everything is applied as.
    static let manager = "loopd"

    let client: KubeClient
    /// Where objects go that name no namespace.
    let namespace: String
    let service: String
    private let resources: APIResources
    /// What an object becomes before it is applied: dev mode's patch belongs in it, so that one rollout comes of it.
    ///
    /// `nil` where it has to stay as it is.
    var prepare: @Sendable (JSON) async -> JSON? = { $0 }

    /// Nothing happens before one of the calls.
    init(_ client: KubeClient, namespace: String, service: String) {
        self.client = client
        self.namespace = namespace
        self.service = service
        resources = APIResources(client)
    }

    /// An object of the set.
    struct Item: Sendable {
        let reference: ObjectReference
        let object: JSON
        /// Whether the cluster has it as it should be, by loopd's own hand.
        var isUnchanged = false
    }

    /// What has to be done so that the cluster holds a set of manifests.
    struct Plan: Sendable {
        var items: [Item] = []
        /// What has left the set and is still loopd's.
        var leftovers: [ObjectReference] = []
        /// What has left the set, but somebody else's by now.
        var foreign: [ObjectReference] = []
        /// What changes, for people.
        var lines: [String] = []
        /// Fields that others have set and that are taken over.
        var conflicts: [String] = []
        /// What an earlier deployment applied.
        var inventory = Inventory([])

        /// Whether nothing is to be done.
        var isEmpty: Bool { leftovers.isEmpty && items.allSatisfy(\.isUnchanged) }
        /// Everything that belongs to the set.
        var references: [ObjectReference] { items.map(\.reference) }
    }

    // MARK: Planning

    /// Finds out what would change, by applying everything without effect.
    ///
    /// Throws `LoopFailure` where the cluster would refuse an object: then nothing should be applied at all.
    ///
    /// `isNewNamespace` is for a service's own namespace that is not there yet.
    func plan(_ objects: [JSON], isNewNamespace: Bool = false) async throws -> Plan {
        var plan = Plan()
        for object in objects {
            guard let found = ObjectReference(object) else { continue }
            let prepared = await prepare(object)
            let (reference, object) = try await placed(prepared ?? object, found)
            if plan.items.contains(where: { $0.reference.isSame(as: reference) }) {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "the manifests have \(reference) twice", nextStep: "one of them has to have another name"))
            }
            plan.items.append(Item(reference: reference, object: object, isUnchanged: prepared == nil))
        }
        plan.items.sort { $0.reference < $1.reference }
        var made = Set(plan.items.filter { $0.reference.kind == "Namespace" }.map(\.reference.name))
        if isNewNamespace { made.insert(namespace) }
        let defined = plan.items.contains { $0.reference.kind == "CustomResourceDefinition" }
        for index in plan.items.indices where !plan.items[index].isUnchanged {
            let item = plan.items[index]
            guard let resource = try await resources.resource(of: item.reference) else {
                guard defined else { throw unknown(item.reference) }
                plan.lines += ManifestDiff.lines(item.reference, from: nil, to: item.object)
                continue
            }
            let live = try await self.live(item.reference, resource)
            let isNewPlace = item.reference.namespace.map(made.contains) ?? false
            if live == nil, isNewPlace {
                plan.lines += ManifestDiff.lines(item.reference, from: nil, to: item.object)
                continue
            }
            let result = try await dryRun(item, resource, &plan.conflicts)
            let lines = ManifestDiff.lines(item.reference, from: live, to: result)
            plan.lines += lines
            plan.items[index].isUnchanged = lines.isEmpty && (live.map(ManifestApply.isOurs) ?? false)
            if lines.isEmpty, !plan.items[index].isUnchanged {
                plan.lines.append("~ \(item.reference)  is loopd's from now on")
            }
        }
        try await findLeftovers(&plan)
        return plan
    }

    /// An object with the namespace that it goes to, where it belongs into one.
    private func placed(_ object: JSON, _ reference: ObjectReference) async throws -> (ObjectReference, JSON) {
        let isNamespaced = try await resources.resource(of: reference)?.isNamespaced ?? (reference.namespace != nil)
        var object = object
        var metadata = object["metadata"] ?? [:]
        metadata["namespace"] = isNamespaced ? .string(reference.namespace ?? namespace) : nil
        // An object as the cluster shows it can be applied, too.
        for key in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
            metadata[key] = nil
        }
        object["metadata"] = metadata
        object["status"] = nil
        return (ObjectReference(object) ?? reference, object)
    }

    private func live(_ reference: ObjectReference, _ resource: KubeResource) async throws -> JSON? {
        do {
            return try await client.get(resource, reference.name, namespace: reference.namespace)
        } catch let error as KubeError where error.isNotFound {
            return nil
        } catch let error as KubeError {
            throw refused(reference, error)
        }
    }

    private func dryRun(_ item: Item, _ resource: KubeResource, _ conflicts: inout [String]) async throws -> JSON {
        let (name, namespace) = (item.reference.name, item.reference.namespace)
        do {
            do {
                return try await client.apply(
                    resource, name, namespace: namespace, item.object, manager: ManifestApply.manager, dryRun: true)
            } catch let error as KubeError where error.isConflict {
                conflicts.append("\(item.reference): \(ApplyConflict.words(error.message))")
                return try await client.apply(
                    resource, name, namespace: namespace, item.object, manager: ManifestApply.manager, force: true,
                    dryRun: true)
            }
        } catch let error as KubeError {
            throw refused(item.reference, error)
        }
    }

    private func findLeftovers(_ plan: inout Plan) async throws {
        do {
            let map = try await client.get(.configMaps, Inventory.name(of: service), namespace: namespace)
            plan.inventory = Inventory(configMap: map)
        } catch let error as KubeError where error.isNotFound {
            return
        } catch let error as KubeError {
            throw LoopFailure(failure: LoopEvent.Failure("\(error)"))
        }
        for old in plan.inventory.leftovers(beside: plan.references).reversed() {
            guard let resource = try await resources.resource(of: old), let live = try await live(old, resource) else {
                continue
            }
            if ManifestApply.isOurs(live) {
                plan.leftovers.append(old)
                plan.lines += ManifestDiff.lines(old, from: live, to: nil)
            } else {
                plan.foreign.append(old)
            }
        }
    }

    /// Whether loopd still applies an object: another one that is its owner by now has taken all of its fields.
    static func isOurs(_ object: JSON) -> Bool {
        (object.at("metadata", "managedFields")?.array ?? []).contains {
            $0["manager"]?.string == manager && $0["operation"]?.string == "Apply"
        }
    }

    // MARK: Applying

    /// Applies what is not as it should be, deletes what has left the set, and says what was done.
    ///
    /// Throws `LoopFailure` at the first object that the cluster refuses; what was applied before stays, and is in the
    /// inventory.
    func apply(_ plan: Plan) async throws -> [String] {
        var done: [String] = []
        // First what is going to be there: whoever is killed in the middle leaves nothing that nobody knows of.
        let union = Inventory(plan.inventory.objects + plan.references)
        if union != plan.inventory { try await keep(union) }
        for item in plan.items where !item.isUnchanged {
            let resource = try await resource(for: item.reference)
            do {
                _ = try await client.apply(
                    resource, item.reference.name, namespace: item.reference.namespace, item.object,
                    manager: ManifestApply.manager, force: true)
            } catch let error as KubeError {
                throw refused(item.reference, error)
            }
            done.append("\(item.reference)")
        }
        for old in plan.leftovers {
            guard let resource = try await resources.resource(of: old) else { continue }
            do {
                try await client.delete(resource, old.name, namespace: old.namespace)
            } catch let error as KubeError where !error.isNotFound {
                throw LoopFailure(failure: LoopEvent.Failure("\(old) cannot be deleted: \(error.message)"))
            }
            done.append("\(old) deleted")
        }
        let now = Inventory(plan.references)
        if now != union { try await keep(now) }
        return done
    }

    private func keep(_ inventory: Inventory) async throws {
        do {
            _ = try await client.apply(
                .configMaps, Inventory.name(of: service), namespace: namespace,
                inventory.configMap(of: service, namespace: namespace), manager: ManifestApply.manager, force: true)
        } catch let error as KubeError {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "configmap/\(Inventory.name(of: service)) cannot be written: \(error.message)",
                    nextStep: "loopd keeps in it what it has applied, to delete what leaves the set"))
        }
    }

    /// The resource of an object; of a definition that was just applied it may take the cluster a moment to serve it.
    private func resource(for reference: ObjectReference) async throws -> KubeResource {
        var backoff = Backoff()
        for _ in 0..<10 {
            if let resource = try await resources.resource(of: reference) { return resource }
            try await Task.sleep(for: backoff.next())
        }
        throw unknown(reference)
    }

    // MARK: Words

    private func unknown(_ reference: ObjectReference) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "\(reference): the cluster does not know the kind \(reference.kind) of \(reference.apiVersion)",
                nextStep: "install its definition first"))
    }

    private func refused(_ reference: ObjectReference, _ error: KubeError) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "\(reference) is refused: \(error.message)", nextStep: "mend what is built"))
    }
}

/// What the API server says of fields that others have set.
enum ApplyConflict {
    /// `helm has .spec.replicas`, from `Apply failed with 1 conflict: conflict with "helm" using apps/v1: .spec.replicas`.
    static func words(_ message: String) -> String {
        var owners: [(name: String, fields: [String])] = []
        for line in message.split(separator: "\n") {
            if let found = line.firstRange(of: " with \""), line.contains("conflict") {
                let rest = line[found.upperBound...]
                let name = String(rest.prefix { $0 != "\"" })
                let field = rest.lastRange(of: ": ").map { String(rest[$0.upperBound...]) }
                owners.append((name, field.map { [$0] } ?? []))
            } else if line.hasPrefix("- "), !owners.isEmpty {
                owners[owners.count - 1].fields.append(String(line.dropFirst(2)))
            }
        }
        guard !owners.isEmpty else { return message }
        return owners.map { "\($0.name) has \($0.fields.joined(separator: ", "))" }.joined(separator: "; ")
    }
}

extension Substring {
    fileprivate func lastRange(of text: String) -> Range<Index>? {
        var found: Range<Index>?
        var rest = self[...]
        while let next = rest.firstRange(of: text) {
            found = next
            rest = rest[next.upperBound...]
        }
        return found
    }
}
