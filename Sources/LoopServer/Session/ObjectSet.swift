internal import JSON

/// The objects of one watch as they are now, by name.
struct ObjectSet {
    private(set) var objects: [String: JSON] = [:]
    /// Whether the first list has come.
    private(set) var isSynced = false
    /// Why what is known may be old.
    private(set) var disconnection: String?

    /// Takes a change.
    mutating func apply(_ change: ResourceChange) {
        switch change {
        case .synced(let items):
            objects = [:]
            for item in items { objects[ObjectSet.name(item)] = item }
            isSynced = true
            disconnection = nil
        case .changed(let object): objects[ObjectSet.name(object)] = object
        case .removed(let object): objects[ObjectSet.name(object)] = nil
        case .disconnected(let reason, _): disconnection = reason
        }
    }

    var values: [JSON] { Array(objects.values) }

    private static func name(_ object: JSON) -> String { object.at("metadata", "name")?.string ?? "" }
}
