internal import JSON

/// Who owns which fields of an object: its `metadata.managedFields`.
struct ManagedFields: Equatable, Sendable {
    struct Entry: Equatable, Sendable {
        let manager: FieldManager
        let apiVersion: String
        /// When the manager last changed something; `nil` where it only ever agreed with what was there.
        var time: String?
        var fields: FieldSet

        /// How a conflict names the owner.
        var owner: String {
            var owner = JSON.string(manager.name).text
            if let subresource = manager.subresource { owner += " with subresource \"\(subresource)\"" }
            return manager.operation == .update ? "\(owner) using \(apiVersion)" : owner
        }
    }

    var entries: [Entry] = []

    /// Reads what an object has; entries that make no sense are left out.
    init(_ managedFields: JSON?) {
        entries = (managedFields?.array ?? []).compactMap { entry in
            guard let operation = entry["operation"]?.string.flatMap(FieldManager.Operation.init),
                let fields = FieldSet(entry["fieldsV1"])
            else { return nil }
            return Entry(
                manager: FieldManager(
                    name: entry["manager"]?.string ?? "", operation: operation,
                    subresource: entry["subresource"]?.string.flatMap { $0.isEmpty ? nil : $0 }),
                apiVersion: entry["apiVersion"]?.string ?? "", time: entry["time"]?.string, fields: fields)
        }
    }

    /// The entries as the API shows them; `nil` without any.
    var json: JSON? {
        let sorted = entries.filter { !$0.fields.isEmpty }
            .sorted { Self.rank($0).lexicographicallyPrecedes(Self.rank($1)) }
        guard !sorted.isEmpty else { return nil }
        return .array(
            sorted.map { entry in
                var json: JSON = [
                    "manager": .string(entry.manager.name), "operation": .string(entry.manager.operation.rawValue),
                    "apiVersion": .string(entry.apiVersion),
                ]
                json["time"] = entry.time.map { .string($0) }
                json["fieldsType"] = "FieldsV1"
                json["fieldsV1"] = entry.fields.json
                json["subresource"] = entry.manager.subresource.map { .string($0) }
                return json
            })
    }

    private static func rank(_ entry: Entry) -> [String] {
        [
            entry.manager.operation.rawValue, entry.time ?? "", entry.manager.name, entry.apiVersion,
            entry.manager.subresource ?? "",
        ]
    }

    /// Takes fields from everyone.
    mutating func release(_ fields: FieldSet) {
        for index in entries.indices { entries[index].fields = entries[index].fields.subtracting(fields) }
        entries.removeAll(where: \.fields.isEmpty)
    }

    /// Gives fields to a manager, beside those that it has.
    mutating func add(_ fields: FieldSet, to manager: FieldManager, apiVersion: String, at time: String?) {
        let index = entries.firstIndex { $0.manager == manager && $0.apiVersion == apiVersion }
        guard let index else {
            return entries.append(Entry(manager: manager, apiVersion: apiVersion, time: time, fields: fields))
        }
        entries[index].fields = entries[index].fields.union(fields)
        entries[index].time = time ?? entries[index].time
    }

    /// So many managers that only update are told apart; what older ones did is kept under one name.
    private static let mostUpdaters = 10
    private static let ancient = FieldManager(name: "ancient-changes")

    private mutating func forgetOldest() {
        while entries.count(where: { $0.manager.operation == .update }) > Self.mostUpdaters {
            let updaters = entries.indices.filter {
                entries[$0].manager.operation == .update && entries[$0].manager != Self.ancient
            }
            guard let oldest = updaters.min(by: { (entries[$0].time ?? "") < (entries[$1].time ?? "") }) else { return }
            let entry = entries.remove(at: oldest)
            add(entry.fields, to: Self.ancient, apiVersion: entry.apiVersion, at: entry.time)
        }
    }

    /// Whether both say the same but for the times.
    func isSame(as other: ManagedFields) -> Bool {
        func timeless(_ fields: ManagedFields) -> JSON? {
            var fields = fields
            for index in fields.entries.indices { fields.entries[index].time = nil }
            return fields.json
        }
        return timeless(self) == timeless(other)
    }

    /// Writes into `object` who owns its fields, once a manager has made it of `current`.
    ///
    /// A client may also change the managed fields by hand, and begin anew with one empty entry.
    static func record(in object: inout JSON, from current: JSON?, _ kind: ResourceKind, by manager: FieldManager) {
        let before = current?.at("metadata", "managedFields")
        let written = object.at("metadata", "managedFields")
        var managed = ManagedFields(written)
        if written == [[:]] {
            managed.entries = []
        } else if managed.entries.isEmpty || manager.subresource != nil {
            managed = ManagedFields(before)
        }
        let changes = FieldChanges(
            from: TypedValue(ownable(current ?? unowned(kind)), kind),
            to: TypedValue(ownable(current == nil ? given(object, kind) : object, withStatus: current != nil), kind))
        managed.release(changes.removed)
        if !changes.written.isEmpty {
            managed.release(changes.written)
            managed.add(
                changes.written, to: manager, apiVersion: kind.apiVersion, at: Timestamp.now.description)
            managed.forgetOldest()
        }
        object["metadata"]?["managedFields"] = managed.json
    }

    /// What of an object's metadata is its identity, or kept by the system: nobody owns it.
    private static let unownedMetadata = ObjectMetadata.owned + ["name", "namespace", "selfLink", "managedFields"]

    /// An object without what nobody owns.
    static func ownable(_ object: JSON, withStatus: Bool = true) -> JSON {
        var object = object
        object["kind"] = nil
        object["apiVersion"] = nil
        if !withStatus { object["status"] = nil }
        object.edit("metadata") { metadata in
            for key in unownedMetadata { metadata[key] = nil }
        }
        return object
    }

    /// The fields that an apply of an object owns.
    static func fields(of applied: JSON, _ kind: ResourceKind) -> FieldSet {
        var fields = TypedValue(applied, kind).fields
        for key in ["kind", "apiVersion", "status"] { fields["f:\(key)"] = FieldSet() }
        fields["f:metadata"].isMember = false
        for key in unownedMetadata { fields["f:metadata"]["f:\(key)"] = FieldSet() }
        return fields
    }

    /// A new object as it was sent: what the API makes of it afterwards is nobody's.
    private static func given(_ object: JSON, _ kind: ResourceKind) -> JSON {
        kind == .job ? JobAdmission.withoutOwnLabels(object) : object
    }

    /// What every object of a kind has before anyone writes to it, and what the API puts there by itself.
    private static func unowned(_ kind: ResourceKind) -> JSON {
        var object: JSON = ["metadata": [:], "spec": [:]]
        switch kind {
        case .pod:
            var spec: JSON = ["containers": nil]
            PodDefaults.admit(&spec)
            object["spec"] = spec
        case .namespace: object["spec"] = ["finalizers": ["kubernetes"]]
        case _ where kind.isWorkload:
            object["spec"] = [
                "selector": nil, "template": ["metadata": [:], "spec": ["containers": nil]],
                "strategy": [:], "updateStrategy": [:],
            ]
        default: break
        }
        return object
    }
}
