internal import JSON

/// What a watch tells its reader.
enum ResourceChange: Equatable, Sendable {
    /// All objects of the scope: after the first list, and whenever the connection is back.
    case synced([JSON])
    /// An object is new or different.
    case changed(JSON)
    /// An object is gone; its last known state.
    case removed(JSON)
    /// The cluster does not answer; what is known may be old.
    ///
    /// `synced` follows when it does again. A refusal is an answer, too: this kind is not known there, or not for us.
    case disconnected(String, isRefusal: Bool = false)
}

/// The changes that the reader has not taken yet, at most one for each object: a slow reader sees the present, not the
/// history.
struct WatchBacklog {
    private(set) var objects: [String: JSON] = [:]
    private var isSynced = false
    private var disconnection: (reason: String, isRefusal: Bool)?
    private var pending: [String: ResourceChange] = [:]
    private var order: [String] = []

    /// The name by which one object is known; another object of the same name replaces it.
    private static func key(_ object: JSON) -> String {
        "\(object.at("metadata", "namespace")?.string ?? "")/\(object.at("metadata", "name")?.string ?? "")"
    }

    /// A new list takes the place of everything.
    mutating func replace(with items: [JSON]) {
        objects = [:]
        for item in items { objects[WatchBacklog.key(item)] = item }
        resync()
    }

    /// The connection is back, and nothing was missed.
    mutating func resync() {
        isSynced = true
        disconnection = nil
        pending = [:]
        order = []
    }

    mutating func change(_ object: JSON) {
        let key = WatchBacklog.key(object)
        objects[key] = object
        note(.changed(object), key)
    }

    mutating func remove(_ object: JSON) {
        let key = WatchBacklog.key(object)
        objects[key] = nil
        note(.removed(object), key)
    }

    mutating func disconnect(_ reason: String, isRefusal: Bool = false) { disconnection = (reason, isRefusal) }

    private mutating func note(_ change: ResourceChange, _ key: String) {
        // A pending list is made when it is taken, and has this change in it then.
        if isSynced { return }
        if pending.updateValue(change, forKey: key) == nil { order.append(key) }
    }

    /// The next change for the reader.
    mutating func next() -> ResourceChange? {
        if isSynced {
            isSynced = false
            return .synced(objects.keys.sorted().compactMap { objects[$0] })
        }
        if !order.isEmpty { return pending.removeValue(forKey: order.removeFirst()) }
        return disconnection.take().map { .disconnected($0.reason, isRefusal: $0.isRefusal) }
    }
}
