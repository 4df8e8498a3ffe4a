internal import JSON

/// The annotation in which `kubectl apply` keeps what it applied: it and `kubectl apply --server-side` are one owner.
enum LastApplied {
    /// The field manager that `kubectl apply --server-side` has where nobody names another.
    static let manager = "kubectl"
    private static let annotation = "kubectl.kubernetes.io/last-applied-configuration"

    /// The fields of the last client-side apply that still have its values.
    static func fields(of live: JSON, _ kind: ResourceKind) -> FieldSet {
        guard let text = live.at("metadata", "annotations", annotation)?.string,
            let applied = try? JSON(parsing: text)
        else { return FieldSet() }
        let before = TypedValue(ManagedFields.ownable(applied, withStatus: false), kind)
        let changes = FieldChanges(from: before, to: TypedValue(ManagedFields.ownable(live), kind))
        return ManagedFields.fields(of: applied, kind).subtracting(changes.written).subtracting(changes.removed)
    }

    /// Keeps the annotation of an object that has one in step with what kubectl applies.
    static func carry(_ wanted: JSON, by manager: FieldManager, to object: inout JSON) {
        guard manager.name == self.manager, object.at("metadata", "annotations", annotation) != nil else { return }
        var wanted = wanted
        wanted.edit("metadata") { metadata in
            metadata["managedFields"] = nil
            metadata.edit("annotations") { $0[annotation] = nil }
        }
        object["metadata"]?["annotations"]?[annotation] = .string(text(of: wanted))
    }

    /// JSON as Go's encoder writes it: sorted keys, and nothing that HTML would read.
    private static func text(of value: JSON) -> String {
        var text = Rollout.canonical(value).text
        for (character, escape) in [("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")] {
            text.replace(character, with: escape)
        }
        return text + "\n"
    }
}
