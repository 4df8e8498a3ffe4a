internal import JSON

/// A server-side apply: what a manager wants of an object, merged into what is there.
///
/// Fields that the manager named before and names no more go, unless someone else owns them too.
struct ServerSideApply {
    private let kind: ResourceKind
    private let manager: FieldManager
    /// Whether fields that others own are taken from them.
    private let isForced: Bool
    /// What the manager sent, and the same as the API understands it.
    private let sent: JSON
    private let wanted: JSON

    /// Reads what a manager applies to the object of a name; throws where it is about another one, or makes no sense.
    init(
        _ sent: JSON, _ kind: ResourceKind, _ name: String, _ namespace: String?, by manager: FieldManager,
        isForced: Bool
    ) throws {
        self.kind = kind
        self.isForced = isForced
        self.manager = FieldManager(name: manager.name, operation: .apply)
        guard sent["apiVersion"] == .string(kind.apiVersion), sent["kind"] == .string(kind.kind) else {
            throw StatusError.badRequest(
                "invalid object type: \(sent["apiVersion"]?.string ?? ""), Kind=\(sent["kind"]?.string ?? ""), "
                    + "expected \(kind.apiVersion), Kind=\(kind.kind)")
        }
        let metadata = sent["metadata"]
        guard metadata?["managedFields"]?.isEmpty ?? true else {
            throw StatusError.badRequest("metadata.managedFields must be nil")
        }
        if let named = metadata?["name"]?.string, named != name {
            throw StatusError.badRequest(
                "the name of the object (\(named)) does not match the name on the URL (\(name))")
        }
        let place = kind.isNamespaced ? namespace ?? "default" : nil
        if let named = metadata?["namespace"]?.string, named != place ?? named {
            throw StatusError.badRequest(
                "the namespace of the provided object does not match the namespace sent on the request")
        }
        do {
            let decoded = try ObjectDecoder.decode(sent, as: Schema.structure(of: kind))
            guard decoded.unknown.isEmpty else {
                let causes = decoded.unknown.map { ".\($0): field not declared in schema" }
                throw Self.untypable(sent, kind, causes)
            }
            var wanted = decoded.value
            wanted["status"] = nil
            wanted.setDefault("metadata", [:])
            wanted["metadata"]?["name"] = .string(name)
            wanted["metadata"]?["namespace"] = place.map { .string($0) }
            self.wanted = wanted
        } catch let error as ObjectDecoder.WrongType {
            throw Self.untypable(sent, kind, ["\(error)"])
        }
        self.sent = sent
    }

    private static func untypable(_ sent: JSON, _ kind: ResourceKind, _ causes: [String]) -> StatusError {
        let metadata = sent["metadata"]
        let list = causes.count == 1 ? causes[0] : "errors:\n" + causes.map { "  \($0)" }.joined(separator: "\n")
        return StatusError(
            code: 500, reason: "",
            message: "failed to create typed patch object (\(metadata?["namespace"]?.string ?? "")/"
                + "\(metadata?["name"]?.string ?? ""); \(kind.apiVersion), Kind=\(kind.kind)): \(list)")
    }

    /// The object once the manager has applied what it wants to what is there.
    ///
    /// Throws 409 where that would change fields of others.
    func applied(to live: JSON) throws -> JSON {
        var managed = ManagedFields(live.at("metadata", "managedFields"))
        let previous = managed.entries.first { $0.manager == manager }
        managed.entries.removeAll { $0.manager == manager }
        let named = ManagedFields.fields(of: sent, kind)
        managed.add(named, to: manager, apiVersion: kind.apiVersion, at: nil)

        let merged = Self.merge(TypedValue(wanted, kind), into: TypedValue(live, kind))
        var owned = managed.entries.reduce(FieldSet()) { $0.union($1.fields) }
        // Whoever applies names it, which is no owner's afterwards.
        owned["f:metadata"]["f:name"].isMember = true
        var object = Self.prune(TypedValue(merged, kind), named: previous?.fields ?? FieldSet(), owned: owned)
        let changes = FieldChanges(
            from: TypedValue(ManagedFields.ownable(live), kind), to: TypedValue(ManagedFields.ownable(object), kind))
        try refuseConflicts(over: changes.written, of: managed, live)

        let isChanged = !changes.written.isEmpty || !changes.removed.isEmpty
        managed.entries.removeAll { $0.manager == manager }
        managed.release(changes.written.union(changes.removed))
        managed.add(
            named, to: manager, apiVersion: kind.apiVersion,
            at: isChanged ? Timestamp.now.description : previous?.time)
        LastApplied.carry(sent, by: manager, to: &object)
        object["metadata"]?["managedFields"] = managed.json
        return object
    }

    private func refuseConflicts(over written: FieldSet, of managed: ManagedFields, _ live: JSON) throws {
        guard !isForced else { return }
        let excused = manager.name == LastApplied.manager ? LastApplied.fields(of: live, kind) : FieldSet()
        let conflicts = managed.entries.filter { $0.manager != manager }.flatMap { entry in
            entry.fields.intersection(written).subtracting(excused).paths.map { (owner: entry.owner, path: $0) }
        }
        if !conflicts.isEmpty { throw StatusError.applyConflict(conflicts) }
    }

    // MARK: Merging

    /// `wanted` over `live`, part by part.
    private static func merge(_ wanted: TypedValue, into live: TypedValue) -> JSON {
        guard let ours = wanted.parts, let theirs = live.parts else { return wanted.value }
        let known = Dictionary(theirs.map { ($0.name, $0.value) }) { first, _ in first }
        func merged(_ part: TypedValue.Part) -> JSON {
            known[part.name].map { merge(part.value, into: $0) } ?? part.value.value
        }
        if wanted.isList { return .array(interleave(ours, theirs, merged)) }
        var object = live.value.object ?? JSONObject()
        for part in ours { object[String(part.name.dropFirst(2))] = merged(part) }
        return .object(object)
    }

    /// The elements of both lists: those that are wanted in their own order, the others where they are.
    private static func interleave(
        _ ours: [TypedValue.Part], _ theirs: [TypedValue.Part], _ merged: (TypedValue.Part) -> JSON
    ) -> [JSON] {
        let wanted = Set(ours.map(\.name))
        let known = Set(theirs.map(\.name))
        var shared = ours.map(\.name).filter(known.contains)[...]
        var (left, right) = (theirs[...], ours[...])
        var done: Set<String> = []
        var result: [JSON] = []
        func takeWanted(_ part: TypedValue.Part) {
            result.append(merged(part))
            done.insert(part.name)
            if shared.first == part.name { shared.removeFirst() }
        }
        while let next = left.first {
            if !wanted.contains(next.name) {
                result.append(next.value.value)
            } else if !done.contains(next.name) {
                // Not the one whose turn it is: it comes where its new place is.
                if let turn = shared.first, turn != next.name {
                    left.removeFirst()
                    continue
                }
                while let part = right.popFirst() {
                    takeWanted(part)
                    if part.name == next.name { break }
                }
            }
            left.removeFirst()
        }
        for part in right { takeWanted(part) }
        return result
    }

    // MARK: Giving up

    /// Removes what was named before and is owned by nobody now.
    private static func prune(_ value: TypedValue, named: FieldSet, owned: FieldSet) -> JSON {
        guard !named.isEmpty, let parts = value.parts else { return value.value }
        var object = value.value.object ?? JSONObject()
        var elements: [JSON] = []
        for (name, part) in parts {
            let (before, now) = (named[name], owned[name])
            // An element of a list that others only wrote into goes with its owner.
            let isOwned = value.isList ? now.isMember : !now.isEmpty
            let isGivenUp = (value.isList ? before.isMember : !before.isEmpty) && !isOwned
            let kept: JSON? = isGivenUp ? nil : .some(prune(part, named: before, owned: now))
            if value.isList {
                if let kept { elements.append(kept) }
            } else {
                object[String(name.dropFirst(2))] = kept
            }
        }
        return value.isList ? .array(elements) : .object(object)
    }
}

extension StatusError {
    /// 409: an apply would change fields that others own.
    static func applyConflict(_ conflicts: [(owner: String, path: String)]) -> StatusError {
        var message = "Apply failed with 1 conflict: "
        if conflicts.count == 1 {
            message += "conflict with \(conflicts[0].owner): \(conflicts[0].path)"
        } else {
            message = "Apply failed with \(conflicts.count) conflicts: "
            let owners = Set(conflicts.map(\.owner)).sorted()
            message += owners.map { owner in
                (["conflicts with \(owner):"] + conflicts.filter { $0.owner == owner }.map { "- \($0.path)" })
                    .joined(separator: "\n")
            }.joined(separator: "\n")
        }
        return StatusError(
            code: 409, reason: "Conflict", message: message,
            details: [
                "causes": .array(
                    conflicts.map { conflict in
                        [
                            "reason": "FieldManagerConflict", "message": .string("conflict with \(conflict.owner)"),
                            "field": .string(conflict.path),
                        ]
                    })
            ])
    }
}
