internal import Glibc

/// What the events since the last batch made necessary, beyond looking at paths.
struct EventNews {
    /// The kernel dropped events: nobody knows which.
    var overflowed = false
    /// Something happened to the root or above it.
    var rootInDoubt = false
    /// Folders whose ignore files were touched.
    var editedRules: Set<RelativePath> = []
    /// Something that may hold ignore rules above the root was touched.
    var editedAbove = false
    /// The last name that was renamed away, until the kernel says where to.
    fileprivate var move: (cookie: UInt32, from: RelativePath)?
}

extension FolderWatches {
    /// Takes one event in: follows folders that come and go, and tells `settling` which paths were touched.
    mutating func take(
        _ event: Inotify.Record, at now: UInt64, into settling: inout Settling, news: inout EventNews,
        finished: (RelativePath) -> Void
    ) {
        if event.has(IN_Q_OVERFLOW) {
            news.overflowed = true
            settling.rescan(.root, at: now)
            return
        }
        // A descriptor that is not known belongs to a folder that was moved away or ignored since.
        guard let folder = tree.node(watch: event.watch) else { return }
        if folder == WatchTree.root, event.has(IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED) {
            news.rootInDoubt = true
            if event.has(IN_IGNORED) { forget(event.watch) }
            return
        }
        if event.has(IN_IGNORED) {
            forget(event.watch)
            return
        }
        if event.has(IN_UNMOUNT) {
            // Beneath the mount lies another folder of the same name; watching the whole tree anew finds it.
            news.overflowed = true
            settling.rescan(tree.path(of: folder), at: now)
            return
        }
        guard !event.name.isEmpty else { return }
        let parent = tree.path(of: folder)
        let path = parent.appending(event.name)
        let isIgnored = rules.isIgnored(path, isDirectory: event.isDirectory, in: tree.scope(of: folder))
        if !event.isDirectory, IgnoreScope.isIgnoreFile(event.name) {
            news.editedRules.insert(parent)
            // Even an ignore file that is itself ignored changes what the others are.
            if isIgnored { settling.rescan(parent, at: now) }
        }
        if folder == WatchTree.root, event.name.elementsEqual(IgnoreRules.gitName.utf8) { news.editedAbove = true }
        guard !isIgnored else { return }
        if event.has(IN_MOVED_TO), let move = news.move, move.cookie == event.cookie {
            settling.record(move.from, .renamed, at: now)
        }
        news.move = event.has(IN_MOVED_FROM) ? (event.cookie, path) : nil
        if event.isDirectory {
            take(folder: event, path, below: folder, at: now, into: &settling)
        } else {
            let touch = touch(event, path)
            settling.record(path, touch, created: event.has(IN_CREATE), at: now)
            if event.has(IN_CLOSE_WRITE | IN_MOVED_TO) { finished(path) }
        }
    }

    private mutating func take(
        folder event: Inotify.Record, _ path: RelativePath, below parent: WatchTree.Node, at now: UInt64,
        into settling: inout Settling
    ) {
        if event.has(IN_CREATE | IN_MOVED_TO) {
            attach(event.name, below: parent)
            settling.record(path, .finished, created: event.has(IN_CREATE), at: now)
            settling.rescan(path, at: now)
        } else if event.has(IN_MOVED_FROM | IN_DELETE) {
            // A deleted folder's watch goes by itself; that of a moved one stays, and would report under the old name.
            if event.has(IN_MOVED_FROM) {
                detach(event.name, below: parent)
                // When two folders change places in one step, the one that arrived here is told of before this one left.
                attach(event.name, below: parent)
            }
            settling.record(path, .removed, at: now)
            settling.rescan(path, at: now)
        } else {
            if !isWatched(event.name, below: parent) {
                // It could not be read before, and may be readable now.
                detach(event.name, below: parent)
                attach(event.name, below: parent)
                settling.rescan(path, at: now)
            }
            settling.record(path, .attributes, at: now)
        }
    }

    private func touch(_ event: Inotify.Record, _ path: RelativePath) -> Settling.Touch {
        if event.has(IN_CLOSE_WRITE | IN_MOVED_TO) { return .finished }
        if event.has(IN_MODIFY) { return .open }
        if event.has(IN_CREATE) { return isWhole(path) ? .finished : .open }
        if event.has(IN_DELETE | IN_MOVED_FROM) { return .removed }
        return .attributes
    }

    /// Whether a new entry is complete from the start: no write follows on a link, a pipe, or another name of a file.
    private func isWhole(_ path: RelativePath) -> Bool {
        var status = stat()
        guard absolute(path).withCString({ lstat($0, &status) }) == 0 else { return false }
        return status.st_mode & S_IFMT != S_IFREG || status.st_nlink > 1
    }
}
