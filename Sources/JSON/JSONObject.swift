/// A JSON object in the order of its keys.
///
/// Equality does not look at the order. Looking a key up takes the same time in small and big objects; removing one from
/// a big object takes time in proportion to its size.
public struct JSONObject: Equatable, Sendable, Sequence {
    private var entries: [(key: String, value: JSON)] = []
    /// Where each key stands, once there are too many keys to look through.
    private var index: [String: Int]?
    private static let indexedFrom = 16

    /// An empty object.
    public init() {}

    /// The value of a key; assigning `nil` removes the key, assigning to a new key appends it.
    public subscript(key: String) -> JSON? {
        get { place(of: key).map { entries[$0].value } }
        set {
            switch (place(of: key), newValue) {
            case (let place?, let value?): entries[place].value = value
            case (let place?, nil): remove(at: place)
            case (nil, let value?): append(key, value)
            case (nil, nil): break
            }
        }
    }

    /// The keys in their order.
    public var keys: [String] { entries.map(\.key) }
    /// Whether there is no key.
    public var isEmpty: Bool { entries.isEmpty }
    /// How many keys there are.
    public var count: Int { entries.count }

    /// Goes through the keys with their values, in their order.
    public func makeIterator() -> some IteratorProtocol<(key: String, value: JSON)> { entries.makeIterator() }

    /// Whether both have the same keys with equal values, in whatever order.
    public static func == (left: JSONObject, right: JSONObject) -> Bool {
        left.count == right.count && left.entries.allSatisfy { right[$0.key] == $0.value }
    }

    private func place(of key: String) -> Int? {
        if let index { return index[key] }
        return entries.firstIndex { $0.key == key }
    }

    private mutating func append(_ key: String, _ value: JSON) {
        entries.append((key, value))
        if index != nil {
            index?[key] = entries.count - 1
        } else if entries.count == JSONObject.indexedFrom {
            reindex()
        }
    }

    private mutating func remove(at place: Int) {
        entries.remove(at: place)
        if index != nil { reindex() }
    }

    private mutating func reindex() {
        var index: [String: Int] = [:]
        for (place, entry) in entries.enumerated() { index[entry.key] = place }
        self.index = index
    }
}
