internal import Glibc

/// Keeps one watch on every folder that is not ignored, below a root.
///
/// A folder is watched first and listed then, so that what is created in between shows as an event, in the listing, or
/// in both, and never in neither.
struct FolderWatches {
    let inotify: Inotify
    let rules: IgnoreRules
    private(set) var tree: WatchTree
    /// Folders that could not be read since the last `takeUnreadable`.
    private var unreadable: [UnreadableFolder] = []
    /// Stands in for the kernel's limit in tests.
    private let limit: Int?

    init(rules: IgnoreRules, inotify: Inotify, limit: Int? = nil) {
        self.rules = rules
        self.inotify = inotify
        self.limit = limit
        tree = WatchTree(root: rules.rootScope())
    }

    /// Watches the root and everything below it.
    mutating func attachRoot() { attach(WatchTree.root) }

    /// Watches a folder that appeared, and everything below it.
    mutating func attach(_ name: ArraySlice<UInt8>, below parent: WatchTree.Node) {
        attach(tree.add(name, below: parent))
    }

    /// Stops watching the folders of this name, and everything below them.
    mutating func detach(_ name: ArraySlice<UInt8>, below parent: WatchTree.Node) {
        for node in tree.children(of: parent, named: name) { drop(node) }
    }

    /// Whether a folder of this name is watched.
    func isWatched(_ name: ArraySlice<UInt8>, below parent: WatchTree.Node) -> Bool {
        tree.children(of: parent, named: name).contains { tree.watch(of: $0) != nil }
    }

    /// Watches folders that the kernel's limit refused, as far as it lets it by now.
    ///
    /// Returns those that are watched from here on; what changed in them meanwhile was not reported.
    mutating func retryRefused() -> [RelativePath] {
        var regained: [RelativePath] = []
        while let node = tree.refused.first {
            let path = tree.path(of: node)
            if let limit, tree.watchCount >= limit { break }
            do throws(OpenFailure) {
                // A probe: the walk below gets the same watch.
                _ = try inotify.watch(try Folder(absolute(path), followLinks: path.isRoot))
            } catch {
                if error.code == ENOSPC { break }
            }
            let place = tree.place(of: node)
            drop(node)
            attach(place.map { tree.add($0.name, below: $0.parent) } ?? WatchTree.root)
            regained.append(path)
        }
        return regained
    }

    /// Watches a folder's subtree anew when its ignore files say something else than before.
    ///
    /// Returns whether they do.
    mutating func refresh(_ folder: RelativePath) -> Bool {
        guard let name = folder.parent.map({ _ in folder.lastComponent }), let parent = node(at: folder.parent),
            let node = tree.children(of: parent, named: name).first(where: { tree.watch(of: $0) != nil })
        else { return false }
        let fresh = rules.scope(entering: folder, from: tree.scope(of: parent))
        guard !fresh.isSame(as: tree.scope(of: node)) else { return false }
        drop(node)
        attach(name, below: parent)
        return true
    }

    /// The kernel took a watch back, because its folder is gone.
    mutating func forget(_ watch: Int32) {
        guard let node = tree.node(watch: watch) else { return }
        tree.forget(watch: watch)
        drop(node)
    }

    /// The folders that could not be read since the last call.
    mutating func takeUnreadable() -> [UnreadableFolder] {
        defer { unreadable = [] }
        return unreadable
    }

    func absolute(_ path: RelativePath) -> [UInt8] { path.isRoot ? rules.root : rules.root + [slash] + path.bytes }

    private func node(at path: RelativePath?) -> WatchTree.Node? {
        var node = WatchTree.root
        for name in path?.components ?? [] {
            guard let child = tree.children(of: node, named: name).first else { return nil }
            node = child
        }
        return node
    }

    private mutating func drop(_ node: WatchTree.Node) {
        for watch in tree.remove(node) { inotify.unwatch(watch) }
    }

    private mutating func attach(_ top: WatchTree.Node) {
        var waiting = [top]
        var listing = Listing()
        while let node = waiting.popLast() {
            let path = tree.path(of: node)
            do throws(OpenFailure) {
                let folder = try Folder(absolute(path), followLinks: node == WatchTree.root)
                guard try watch(folder, as: node) else { continue }
                listing.read(folder)
                if listing.failure != 0 { unreadable.append(UnreadableFolder(path: path, code: listing.failure)) }
            } catch {
                if !error.isGone { unreadable.append(UnreadableFolder(path: path, code: error.code)) }
                if node != WatchTree.root { drop(node) }
                continue
            }
            if listing.hasIgnoreFile, node != WatchTree.root {
                tree.setScope(rules.scope(entering: path, from: tree.scope(of: node)), of: node)
            }
            let scope = tree.scope(of: node)
            for range in listing.folders {
                let name = listing.names[range]
                if rules.isIgnored(path.appending(name), isDirectory: true, in: scope) { continue }
                waiting.append(tree.add(name, below: node))
            }
        }
    }

    /// Returns false when this very folder is watched under this name already, so that nothing remains to be done.
    private mutating func watch(_ folder: borrowing Folder, as node: WatchTree.Node) throws(OpenFailure) -> Bool {
        guard limit.map({ tree.watchCount < $0 }) ?? true else {
            tree.refuse(node)
            return true
        }
        let mask = node == WatchTree.root ? Inotify.folderMask | Inotify.selfMask : Inotify.folderMask
        do throws(OpenFailure) {
            let watch = try inotify.watch(folder, mask: mask)
            if let known = tree.node(watch: watch), known != node, tree.isSamePlace(known, node) {
                drop(node)
                return false
            }
            tree.claim(watch, for: node)
        } catch {
            guard error.code == ENOSPC else { throw error }
            // Listed all the same, to know how many watches there would have to be.
            tree.refuse(node)
        }
        return true
    }
}

/// The folders of one listing; its buffers are used again for the next.
private struct Listing {
    var names: [UInt8] = []
    var folders: [Range<Int>] = []
    var hasIgnoreFile = false
    var failure: Int32 = 0

    mutating func read(_ folder: borrowing Folder) {
        names.removeAll(keepingCapacity: true)
        folders.removeAll(keepingCapacity: true)
        hasIgnoreFile = false
        failure = folder.list { name, kind in
            if kind == .directory {
                folders.append(names.count..<(names.count + name.count))
                names.append(contentsOf: name)
            } else if IgnoreScope.isIgnoreFile(name) {
                hasIgnoreFile = true
            }
        }
    }
}
