internal import JSON
internal import Synchronization

/// Every object of the playground, with one counter of versions, watches that resume, and a copy on disk.
///
/// All calls are atomic and short: one lock, and for a change one small file written before the change can be seen. The
/// store keeps what the API server keeps (`uid`, `resourceVersion`, `generation`, deletion marks); it knows no defaults and
/// validates nothing but names that its files depend on.
final class ObjectStore: Sendable {
    struct Key: Hashable, Comparable {
        let namespace: String
        let name: String

        static func < (left: Key, right: Key) -> Bool { (left.namespace, left.name) < (right.namespace, right.name) }
    }

    struct State {
        var objects: [ResourceKind: [Key: JSON]] = [:]
        var version: UInt64
        var histories: [ResourceKind: EventHistory] = [:]
        /// Kinds whose watchers are to be woken once the lock is free.
        var changed: Set<ResourceKind> = []
        let files: ObjectFiles
    }

    private struct Watchers {
        var waiting: [ResourceKind: [UInt64: AsyncStream<StoredEvents.Wake>.Continuation]] = [:]
        var next: UInt64 = 1
    }

    let state: Mutex<State>
    /// Under a lock of their own, under which nobody is woken: a reader's cancellation holds its task's lock while it is
    /// forgotten here, and waking it takes the two the other way round.
    private let watchers = Mutex(Watchers())
    private let historyLimit: Int

    /// Opens the store under a directory, which is created where it is missing, and loads what it holds.
    ///
    /// A watch can resume over the last `historyLimit` changes of its kind, but never over a restart: it gets 410.
    init(directory: String, historyLimit: Int = 1024) throws {
        let files = try ObjectFiles(directory: directory)
        var objects: [ResourceKind: [Key: JSON]] = [:]
        for kind in ResourceKind.served {
            objects[kind] = [:]
            for object in try files.load(kind) {
                objects[kind]?[ObjectStore.key(kind, object)] = object
            }
        }
        let version = files.firstVersion
        self.historyLimit = historyLimit
        state = Mutex(State(objects: objects, version: version, files: files))
    }

    /// The object, or `nil`.
    ///
    /// The namespace of a kind without namespaces is ignored.
    func get(_ kind: ResourceKind, _ namespace: String?, _ name: String) -> JSON? {
        state.withLock { $0.objects[kind]?[ObjectStore.key(kind, namespace, name)] }
    }

    /// The objects in the order of namespace and name, with the version at which this list is true.
    ///
    /// Without a namespace, those of all namespaces.
    func list(
        _ kind: ResourceKind, _ namespace: String? = nil, matching selector: ObjectSelector = .everything
    ) -> (items: [JSON], resourceVersion: UInt64) {
        let (objects, version) = state.withLock { ($0.objects[kind] ?? [:], $0.version) }
        let items = objects.filter { namespace == nil || !kind.isNamespaced || $0.key.namespace == namespace }
            .sorted { $0.key < $1.key }.map(\.value).filter(selector.matches)
        return (items, version)
    }

    /// Stores a new object and returns it with `uid`, `creationTimestamp`, `resourceVersion` and the like.
    ///
    /// Its fields belong to `manager`; without one they stay as the object says. An empty name is made from `generateName`.
    /// `admit` judges the named object as one step with its creation, under the store's lock; `complete` adds what is the
    /// system's and no manager's. Throws 409 `AlreadyExists`, 404 where its namespace is missing, 403
    /// where that is being deleted.
    func create(
        _ kind: ResourceKind, _ object: JSON, by manager: FieldManager? = .controllers, dryRun: Bool = false,
        admit: ((JSON, ResourceKind, Surroundings) throws -> Void)? = nil,
        complete: ((inout JSON) throws -> Void)? = nil
    ) throws -> JSON {
        defer { wakeWatchers() }
        return try state.withLock { state in
            var object = object
            var metadata = object["metadata"] ?? [:]
            let namespace = kind.isNamespaced ? metadata["namespace"]?.string ?? "default" : nil
            if let namespace { try ObjectStore.requireNamespace(namespace, for: kind, metadata, in: state) }
            var name = metadata["name"]?.string ?? ""
            if name.isEmpty {
                guard let prefix = metadata["generateName"]?.string, !prefix.isEmpty else {
                    throw StatusError.invalid(
                        kind, "", [.required("metadata.name", "name or generateName is required")])
                }
                repeat {
                    // Names that become host names have to stay labels.
                    name = prefix.prefix(RandomNames.longestPrefix) + RandomNames.suffix()
                } while state.objects[kind]?[
                    ObjectStore.key(kind, namespace, name)] != nil
            }
            let key = ObjectStore.key(kind, namespace, name)
            guard state.objects[kind]?[key] == nil else { throw StatusError.alreadyExists(kind, name) }
            metadata = ObjectMetadata.created(metadata, kind: kind, namespace: namespace, name: name)
            object["metadata"] = metadata
            object = ObjectMetadata.ordered(object, kind)
            try admit?(object, kind, Surroundings(of: namespace, in: state))
            if let manager { ManagedFields.record(in: &object, from: nil, kind, by: manager) }
            try complete?(&object)
            if dryRun { return object }
            return try commit(.added, kind, key, object, previous: nil, &state)
        }
    }

    /// Replaces an object.
    ///
    /// Where it names a `resourceVersion` or `uid`, these must be the current ones, else 409.
    func update(
        _ kind: ResourceKind, _ object: JSON, part: ObjectPart = .all, dryRun: Bool = false
    ) throws -> JSON {
        guard let name = object.at("metadata", "name")?.string else {
            throw StatusError.invalid(kind, "", [.required("metadata.name", "name must be provided")])
        }
        return try modify(kind, object.at("metadata", "namespace")?.string, name, part: part, dryRun: dryRun) {
            current in
            let asked = object.at("metadata", "resourceVersion")?.string ?? ""
            guard asked.isEmpty || asked == current.at("metadata", "resourceVersion")?.string else {
                throw StatusError.conflict(kind, name)
            }
            current = object
        }
    }

    /// Reads, changes and stores an object as one step, and returns what is stored then.
    ///
    /// Nothing happens, and no event is sent, where the change leaves the object as it was. Of `part: .status`, only
    /// `status` (and annotations) count, of `.all` everything but what the system owns. The last finalizer's removal
    /// removes an object that is being deleted. Fields that change belong to `manager` then; without one the managed fields
    /// stay as the change leaves them. The closure runs under the store's lock: it must not call the store.
    @discardableResult
    func modify(
        _ kind: ResourceKind, _ namespace: String?, _ name: String, part: ObjectPart = .all,
        by manager: FieldManager? = .controllers, dryRun: Bool = false, _ change: (inout JSON) throws -> Void
    ) throws -> JSON {
        defer { wakeWatchers() }
        return try state.withLock { state in
            let key = ObjectStore.key(kind, namespace, name)
            guard let current = state.objects[kind]?[key] else { throw StatusError.notFound(kind, name) }
            var changed = current
            try change(&changed)
            let uid = changed.at("metadata", "uid")?.string ?? ""
            guard uid.isEmpty || uid == current.at("metadata", "uid")?.string else {
                throw StatusError.conflict(
                    kind, name,
                    "Precondition failed: UID in precondition: \(uid), UID in object meta: "
                        + (current.at("metadata", "uid")?.string ?? ""))
            }
            changed = ObjectMetadata.updated(changed, from: current, kind: kind, part: part)
            if var manager {
                if part == .status { manager.subresource = "status" }
                ManagedFields.record(in: &changed, from: current, kind, by: manager)
            }
            if changed == current || dryRun { return changed }
            if ObjectMetadata.isGone(changed, kind) {
                return try commit(.deleted, kind, key, changed, previous: current, &state)
            }
            return try commit(.modified, kind, key, changed, previous: current, &state)
        }
    }

    /// Ends an object's grace period: it is removed, or where it has finalizers, waits for nothing else any more.
    ///
    /// Throws 404 where it is missing, 409 where it is not the one of that `uid`.
    @discardableResult
    func remove(
        _ kind: ResourceKind, _ namespace: String?, _ name: String, uid: String? = nil
    ) throws -> JSON {
        defer { wakeWatchers() }
        return try state.withLock { state in
            let key = ObjectStore.key(kind, namespace, name)
            guard let current = state.objects[kind]?[key] else { throw StatusError.notFound(kind, name) }
            let actual = current.at("metadata", "uid")?.string ?? ""
            guard uid == nil || uid == actual else {
                throw StatusError.conflict(
                    kind, name,
                    "Precondition failed: UID in precondition: \(uid ?? ""), UID in object meta: \(actual)")
            }
            guard current.at("metadata", "finalizers")?.array?.isEmpty ?? true else {
                var kept = current
                var metadata = current["metadata"] ?? [:]
                metadata.setDefault("deletionTimestamp", .string(Timestamp.now.description))
                metadata["deletionGracePeriodSeconds"] = 0
                kept["metadata"] = metadata
                kept = ObjectMetadata.ordered(kept, kind)
                if kept == current { return current }
                return try commit(.modified, kind, key, kept, previous: current, &state)
            }
            return try commit(.deleted, kind, key, current, previous: current, &state)
        }
    }

    /// Every change of a kind after a version, without a gap, in order.
    ///
    /// Without a version the watch starts with one `ADDED` for each object that is there. Throws 410 where changes since
    /// that version are no longer known; the sequence throws the same where its reader is too slow.
    func watch(
        _ kind: ResourceKind, _ namespace: String? = nil, from version: UInt64? = nil
    ) throws -> StoredEvents {
        try state.withLock { state in
            let history = state.histories[kind]
            var initial: [StoredEvent] = []
            if let version {
                let oldest = history?.forgotten ?? state.files.firstVersion
                guard version >= oldest || version >= state.version else {
                    throw StatusError.expired(version, oldest: oldest)
                }
            } else {
                initial = (state.objects[kind] ?? [:])
                    .filter { namespace == nil || !kind.isNamespaced || $0.key.namespace == namespace }
                    .sorted { $0.key < $1.key }
                    .map { StoredEvent(type: .added, object: $0.value, previous: nil) }
            }
            let (wakes, wake) = AsyncStream.makeStream(of: StoredEvents.Wake.self, bufferingPolicy: .bufferingNewest(1))
            let id = watchers.withLock { watchers in
                watchers.next += 1
                watchers.waiting[kind, default: [:]][watchers.next] = wake
                return watchers.next
            }
            wake.onTermination = { [weak self] _ in self?.forget(kind, id) }
            return StoredEvents(
                store: self, kind: kind, namespace: kind.isNamespaced ? namespace : nil, initial: initial,
                after: version ?? state.version, wakes: wakes, wake: wake)
        }
    }

    /// The version of the latest change.
    var currentVersion: UInt64 { state.withLock { $0.version } }

    /// The changes of a kind after a version, and the version up to which they are all.
    ///
    /// Throws 410 where some are forgotten.
    func changes(of kind: ResourceKind, after version: UInt64) throws -> (events: [StoredEvent], upTo: UInt64) {
        try state.withLock { state in
            guard let history = state.histories[kind] else { return ([], state.version) }
            guard version >= history.forgotten else { throw StatusError.expired(version, oldest: history.forgotten) }
            return (history.events(after: version), state.version)
        }
    }

    private func forget(_ kind: ResourceKind, _ id: UInt64) {
        watchers.withLock { _ = $0.waiting[kind]?.removeValue(forKey: id) }
    }

    /// Wakes who watches a kind that was changed; called without the lock.
    private func wakeWatchers() {
        let kinds = state.withLock { state in
            let kinds = state.changed
            state.changed = []
            return kinds
        }
        for kind in kinds {
            for wake in watchers.withLock({ Array(($0.waiting[kind] ?? [:]).values) }) { wake.yield(.changed) }
        }
    }

    private func commit(
        _ type: StoredEvent.Kind, _ kind: ResourceKind, _ key: Key, _ object: JSON, previous: JSON?,
        _ state: inout State
    ) throws -> JSON {
        let version = state.version + 1
        if version >= state.files.reservedVersion { try state.files.reserveVersions(after: version) }
        var object = object
        var metadata = object["metadata"] ?? [:]
        metadata["resourceVersion"] = .string(String(version))
        object["metadata"] = metadata
        let size: Int
        // The file first: what a client was told survives a kill of this process.
        if type == .deleted {
            try state.files.remove(kind, key)
            state.objects[kind]?[key] = nil
            size = object.bytes.count
        } else {
            size = try state.files.save(object, kind, key)
            state.objects[kind, default: [:]][key] = object
        }
        state.version = version
        state.histories[
            kind, default: EventHistory(limit: historyLimit, forgotten: state.files.firstVersion)
        ].append(StoredEvent(type: type, object: object, previous: previous), size: size)
        state.changed.insert(kind)
        return object
    }

    private static func requireNamespace(
        _ namespace: String, for kind: ResourceKind, _ metadata: JSON, in state: State
    ) throws {
        guard let found = state.objects[.namespace]?[key(.namespace, nil, namespace)] else {
            throw StatusError.notFound(.namespace, namespace)
        }
        // Events about the end of things are still welcome.
        guard found.at("metadata", "deletionTimestamp") == nil || kind == .event else {
            throw StatusError.forbidden(
                kind, metadata["name"]?.string ?? metadata["generateName"]?.string ?? "",
                "unable to create new content in namespace \(namespace) because it is being terminated")
        }
    }

    static func key(_ kind: ResourceKind, _ namespace: String?, _ name: String) -> Key {
        Key(namespace: kind.isNamespaced ? namespace ?? "default" : "", name: name)
    }

    static func key(_ kind: ResourceKind, _ object: JSON) -> Key {
        key(kind, object.at("metadata", "namespace")?.string, object.at("metadata", "name")?.string ?? "")
    }
}
