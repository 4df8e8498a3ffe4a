internal import JSON

/// What differs between an object as it is and as it would be, in lines for people: a pure function.
///
/// Of a Secret only which keys change is told, never a value.
enum ManifestDiff {
    /// One line for each difference; empty where nothing differs that anybody set.
    static func lines(_ reference: ObjectReference, from old: JSON?, to new: JSON?) -> [String] {
        guard let new else { return ["- \(reference)"] }
        guard let old else { return ["+ \(reference)"] }
        var changes: [String] = []
        compare(cleaned(old), cleaned(new), at: "", hidesValues: reference.hasSecrets, &changes)
        return changes.map { "~ \(reference)  \($0)" }
    }

    /// At most `limit` lines, the last of which says how many more there are.
    static func shortened(_ lines: [String], limit: Int = 20) -> [String] {
        guard lines.count > limit else { return lines }
        return Array(lines.prefix(limit - 1)) + ["… and \(lines.count - limit + 1) more"]
    }

    /// An object without what the cluster keeps about it.
    private static func cleaned(_ object: JSON) -> JSON {
        var object = object
        object["status"] = nil
        var metadata = object["metadata"] ?? [:]
        for key in ["managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"] {
            metadata[key] = nil
        }
        var annotations = metadata["annotations"] ?? [:]
        for key in [DevWorkload.lastApplied, "deployment.kubernetes.io/revision"] {
            annotations[key] = nil
        }
        metadata["annotations"] = annotations.object?.isEmpty == false ? annotations : nil
        object["metadata"] = metadata
        return object
    }

    private static func compare(
        _ old: JSON?, _ new: JSON?, at path: String, hidesValues: Bool, _ changes: inout [String]
    ) {
        guard old != new else { return }
        if let one = old?.object, let other = new?.object {
            for key in one.keys + other.keys.filter({ one[$0] == nil }) {
                compare(one[key], other[key], at: join(path, key), hidesValues: hidesValues, &changes)
            }
        } else if let one = old?.array, let other = new?.array {
            compare(one, other, at: path, hidesValues: hidesValues, &changes)
        } else if hidesValues {
            changes.append("\(path) \(old == nil ? "added" : new == nil ? "removed" : "changed")")
        } else {
            changes.append("\(path) \(shown(old)) → \(shown(new))")
        }
    }

    /// Elements with names are compared by name, others by place.
    private static func compare(
        _ old: [JSON], _ new: [JSON], at path: String, hidesValues: Bool, _ changes: inout [String]
    ) {
        let names = (old + new).map { $0["name"]?.string }
        guard !names.contains(nil), Set(old.map(\.name)).count == old.count, Set(new.map(\.name)).count == new.count
        else {
            for index in 0..<max(old.count, new.count) {
                // JSON has a nil literal of its own, which is a value.
                let one = old.indices.contains(index) ? old[index] : JSON?.none
                let other = new.indices.contains(index) ? new[index] : JSON?.none
                compare(one, other, at: "\(path)[\(index)]", hidesValues: hidesValues, &changes)
            }
            return
        }
        for name in old.map(\.name) + new.map(\.name).filter({ name in !old.contains { $0.name == name } }) {
            let one = old.first { $0.name == name }
            let other = new.first { $0.name == name }
            compare(one, other, at: "\(path)[\(name)]", hidesValues: hidesValues, &changes)
        }
    }

    private static func join(_ path: String, _ key: String) -> String {
        let key = key.contains(".") ? "[\(key)]" : key
        return path.isEmpty ? key : key.hasPrefix("[") ? path + key : "\(path).\(key)"
    }

    /// A value in one short piece.
    private static func shown(_ value: JSON?) -> String {
        guard let value else { return "(none)" }
        let text = value.string ?? value.text
        let limit = 60
        let line = text.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "⏎")
        return line.count > limit ? line.prefix(limit - 1) + "…" : line.isEmpty ? "\"\"" : line
    }
}

extension JSON {
    fileprivate var name: String { self["name"]?.string ?? "" }
}
