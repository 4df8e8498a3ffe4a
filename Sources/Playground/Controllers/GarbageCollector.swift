internal import JSON

/// Deletes what its owner left behind, and ends deletions that wait for what is owned.
struct GarbageCollector: Controller {
    let store: ObjectStore

    var watched: [ResourceKind] { ResourceKind.served.filter { $0 != .event } }

    /// A key's namespace carries the kind before a slash: objects of every kind go through one queue.
    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        let key = itself(event.object)
        var keys: [ObjectKey] = []
        if event.type == .deleted {
            let uid = event.object.at("metadata", "uid")
            for (kind, object) in all(where: { Self.owners(of: $0).contains { $0["uid"] == uid } }) {
                keys.append(named(kind, object))
            }
            // An owner that waits for the last of what it owns.
            for owner in Self.owners(of: event.object) {
                guard let kind = Self.kind(of: owner) else { continue }
                keys.append(
                    ObjectKey(
                        namespace: "\(kind.qualifiedName)/\(kind.isNamespaced ? key.namespace : "")",
                        name: owner["name"]?.string ?? ""))
            }
        } else if !Self.owners(of: event.object).isEmpty
            || event.object.at("metadata", "deletionTimestamp") != nil
        {
            keys.append(named(kind, event.object))
        }
        return keys
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        let parts = key.namespace.split(separator: "/", omittingEmptySubsequences: false)
        guard let kind = ResourceKind.served.first(where: { $0.qualifiedName == parts[0] }) else { return nil }
        let namespace = String(parts.last ?? "")
        guard let object = store.get(kind, namespace, key.name) else { return nil }
        if object.at("metadata", "deletionTimestamp") != nil {
            try finish(object, kind, namespace, key.name)
            return nil
        }
        let owners = Self.owners(of: object)
        guard !owners.isEmpty else { return nil }
        let gone = owners.filter { !exists($0, namespace) }
        if gone.count == owners.count {
            var options = DeleteOptions()
            options.uid = object.at("metadata", "uid")?.string
            try store.delete(kind, namespace, key.name, options)
        } else if !gone.isEmpty {
            try store.modify(kind, namespace, key.name) { object in
                object["metadata"]?["ownerReferences"] = .array(owners.filter { !gone.contains($0) })
            }
        }
        return nil
    }

    /// Ends a deletion that only waits for this collector.
    private func finish(_ object: JSON, _ kind: ResourceKind, _ namespace: String, _ name: String) throws {
        let finalizers = object.at("metadata", "finalizers")?.array ?? []
        let uid = object.at("metadata", "uid")
        if finalizers.contains("orphan") {
            for (kind, owned) in all(where: { Self.owners(of: $0).contains { $0["uid"] == uid } }) {
                try store.modify(kind, owned.at("metadata", "namespace")?.string, itself(owned).name) { owned in
                    let others = Self.owners(of: owned).filter { $0["uid"] != uid }
                    owned["metadata"]?["ownerReferences"] = .array(others)
                }
            }
            try release(kind, namespace, name, "orphan")
        }
        if finalizers.contains("foregroundDeletion") {
            var isBlocked = false
            for (kind, owned) in all(where: { Self.owners(of: $0).contains { $0["uid"] == uid } }) {
                let blocks = Self.owners(of: owned).contains { $0["uid"] == uid && $0["blockOwnerDeletion"] == true }
                isBlocked = isBlocked || blocks
                guard owned.at("metadata", "deletionTimestamp") == nil else { continue }
                var options = DeleteOptions()
                options.propagation = .foreground
                try store.delete(kind, owned.at("metadata", "namespace")?.string, itself(owned).name, options)
            }
            if !isBlocked { try release(kind, namespace, name, "foregroundDeletion") }
        }
    }

    private func release(_ kind: ResourceKind, _ namespace: String, _ name: String, _ finalizer: String) throws {
        try store.modify(kind, namespace, name) { object in
            let others = (object.at("metadata", "finalizers")?.array ?? []).filter { $0 != .string(finalizer) }
            object["metadata"]?["finalizers"] = .array(others)
        }
    }

    private func exists(_ owner: JSON, _ namespace: String) -> Bool {
        // An owner of a kind that is not served cannot be looked up: it has the benefit of the doubt.
        guard let kind = Self.kind(of: owner) else { return true }
        return store.get(kind, namespace, owner["name"]?.string ?? "")?.at("metadata", "uid") == owner["uid"]
    }

    private func named(_ kind: ResourceKind, _ object: JSON) -> ObjectKey {
        let key = itself(object)
        return ObjectKey(namespace: "\(kind.qualifiedName)/\(key.namespace)", name: key.name)
    }

    private func all(where isWanted: (JSON) -> Bool) -> [(ResourceKind, JSON)] {
        watched.flatMap { kind in store.list(kind).items.filter(isWanted).map { (kind, $0) } }
    }

    private static func owners(of object: JSON) -> [JSON] { object.at("metadata", "ownerReferences")?.array ?? [] }

    private static func kind(of owner: JSON) -> ResourceKind? {
        ResourceKind.served.first {
            .string($0.kind) == owner["kind"] && .string($0.apiVersion) == owner["apiVersion"]
        }
    }
}
