internal import JSON

/// What loopd has applied for a service, kept in a ConfigMap beside it: what is here and in no manifest any more has left
/// the set.
struct Inventory: Equatable, Sendable {
    /// Which of a service's deployments it is about.
    enum Part: String, CaseIterable, Sendable {
        /// What its rules deploy.
        case rules = ""
        /// Its `manifests`, which are applied when loopd starts. No name of a service has a dot.
        case manifests = ".manifests"
    }

    /// The objects, in the order they are applied in.
    var objects: [ObjectReference]
    /// Namespaces that were not there before.
    var madeNamespaces: Set<String>

    /// The ConfigMap's name for a service.
    static func name(of service: String, _ part: Part = .rules) -> String {
        "loopd-inventory-\(service)\(part.rawValue)"
    }

    init(_ objects: some Sequence<ObjectReference>, madeNamespaces: Set<String> = []) {
        self.objects = Set(objects).sorted()
        let names = self.objects.filter { $0.kind == "Namespace" }.map(\.name)
        self.madeNamespaces = madeNamespaces.intersection(names)
    }

    /// Whether a namespace is of loopd's own making.
    func makes(_ namespace: ObjectReference) -> Bool { madeNamespaces.contains(namespace.name) }

    /// The inventory in a ConfigMap; what makes no sense in it is left out.
    init(configMap: JSON) {
        let text = configMap.at("data", Inventory.key)?.string ?? "[]"
        let entries = (try? JSON(parsing: Array(text.utf8)))?.array ?? []
        let made = entries.filter { $0["made"]?.bool == true }.compactMap { $0["name"]?.string }
        let objects: [ObjectReference] =
            entries.compactMap { entry in
                guard let apiVersion = entry["apiVersion"]?.string, let kind = entry["kind"]?.string,
                    let name = entry["name"]?.string
                else { return nil }
                return ObjectReference(
                    apiVersion: apiVersion, kind: kind, namespace: entry["namespace"]?.string, name: name)
            }
        self.init(objects, madeNamespaces: Set(made))
    }

    private static let key = "objects"

    /// The ConfigMap of a service's inventory.
    func configMap(named configMap: String, of service: String, in project: String, namespace: String) -> JSON {
        let entries = objects.map { object -> JSON in
            var entry: JSON = [
                "apiVersion": .string(object.apiVersion), "kind": .string(object.kind), "name": .string(object.name),
            ]
            entry["namespace"] = object.namespace.map(JSON.string)
            if object.kind == "Namespace", makes(object) { entry["made"] = true }
            return entry
        }
        return [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": [
                "name": .string(configMap), "namespace": .string(namespace),
                "labels": [
                    "app.kubernetes.io/managed-by": "loopd", "loopd.dev/service": .string(service),
                    ProjectLabel.key: .string(project),
                ],
            ],
            "data": [Inventory.key: .string(JSON.array(entries).text)],
        ]
    }

    /// What is here and not in a new set.
    func leftovers(beside set: [ObjectReference]) -> [ObjectReference] {
        objects.filter { old in !set.contains { $0.isSame(as: old) } }
    }
}
