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
        /// The releases of charts that were not there before.
        case releases = ".releases"
    }

    /// The objects, in the order they are applied in.
    let objects: [ObjectReference]
    /// What was in the cluster before loopd first applied it, and is never deleted; what has left the set is in it, too,
    /// because it may come back.
    let found: [ObjectReference]

    /// The ConfigMap's name for a service.
    static func name(of service: String, _ part: Part = .rules) -> String { "\(prefix)\(service)\(part.rawValue)" }

    /// What every ConfigMap's name begins with.
    static let prefix = "loopd-inventory-"
    /// The label that says which service a ConfigMap is about.
    static let service = "loopd.dev/service"

    init(_ objects: some Sequence<ObjectReference>, found: some Sequence<ObjectReference> = []) {
        self.objects = Set(objects).sorted()
        self.found = Set(found).sorted()
    }

    /// Whether an object is in the set.
    func holds(_ object: ObjectReference) -> Bool { objects.contains { $0.isSame(as: object) } }

    /// Whether an object was there before loopd first applied it.
    func wasFound(_ object: ObjectReference) -> Bool { found.contains { $0.isSame(as: object) } }

    /// The inventory in a ConfigMap; what makes no sense in it is left out.
    init(configMap: JSON) {
        let entries = Inventory.entries(configMap.at("data", Inventory.objectsKey))
        let releases = (configMap["data"]?.object?.keys ?? []).filter { $0.hasPrefix(Inventory.releasePrefix) }
        let objects =
            entries.compactMap(Inventory.reference)
            + releases.map { .release($0.droppingPrefix(Inventory.releasePrefix)) }
        if let found = configMap.at("data", Inventory.foundKey) {
            self.init(objects, found: Inventory.entries(found).compactMap(Inventory.reference))
        } else {
            // An earlier loopd has only looked at namespaces, and marked those of its own making.
            let isFound = { (entry: JSON) in entry["kind"] == "Namespace" && entry["made"]?.bool != true }
            self.init(objects, found: entries.filter(isFound).compactMap(Inventory.reference))
        }
    }

    private static let objectsKey = "objects"
    private static let foundKey = "found"
    /// What the key of a release begins with: each has one, because several may be installed at the same time.
    static let releasePrefix = "release."

    private static func entries(_ text: JSON?) -> [JSON] {
        (try? JSON(parsing: Array((text?.string ?? "").utf8)))?.array ?? []
    }

    private static func reference(_ entry: JSON) -> ObjectReference? {
        guard let apiVersion = entry["apiVersion"]?.string, let kind = entry["kind"]?.string,
            let name = entry["name"]?.string
        else { return nil }
        return ObjectReference(apiVersion: apiVersion, kind: kind, namespace: entry["namespace"]?.string, name: name)
    }

    private static func text(_ objects: [ObjectReference]) -> JSON {
        let entries = objects.map { object -> JSON in
            var entry: JSON = [
                "apiVersion": .string(object.apiVersion), "kind": .string(object.kind), "name": .string(object.name),
            ]
            entry["namespace"] = object.namespace.map(JSON.string)
            return entry
        }
        return .string(JSON.array(entries).text)
    }

    /// The ConfigMap of a service's inventory.
    func configMap(named configMap: String, of service: String, in project: String, namespace: String) -> JSON {
        [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": [
                "name": .string(configMap), "namespace": .string(namespace),
                "labels": [
                    ClusterConnection.ownLabel: "loopd", Inventory.service: .string(service),
                    ProjectLabel.key: .string(project),
                ],
            ],
            "data": [Inventory.objectsKey: Inventory.text(objects), Inventory.foundKey: Inventory.text(found)],
        ]
    }

    /// What is here and not in a new set.
    func leftovers(beside set: [ObjectReference]) -> [ObjectReference] {
        objects.filter { old in !set.contains { $0.isSame(as: old) } }
    }
}

extension ObjectReference {
    /// The release of a chart, which is no object of the API.
    static func release(_ name: String) -> ObjectReference {
        ObjectReference(apiVersion: "helm.sh", kind: "Release", namespace: nil, name: name)
    }
}
