internal import JSON

/// Who has set which fields of an object, as its `managedFields` tell.
enum FieldManagers {
    /// The name that loopd's own writes have.
    static let own = "loopd"

    /// Who took changes back: of those who own one of the fields, the one who wrote last; else whoever wrote last.
    static func reverter(of lost: [TemplateChange], in workload: JSON) -> String? {
        let others = (workload.at("metadata", "managedFields")?.array ?? []).filter { entry in
            entry["manager"]?.string != own && entry["subresource"]?.string == nil
        }
        let owners = others.filter { entry in
            let fields = entry.at("fieldsV1", "f:spec", "f:template", "f:spec")
            return lost.contains { owns($0.path, fields) }
        }
        return newest(owners.isEmpty ? others : owners)?["manager"]?.string
    }

    /// Who has set a field, and how.
    struct Owner: Equatable {
        let manager: String
        /// By a server-side apply.
        let isApply: Bool
    }

    /// Who has set a field of a pod spec: who owns it and wrote last, else whoever wrote last.
    ///
    /// - Parameter place: where the spec is in the object.
    static func owner(of path: TemplatePath, below place: [String], in object: JSON) -> Owner? {
        let entries = (object.at("metadata", "managedFields")?.array ?? []).filter { $0["subresource"]?.string == nil }
        let owners = entries.filter { entry in
            let fields = place.reduce(entry["fieldsV1"]) { $0?["f:\($1)"] }
            return owns(path, fields)
        }
        return newest(owners.isEmpty ? entries : owners).map {
            Owner(manager: $0["manager"]?.string ?? "somebody", isApply: $0["operation"]?.string == "Apply")
        }
    }

    private static func newest(_ entries: [JSON]) -> JSON? {
        entries.max { ($0["time"]?.string ?? "") < ($1["time"]?.string ?? "") }
    }

    /// Whether a field, or the whole that it is a part of, is in a set of fields.
    private static func owns(_ path: TemplatePath, _ fields: JSON?) -> Bool {
        guard var fields else { return false }
        for step in path.steps {
            // A leaf stands for everything below.
            if fields.object?.isEmpty == true { return true }
            let key =
                switch step {
                case .key(let key): "f:\(key)"
                case .element(let key, let name): "k:\(([key: .string(name)] as JSON).text)"
                }
            guard let inner = fields[key] else { return false }
            fields = inner
        }
        return true
    }

    /// The patch that lets go of everything of loopd's in an object that stays, what it has applied, too; `nil` where it has
    /// nothing.
    static func departure(from object: JSON) -> JSON? {
        guard let entries = object.at("metadata", "managedFields")?.array else { return nil }
        let others = entries.filter { $0["manager"]?.string != own }
        guard others.count < entries.count else { return nil }
        return [
            DevWorkload.version(of: object),
            // One empty entry is how the API is told that nobody owns anything.
            ["op": "replace", "path": "/metadata/managedFields", "value": .array(others.isEmpty ? [[:]] : others)],
        ]
    }

    /// Whether loopd owns the image of a container, beside what it has applied.
    static func ownsImage(in object: JSON, _ kind: WorkloadKind) -> Bool {
        (object.at("metadata", "managedFields")?.array ?? []).contains { entry in
            guard entry["manager"]?.string == own, entry["operation"]?.string != "Apply" else { return false }
            let spec = kind.podSpec.reduce(entry["fieldsV1"]) { $0?["f:\($1)"] }
            return ["f:containers", "f:initContainers"].contains { list in
                (spec?[list]?.object ?? JSONObject()).contains { $0.value["f:image"] != nil }
            }
        }
    }

    /// The patch that lets go of every field that loopd has changed, so that nobody's later apply meets a conflict; `nil`
    /// where it has none.
    ///
    /// What loopd has applied as the workload's manifest stays its own.
    static func release(of workload: JSON) -> JSON? {
        guard let entries = workload.at("metadata", "managedFields")?.array else { return nil }
        let others = entries.filter { $0["manager"]?.string != own || $0["operation"]?.string == "Apply" }
        // An empty list would mean that everything is forgotten.
        guard others.count < entries.count, !others.isEmpty else { return nil }
        return [
            DevWorkload.version(of: workload),
            ["op": "replace", "path": "/metadata/managedFields", "value": .array(others)],
        ]
    }
}
