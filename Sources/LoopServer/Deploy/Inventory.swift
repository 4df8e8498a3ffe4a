internal import JSON

/// What loopd has applied for a service, kept in a ConfigMap beside it: what is here and in no manifest any more has left
/// the set.
struct Inventory: Equatable, Sendable {
    /// The objects, in the order they are applied in.
    var objects: [ObjectReference]

    /// The ConfigMap's name for a service.
    static func name(of service: String) -> String { "loopd-inventory-\(service)" }

    init(_ objects: some Sequence<ObjectReference>) { self.objects = Set(objects).sorted() }

    /// The inventory in a ConfigMap; what makes no sense in it is left out.
    init(configMap: JSON) {
        let text = configMap.at("data", Inventory.key)?.string ?? "[]"
        let entries = (try? JSON(parsing: Array(text.utf8)))?.array ?? []
        self.init(
            entries.compactMap { entry in
                guard let apiVersion = entry["apiVersion"]?.string, let kind = entry["kind"]?.string,
                    let name = entry["name"]?.string
                else { return nil }
                return ObjectReference(
                    apiVersion: apiVersion, kind: kind, namespace: entry["namespace"]?.string, name: name)
            })
    }

    private static let key = "objects"

    /// The ConfigMap of a service's inventory.
    func configMap(of service: String, namespace: String) -> JSON {
        let entries = objects.map { object -> JSON in
            var entry: JSON = [
                "apiVersion": .string(object.apiVersion), "kind": .string(object.kind), "name": .string(object.name),
            ]
            entry["namespace"] = object.namespace.map(JSON.string)
            return entry
        }
        return [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": [
                "name": .string(Inventory.name(of: service)), "namespace": .string(namespace),
                "labels": ["app.kubernetes.io/managed-by": "loopd"],
            ],
            "data": [Inventory.key: .string(JSON.array(entries).text)],
        ]
    }

    /// What is here and not in a new set.
    func leftovers(beside set: [ObjectReference]) -> [ObjectReference] {
        objects.filter { old in !set.contains { $0.isSame(as: old) } }
    }
}
