/// The watched folders, and which inotify descriptor stands for which: about 40 bytes and a name for each.
///
/// A folder is a node: its parent's index and its own name; its path is put together when an event asks for it. Freed
/// nodes are used again. A descriptor belongs to the node that claimed it last, because the kernel hands out the same
/// one again when a folder is watched under its new name.
struct WatchTree {
    /// An index into the table; it may stand for another folder after `remove`.
    typealias Node = Int32

    private struct Record {
        var parent: Node
        var firstChild: Node = none
        var next: Node = none
        var previous: Node = none
        var watch: Int32 = none
        var nameOffset: UInt32
        var nameLength: UInt16
        var scope: UInt16
    }

    static let none: Int32 = -1
    static let root: Node = 0

    private var records: [Record] = []
    private var free: [Node] = []
    private var names: [UInt8] = []
    private var freedNameBytes = 0
    private var nodes: [Int32: Node] = [:]
    private var scopes: [IgnoreRules.Scope] = []
    private var freeScopes: [UInt16] = []
    /// The folders that the kernel's limit left without a watch.
    private(set) var refused: Set<Node> = []

    /// How many folders are watched.
    var watchCount: Int { nodes.count }

    /// A table with only the root in it.
    init(root scope: IgnoreRules.Scope) {
        scopes = [scope]
        records = [Record(parent: Self.none, nameOffset: 0, nameLength: 0, scope: 0)]
    }

    /// The node that a descriptor stands for.
    func node(watch: Int32) -> Node? { nodes[watch] }

    /// The node's descriptor, unless another node claimed it.
    func watch(of node: Node) -> Int32? {
        let watch = records[Int(node)].watch
        return watch != Self.none && nodes[watch] == node ? watch : nil
    }

    /// The ignore files that hold within the node's folder.
    func scope(of node: Node) -> IgnoreRules.Scope { scopes[Int(records[Int(node)].scope)] }

    mutating func setScope(_ scope: IgnoreRules.Scope, of node: Node) {
        if let free = freeScopes.popLast() {
            scopes[Int(free)] = scope
            records[Int(node)].scope = free
            return
        }
        // 65,535 different scopes are more ignore files than any tree has; beyond them the parent's holds.
        guard scopes.count < Int(UInt16.max) else { return }
        scopes.append(scope)
        records[Int(node)].scope = UInt16(scopes.count - 1)
    }

    mutating func claim(_ watch: Int32, for node: Node) {
        records[Int(node)].watch = watch
        nodes[watch] = node
        refused.remove(node)
    }

    /// Notes that there is no watch for the node.
    mutating func refuse(_ node: Node) { refused.insert(node) }

    /// The kernel took the descriptor back.
    mutating func forget(watch: Int32) { nodes[watch] = nil }

    /// Adds a folder below `parent`, with its parent's scope.
    mutating func add(_ name: some Collection<UInt8>, below parent: Node) -> Node {
        let offset = UInt32(names.count)
        names.append(contentsOf: name)
        let sibling = records[Int(parent)].firstChild
        let record = Record(
            parent: parent, next: sibling, nameOffset: offset, nameLength: UInt16(name.count),
            scope: records[Int(parent)].scope)
        let node: Node
        if let reused = free.popLast() {
            node = reused
            records[Int(node)] = record
        } else {
            node = Node(records.count)
            records.append(record)
        }
        if sibling != Self.none { records[Int(sibling)].previous = node }
        records[Int(parent)].firstChild = node
        return node
    }

    /// The folders of this name below `parent`.
    ///
    /// There can be two: one whose removal the kernel has yet to confirm, because somebody still holds it open, and its
    /// successor, which comes first.
    func children(of parent: Node, named name: ArraySlice<UInt8>) -> [Node] {
        var found: [Node] = []
        var child = records[Int(parent)].firstChild
        while child != Self.none {
            if self.name(child).elementsEqual(name) { found.append(child) }
            child = records[Int(child)].next
        }
        return found
    }

    /// Takes a subtree out of the table; returns the descriptors that nobody needs any more.
    ///
    /// The root's node stays.
    mutating func remove(_ top: Node) -> [Int32] {
        var released: [Int32] = []
        var waiting = [top]
        while let node = waiting.popLast() {
            var child = records[Int(node)].firstChild
            while child != Self.none {
                waiting.append(child)
                child = records[Int(child)].next
            }
            if let watch = watch(of: node) {
                nodes[watch] = nil
                released.append(watch)
            }
            refused.remove(node)
            if node == Self.root {
                records[0].firstChild = Self.none
                records[0].watch = Self.none
                continue
            }
            if node == top { unlink(node) }
            // One that is not the parent's is its own, for those below that are on their way out as well.
            let record = records[Int(node)]
            if record.scope != records[Int(record.parent)].scope { freeScopes.append(record.scope) }
            freedNameBytes += Int(records[Int(node)].nameLength)
            records[Int(node)].watch = Self.none
            free.append(node)
        }
        if freedNameBytes > 65_536, freedNameBytes > names.count / 2 { compactNames() }
        return released
    }

    /// Whether two nodes are entries of one name below one parent.
    func isSamePlace(_ one: Node, _ other: Node) -> Bool {
        records[Int(one)].parent == records[Int(other)].parent && name(one).elementsEqual(name(other))
    }

    /// A folder's name and the folder above; nil for the root.
    func place(of node: Node) -> (name: ArraySlice<UInt8>, parent: Node)? {
        node == Self.root ? nil : (name(node), records[Int(node)].parent)
    }

    func path(of node: Node) -> RelativePath {
        var length = -1
        var place = node
        while place != Self.root {
            length += Int(records[Int(place)].nameLength) + 1
            place = records[Int(place)].parent
        }
        guard length > 0 else { return .root }
        let bytes = [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
            var end = length
            var place = node
            while place != Self.root {
                let name = name(place)
                end -= name.count
                for (index, byte) in name.enumerated() { buffer[end + index] = byte }
                if end > 0 {
                    end -= 1
                    buffer[end] = slash
                }
                place = records[Int(place)].parent
            }
            count = length
        }
        return RelativePath(bytes: bytes)
    }

    private func name(_ node: Node) -> ArraySlice<UInt8> {
        let record = records[Int(node)]
        return names[Int(record.nameOffset)..<(Int(record.nameOffset) + Int(record.nameLength))]
    }

    private mutating func unlink(_ node: Node) {
        let record = records[Int(node)]
        if record.previous != Self.none {
            records[Int(record.previous)].next = record.next
        } else {
            records[Int(record.parent)].firstChild = record.next
        }
        if record.next != Self.none { records[Int(record.next)].previous = record.previous }
    }

    private mutating func compactNames() {
        let freed = Set(free)
        var kept: [UInt8] = []
        for node in records.indices where !freed.contains(Node(node)) {
            let name = name(Node(node))
            records[node].nameOffset = UInt32(kept.count)
            kept.append(contentsOf: name)
        }
        names = kept
        freedNameBytes = 0
    }
}
