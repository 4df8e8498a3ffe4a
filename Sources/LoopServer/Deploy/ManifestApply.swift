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
    /// The project of the service.
    let project: String
    private let resources: APIResources
    /// What an object becomes before it is applied: dev mode's patch belongs in it, so that one rollout comes of it.
    ///
    /// `nil` where it has to stay as it is.
    var prepare: @Sendable (JSON) async -> JSON? = { $0 }
    /// The images that go into the manifests.
    var images: @Sendable () async -> ManifestImages = { ManifestImages() }
    /// The images that come into an object's containers by themselves when they are built anew.
    var rolled: @Sendable (ObjectReference) -> Set<String> = { _ in [] }
    /// Where an object comes from, for people: a file.
    var origin: @Sendable (ObjectReference) -> String? = { _ in nil }
    /// Where is kept what was applied; `nil` where nobody is to remember, and nothing is ever deleted.
    private let store: InventoryStore?
    /// Whether what holds data goes with what has left the set, too: only where a person is asked before.
    var prunesData = false
    /// Whether Jobs and bare pods whose template changes are deleted and made anew; else they stay as they are.
    var recreates = false
    /// What is told while something is made anew.
    var emit: @Sendable (LoopEvent.Kind) -> Void = { _ in }

    /// Nothing happens before one of the calls.
    init(_ client: KubeClient, namespace: String, service: String, of project: String) {
        self.client = client
        self.namespace = namespace
        self.service = service
        self.project = project
        store = InventoryStore(client: client, namespace: namespace, service: service, project: project, part: .rules)
        resources = APIResources(client)
    }

    /// For what is applied and stays, such as the definitions of kinds.
    init(forgetting client: KubeClient, namespace: String) {
        self.client = client
        self.namespace = namespace
        service = ""
        project = ""
        store = nil
        resources = APIResources(client)
    }

    /// An object of the set.
    struct Item: Sendable {
        let reference: ObjectReference
        let object: JSON
        /// Whether the cluster has it as it should be, by loopd's own hand, or it has to stay as it is.
        var isUnchanged = false
        /// What is deleted first, because it cannot be changed.
        var predecessor: JSON?
        /// Whether kubectl has set fields of it, which are taken over first.
        var isTakenOver = false
        /// Whether the set changes the definition of its kind, which the cluster then takes a moment to go by.
        var waitsForDefinition = false
    }

    /// What has to be done so that the cluster holds a set of manifests.
    struct Plan: Sendable {
        var items: [Item] = []
        /// What has left the set and is still loopd's.
        var leftovers: [ObjectReference] = []
        /// What has left the set and stays.
        var kept: [KeptLeftover] = []
        /// What changes, for people.
        var lines: [String] = []
        /// Fields that others have set and that are taken over.
        var conflicts: [String] = []
        /// What an earlier deployment applied.
        var inventory = Inventory([])
        /// The set with its images, as it is kept to go back to; `nil` while some of it waits.
        var rendered: [JSON]? = []
        /// The images for whose sake it has to be applied again when they are others.
        var images: Set<String> = []
        /// What waits for images that have not been built yet, in lines for people.
        var waiting: [String] = []
        /// What was there before loopd first applied it, in this set and in earlier ones.
        var found: [ObjectReference] = []
        /// Whether the list is to hold an object that is as it should be: another service's list may have had it so far.
        var adopts = false
        /// What cannot become what the set says, and stays as it is.
        var immutable: [LoopEvent.Failure] = []

        /// Whether nothing is to be done.
        var isEmpty: Bool { leftovers.isEmpty && !adopts && items.allSatisfy(\.isUnchanged) }
        /// Everything that belongs to the set.
        var references: [ObjectReference] { items.map(\.reference) }
        /// The workloads that it changes.
        var changedWorkloads: [ObjectReference] {
            items.filter { !$0.isUnchanged }.map(\.reference).filter { $0.workloadKind != nil }
        }
    }

    // MARK: Planning

    /// Finds out what would change, by applying everything without effect.
    ///
    /// Throws `LoopFailure` where the cluster would refuse an object: then nothing should be applied at all.
    ///
    /// `isNewNamespace` is for a service's own namespace that is not there yet.
    ///
    /// `doubt` says why the set may not be all of it; then nothing is deleted.
    func plan(_ objects: [JSON], isNewNamespace: Bool = false, doubt: String? = nil) async throws -> Plan {
        var plan = Plan()
        let definitions = CustomDefinitions(objects)
        let images = await images()
        for given in objects {
            guard let found = ObjectReference(given) else { continue }
            let imaged = try await imaged(given, found, images, &plan)
            let prepared = if let imaged { await prepare(imaged) } else { JSON?.none }
            let (reference, object) = try await placed(prepared ?? imaged ?? given, found, definitions)
            if plan.items.contains(where: { $0.reference.isSame(as: reference) }) {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "the manifests have \(reference) twice\(file(reference))",
                        nextStep: "one of them has to have another name"))
            }
            plan.items.append(Item(reference: reference, object: object, isUnchanged: prepared == nil))
        }
        plan.items.sort { $0.reference < $1.reference }
        plan.inventory = try await store?.read() ?? Inventory([])
        var found = store.map { FoundObjects(plan.inventory, $0) }
        var made = Set(plan.items.filter { $0.reference.kind == "Namespace" }.map(\.reference.name))
        if isNewNamespace { made.insert(namespace) }
        var changedDefinitions: Set<String> = []
        for index in plan.items.indices {
            let item = plan.items[index]
            let resource = try await resources.resource(of: item.reference)
            let live = if let resource { try await self.live(item.reference, resource) } else { JSON?.none }
            try await found?.look(at: item.reference, live: live)
            // It waits for an image.
            if item.isUnchanged { continue }
            guard let resource else {
                guard !definitions.isEmpty else { throw unknown(item.reference) }
                plan.items[index].waitsForDefinition = true
                plan.lines += ManifestDiff.lines(item.reference, from: nil, to: item.object)
                continue
            }
            if let name = definitions.name(of: item.reference), changedDefinitions.contains(name) {
                // The cluster would check it against what it knows of the kind now.
                plan.items[index].waitsForDefinition = true
                plan.lines.append(
                    live == nil ? "+ \(item.reference)" : "~ \(item.reference)  goes by its new definition")
                continue
            }
            let isNewPlace = item.reference.namespace.map(made.contains) ?? false
            if live == nil, isNewPlace {
                plan.lines += ManifestDiff.lines(item.reference, from: nil, to: item.object)
                continue
            }
            let isChanged = try await compare(index, live, resource, &plan)
            if item.reference.kind == CustomDefinitions.kind, isChanged {
                changedDefinitions.insert(item.reference.name)
            }
            if store != nil, plan.items[index].isUnchanged, !plan.inventory.holds(item.reference) {
                plan.adopts = true
                plan.lines.append("~ \(item.reference)  is service \(service)'s from now on")
            }
        }
        plan.found = found?.references ?? []
        try await findLeftovers(
            &plan, doubt: doubt ?? (plan.items.isEmpty ? "there is no object in the manifests" : nil))
        return plan
    }

    /// Finds out what becomes of an object; whether something in it changes.
    private func compare(
        _ index: Int, _ live: JSON?, _ resource: KubeResource, _ plan: inout Plan
    ) async throws -> Bool {
        let item = plan.items[index]
        var conflicts: [String] = []
        var result: JSON
        do {
            result = try await dryRun(item, resource, &conflicts)
        } catch let error as KubeError {
            guard let live, let change = ImmutableChange(error, of: item.reference) else {
                throw refused(item.reference, error)
            }
            try await self.plan(change, index, live: live, in: &plan)
            return false
        }
        // What nobody remembers stays whole: it is not this set's alone.
        if let live, store != nil, let kubectls = ClientSideFields(of: live) {
            let less = kubectls.removed(from: result, wanted: item.object)
            if let change = await tryOut(less, insteadOf: live, item.reference, resource) {
                try await self.plan(change, index, live: live, in: &plan)
                return false
            }
            result = less
            plan.items[index].isTakenOver = true
        }
        plan.conflicts += conflicts
        let lines = ManifestDiff.lines(item.reference, from: live, to: result)
        plan.lines += lines
        if lines.isEmpty {
            let isOurs = live.map(ManifestApply.isOurs) ?? false
            plan.items[index].isUnchanged = isOurs && !plan.items[index].isTakenOver
            if !plan.items[index].isUnchanged { plan.lines.append("~ \(item.reference)  is loopd's from now on") }
        }
        return !lines.isEmpty
    }

    /// An object with its images; `nil` where one of them has not been built yet, so that it has to stay as it is.
    private func imaged(
        _ object: JSON, _ reference: ObjectReference, _ images: ManifestImages, _ plan: inout Plan
    ) async throws -> JSON? {
        var replaced = try images.replaced(in: object)
        if !replaced.missing.isEmpty, let resource = try await resources.resource(of: reference) {
            var place = reference
            if resource.isNamespaced, place.namespace == nil {
                place = ObjectReference(
                    apiVersion: place.apiVersion, kind: place.kind, namespace: namespace, name: place.name)
            }
            replaced = try images.replaced(in: object, running: try await live(place, resource))
        }
        plan.images.formUnion(replaced.used.subtracting(rolled(reference)))
        plan.images.formUnion(replaced.named.union(replaced.missing))
        guard replaced.missing.isEmpty else {
            plan.waiting.append(ManifestImages.words(reference, waitsFor: replaced.missing))
            plan.rendered = nil
            return nil
        }
        plan.rendered?.append(replaced.value)
        return replaced.value
    }

    /// An object with the namespace that it goes to, where it belongs into one.
    private func placed(
        _ object: JSON, _ reference: ObjectReference, _ definitions: CustomDefinitions
    ) async throws -> (ObjectReference, JSON) {
        let isNamespaced =
            try await resources.resource(of: reference)?.isNamespaced ?? definitions.isNamespaced(reference)
            ?? (reference.namespace != nil)
        var object = object
        var metadata = object["metadata"] ?? [:]
        metadata["namespace"] = isNamespaced ? .string(reference.namespace ?? namespace) : nil
        // An object as the cluster shows it can be applied, too.
        for key in ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation"] {
            metadata[key] = nil
        }
        object["metadata"] = metadata
        object["status"] = nil
        if store != nil, ManifestApply.isBare(object) {
            object["metadata"]?["labels"] = [ProjectLabel.key: .string(project)]
        }
        return (ObjectReference(object) ?? reference, object)
    }

    /// Whether an object says nothing but its name: the cluster then keeps no entry of who applies it, by which loopd would
    /// know that it does.
    static func isBare(_ object: JSON) -> Bool {
        func says(_ value: JSON?, beside names: Set<String>) -> Bool {
            (value?.object ?? JSONObject()).contains { key, value in
                let isEmpty = value == .null || value.object?.isEmpty == true || value.array?.isEmpty == true
                return !isEmpty && !names.contains(key)
            }
        }
        return !says(object, beside: ["apiVersion", "kind", "metadata"])
            && !says(object["metadata"], beside: ["name", "namespace"])
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
            return try await client.apply(
                resource, name, namespace: namespace, item.object, manager: ManifestApply.manager, dryRun: true)
        } catch let error as KubeError where error.isConflict {
            conflicts.append("\(item.reference): \(ApplyConflict.words(error.message))")
            return try await client.apply(
                resource, name, namespace: namespace, item.object, manager: ManifestApply.manager, force: true,
                dryRun: true)
        }
    }

    private func findLeftovers(_ plan: inout Plan, doubt: String?) async throws {
        for old in plan.inventory.leftovers(beside: plan.references).reversed() {
            guard let resource = try await resources.resource(of: old), let live = try await live(old, resource) else {
                continue
            }
            var reason = KeptLeftover.Reason(
                old, isOurs: ManifestApply.isOurs(live), isFound: plan.inventory.wasFound(old), prunesData: prunesData,
                doubt: doubt)
            if reason == nil, let obstacle = try await obstacle(to: old, plan) { reason = .occupied(obstacle) }
            if let reason {
                plan.kept.append(KeptLeftover(reference: old, reason: reason))
            } else {
                plan.leftovers.append(old)
                plan.lines += ManifestDiff.lines(old, from: live, to: nil)
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
        let union = Inventory(plan.inventory.objects + plan.references, found: plan.found)
        if union != plan.inventory { try await store?.require(union) }
        for item in plan.items where !item.isUnchanged {
            try await apply(item)
            done.append("\(item.reference)")
        }
        var kept = plan.kept
        for old in plan.leftovers {
            guard let resource = try await resources.resource(of: old) else { continue }
            // Somebody may have put something into it while the question was open.
            if let obstacle = try await obstacle(to: old, plan) {
                kept.append(KeptLeftover(reference: old, reason: .occupied(obstacle)))
                emit(.notice(kept[kept.count - 1].description))
                continue
            }
            do {
                try await client.delete(resource, old.name, namespace: old.namespace)
            } catch let error as KubeError where !error.isNotFound {
                throw LoopFailure(failure: LoopEvent.Failure("\(old) cannot be deleted: \(error.message)"))
            }
            done.append("\(old) deleted")
        }
        let remembered = kept.filter(\.isRemembered).map(\.reference)
        let now = Inventory(plan.references + remembered, found: plan.found)
        if now != union { try await store?.require(now) }
        return done
    }

    private func apply(_ item: Item) async throws {
        let resource = try await resource(for: item.reference)
        if item.predecessor != nil { try await makeAnew(item) }
        if item.isTakenOver { try await takeOver(item, resource) }
        var backoff = Backoff()
        for attempt in 1... {
            do {
                _ = try await client.apply(
                    resource, item.reference.name, namespace: item.reference.namespace, item.object,
                    manager: ManifestApply.manager, force: true)
                return await finish(item)
            } catch let error as KubeError {
                guard item.waitsForDefinition, attempt < 10 else { throw refused(item.reference, error) }
            }
            try await Task.sleep(for: backoff.next())
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

    /// Waits until the cluster serves the kinds that a set of definitions brings.
    ///
    /// Throws `LoopFailure` where it does not within a few seconds.
    func untilServed(_ plan: Plan) async throws {
        for item in plan.items where item.reference.kind == CustomDefinitions.kind {
            guard let group = item.object.at("spec", "group")?.string,
                let kind = item.object.at("spec", "names", "kind")?.string
            else { continue }
            for version in item.object.at("spec", "versions")?.array ?? [] where version["served"]?.bool == true {
                let apiVersion = "\(group)/\(version["name"]?.string ?? "")"
                _ = try await resource(
                    for: ObjectReference(
                        apiVersion: apiVersion, kind: kind, namespace: nil, name: item.reference.name))
            }
        }
    }
}
