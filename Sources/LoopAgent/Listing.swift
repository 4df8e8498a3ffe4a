import CAgent

/// A listing in progress: it goes on whenever the output has room, so that a tree of any size needs no memory here.
final class Listing {
    let stream: UInt32
    private let target: Target
    private let request: List
    /// What is still to be looked at, last one first: paths that were asked for, then folders that were found.
    private var requested: [Bytes]
    private var folders: [Bytes] = []
    private var reader: FolderReader?
    private var current: Bytes = []
    private var entries: [Entry] = []
    private var batchSize = 0
    private var count: UInt64 = 0

    init(_ request: List, of target: Target, on stream: UInt32) {
        self.stream = stream
        self.target = target
        self.request = request
        requested = request.paths.reversed()
        if request.paths.isEmpty {
            if target.single == nil { folders = [[]] } else { requested = [[]] }
        }
    }

    /// Looks at a few names.
    ///
    /// Returns false when the listing is complete.
    func advance(_ output: inout OutputQueue) -> Bool {
        for _ in 0..<64 {
            if let reader {
                read(reader, &output)
            } else if let folder = folders.popLast() {
                enter(folder, &output)
            } else if let path = requested.popLast() {
                look(path, &output)
            } else {
                flush(&output)
                output.send(.listed(count), on: stream)
                return false
            }
        }
        return true
    }

    private func enter(_ path: Bytes, _ output: inout OutputQueue) {
        do throws(SystemFailure) {
            // Links are not followed, not even those that were folders a moment ago.
            let flags = CAGENT_READ | CAGENT_DIRECTORY | CAGENT_NOFOLLOW
            let opened: Int32
            if path.isEmpty {
                opened = cagent_open(target.folder, ".", flags, 0)
            } else {
                let location = try target.locate(path)
                opened = location.name.withCString { cagent_open(location.folder.raw, $0, flags, 0) }
            }
            guard let reader = FolderReader(opened: opened) else { throw SystemFailure.last() }
            self.reader = reader
            current = path
        } catch {
            // Removed since it was seen: then it is not there, which is no failure.
            if error.code != ENOENT { fail(path, error, &output) }
        }
    }

    private func read(_ reader: FolderReader, _ output: inout OutputQueue) {
        do throws(SystemFailure) {
            guard let name = try reader.next() else {
                self.reader = nil
                return
            }
            guard !Target.isOwn(name), !request.skip.contains(name) else { return }
            let path = current.isEmpty ? name : current + [UInt8(ascii: "/")] + name
            if let entry = try found(path, name, in: reader.descriptor) {
                add(entry, &output)
                if entry.kind == .folder { folders.append(path) }
            }
        } catch {
            self.reader = nil
            fail(current, error, &output)
        }
    }

    private func look(_ path: Bytes, _ output: inout OutputQueue) {
        do throws(SystemFailure) {
            let location = try target.locate(path)
            guard let entry = try found(path, location.name, in: location.folder.raw) else {
                return add(Entry(path: path, kind: .absent), &output)
            }
            add(entry, &output)
            if entry.kind == .folder, request.isRecursive { folders.append(path) }
        } catch {
            if error.code == ENOENT || error.code == ENOTDIR {
                add(Entry(path: path, kind: .absent), &output)
            } else {
                fail(path, error, &output)
            }
        }
    }

    private func found(_ path: Bytes, _ name: Bytes, in folder: Int32) throws(SystemFailure) -> Entry? {
        do throws(SystemFailure) {
            let status = try status(folder, name)
            let kind: Entry.Kind =
                status.isFile ? .file : status.isFolder ? .folder : status.isLink ? .link : .other
            return Entry(
                path: path, kind: kind, mode: status.permissions, stamp: status.stamp,
                target: status.isLink ? try readLink(folder, name) : [])
        } catch {
            guard error.code == ENOENT else { throw error }
            return nil
        }
    }

    private func add(_ entry: Entry, _ output: inout OutputQueue) {
        count += 1
        entries.append(entry)
        batchSize += 64 + entry.path.count + entry.target.count
        if batchSize > 16 << 10 { flush(&output) }
    }

    private func fail(_ path: Bytes, _ failure: SystemFailure, _ output: inout OutputQueue) {
        flush(&output)
        output.send(.failure(Failure(.list, failure, path: path, isFinal: false)), on: stream)
    }

    private func flush(_ output: inout OutputQueue) {
        guard !entries.isEmpty else { return }
        output.send(.entries(entries), on: stream)
        entries = []
        batchSize = 0
    }
}

extension Failure {
    init(_ operation: Operation, _ failure: SystemFailure, path: Bytes, mode: UInt32? = nil, isFinal: Bool = true) {
        self.init(
            operation, code: failure.code, path: Array(path.prefix(4096)), uid: geteuid(), mode: mode,
            text: failure.text, isFinal: isFinal)
    }
}
