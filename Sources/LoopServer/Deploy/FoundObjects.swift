internal import JSON

/// Finds out which objects of a set were in the cluster before loopd first applied them.
struct FoundObjects {
    private let store: InventoryStore
    private let known: Inventory
    /// The other inventories of the namespace, once they are needed.
    private var others: [InventoryStore.Entry]?
    /// The objects that were there before, as the inventory is to hold them.
    private(set) var references: [ObjectReference]

    /// Goes on from what an inventory knows.
    init(_ known: Inventory, _ store: InventoryStore) {
        self.known = known
        self.store = store
        references = known.found
    }

    /// Whether nothing that the cluster has of an object can matter any more.
    func isSettled(_ object: ObjectReference) -> Bool { known.holds(object) && !known.wasFound(object) }

    /// Looks at an object before it is applied; `live` is what the cluster has of it.
    mutating func look(at object: ObjectReference, live: JSON?) async throws {
        guard let live else {
            // Whoever was there before is gone: the next one is loopd's.
            references.removeAll { $0.isSame(as: object) }
            return
        }
        guard !known.wasFound(object), !isSettled(object) else { return }
        if FoundObjects.isFound(object, live: live, project: store.project, others: try await entries()) {
            references.append(object)
        }
    }

    private mutating func entries() async throws -> [InventoryStore.Entry] {
        if let others { return others }
        var entries: [InventoryStore.Entry] = []
        do {
            entries = try await InventoryStore.all(store.client, namespace: store.namespace)
        } catch let error as KubeError where error.isForbidden {
            // Who may not list them goes by the object alone.
        }
        others = entries
        return entries
    }

    /// Whether an object that no list of its service knows was there before.
    static func isFound(
        _ object: ObjectReference, live: JSON, project: String, others: [InventoryStore.Entry]
    ) -> Bool {
        // It may have come from another service, or from another of its lists.
        if others.contains(where: { $0.inventory.wasFound(object) }) { return true }
        let holders = others.filter { $0.inventory.holds(object) }
        if !holders.isEmpty { return !holders.contains { $0.project == project } }
        if object.kind == "Namespace" {
            return live["metadata"]?.strings("labels")[ClusterConnection.ownLabel] != "loopd"
        }
        // A session whose list is lost has applied it.
        return !ManifestApply.isOurs(live)
    }
}
