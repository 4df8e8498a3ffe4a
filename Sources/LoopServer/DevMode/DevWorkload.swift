internal import JSON

/// A workload on its way into dev mode and out of it: pure functions of its object.
enum DevWorkload {
    /// kubectl's annotation with what was applied last.
    static let lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

    /// A workload, or its manifest, in dev mode, with the record of it.
    static func entered(_ workload: JSON, _ template: DevTemplate, _ record: DevRecord) -> JSON {
        var result = workload
        result["spec"]?["template"]?["spec"] = template.spec
        setAnnotation(DevRecord.annotation, record.text, in: &result)
        return result
    }

    /// The workload with the record of what is changed in it already.
    static func annotated(_ workload: JSON, _ record: DevRecord) -> JSON {
        var result = workload
        setAnnotation(DevRecord.annotation, record.text, in: &result)
        return result
    }

    /// A manifest with the fields that dev mode has changed in the workload as it runs: applied, it leaves them as they are.
    static func carried(_ manifest: JSON, _ record: DevRecord, from workload: JSON) -> JSON {
        guard var spec = manifest.at("spec", "template", "spec") else { return manifest }
        let running = workload.at("spec", "template", "spec") ?? .null
        for change in record.changes where change.isHeld(in: running) { change.path.set(change.after, in: &spec) }
        var result = annotated(manifest, record)
        result["spec"]?["template"]?["spec"] = spec
        return result
    }

    /// The workload without dev mode: every field that still is what dev mode made of it is as it was before.
    ///
    /// Where loopd itself applied it in dev mode, what kubectl remembers of that goes back, too, so that the next apply of
    /// the manifest finds what it knows.
    static func undone(_ workload: JSON, _ record: DevRecord) -> JSON {
        var result = workload
        if let spec = workload.at("spec", "template", "spec") {
            result["spec"]?["template"]?["spec"] = TemplateChange.undo(record.changes, in: spec)
        }
        setAnnotation(DevRecord.annotation, nil, in: &result)
        if let text = workload["metadata"]?.strings("annotations")[lastApplied],
            let applied = try? JSON(parsing: text), let own = DevRecord(of: applied)
        {
            setAnnotation(lastApplied, goText(undone(applied, own)), in: &result)
        }
        return result
    }

    /// The JSON patch that makes `target` of `current`, of which it changes the pod template and two annotations; `nil`
    /// where nothing differs.
    ///
    /// Naming the version that was read makes the server refuse the patch (as a conflict) when anybody wrote meanwhile; a
    /// failed `test` would look like an invalid patch.
    static func patch(from current: JSON, to target: JSON) -> JSON? {
        var operations: [JSON] = []
        let (old, new) = (
            current.at("spec", "template", "spec") ?? .null, target.at("spec", "template", "spec") ?? .null
        )
        let keys = (old.object?.keys ?? []) + (new.object?.keys ?? []).filter { old[$0] == nil }
        for key in keys {
            add(&operations, "/spec/template/spec/\(escaped(key))", from: old[key], to: new[key])
        }
        let (before, after) = (current.at("metadata", "annotations"), target.at("metadata", "annotations"))
        if before == nil || after == nil {
            add(&operations, "/metadata/annotations", from: before, to: after)
        } else {
            for key in [DevRecord.annotation, lastApplied] {
                add(&operations, "/metadata/annotations/\(escaped(key))", from: before?[key], to: after?[key])
            }
        }
        guard !operations.isEmpty else { return nil }
        return .array([version(of: current)] + operations)
    }

    /// The operation that ties a patch to the version that it was made for.
    static func version(of object: JSON) -> JSON {
        [
            "op": "replace", "path": "/metadata/resourceVersion",
            "value": object.at("metadata", "resourceVersion") ?? "",
        ]
    }

    private static func add(_ operations: inout [JSON], _ path: String, from old: JSON?, to new: JSON?) {
        guard old != new else { return }
        guard let new else { return operations.append(["op": "remove", "path": .string(path)]) }
        operations.append(["op": old == nil ? "add" : "replace", "path": .string(path), "value": new])
    }

    /// A member's name as a part of a JSON pointer.
    private static func escaped(_ key: String) -> String {
        key.replacing("~", with: "~0").replacing("/", with: "~1")
    }

    private static func setAnnotation(_ name: String, _ value: String?, in object: inout JSON) {
        if value == nil, object.at("metadata", "annotations") == nil { return }
        object["metadata"]?["annotations", default: [:]][name] = value.map(JSON.string)
    }

    /// One line as Go writes it: kubectl compares the text.
    private static func goText(_ json: JSON) -> String {
        json.text.replacing("<", with: "\\u003c").replacing(">", with: "\\u003e").replacing("&", with: "\\u0026") + "\n"
    }
}

extension JSON {
    /// The member of an object, or what stands for it.
    fileprivate subscript(key: String, default value: JSON) -> JSON {
        get { self[key] ?? value }
        set { self[key] = newValue }
    }
}
