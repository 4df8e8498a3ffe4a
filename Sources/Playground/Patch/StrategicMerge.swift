internal import JSON

/// A strategic merge patch: a JSON merge that pairs the elements of keyed lists, with Kubernetes' directives.
enum StrategicMerge {
    /// Applies a patch to an object of a kind.
    static func apply(_ patch: JSON, to object: JSON, kind: ResourceKind) throws -> JSON {
        try merge(patch, into: object, Schema.structure(of: kind))
    }

    private static let order = "$setElementOrder/"
    private static let deletion = "$deleteFromPrimitiveList/"

    private static func merge(_ patch: JSON, into original: JSON, _ structure: Schema.Structure?) throws -> JSON {
        guard let changes = patch.object else { return patch }
        switch changes["$patch"] {
        case "replace"?: return withoutDirectives(patch) ?? [:]
        case "delete"?: return [:]
        case nil, "merge"?: break
        case let unknown?: throw StatusError.badRequest("Unknown patch type found: \(unknown.string ?? unknown.text)")
        }
        var result = original.object ?? JSONObject()
        try retainKeys(changes, in: &result)
        for (key, value) in changes where key.hasPrefix(deletion) {
            let name = String(key.dropFirst(deletion.count))
            let gone = value.array ?? []
            if let elements = result[name]?.array {
                result[name] = .array(elements.filter { !gone.contains($0) })
            }
        }
        var ordered: Set<String> = []
        for (key, value) in changes where key.hasPrefix(order) {
            let name = String(key.dropFirst(order.count))
            ordered.insert(name)
            let field = structure?.field(name)
            let before = result[name]?.array
            guard before != nil || changes[name]?.array != nil else { continue }
            var merged = before ?? []
            if let list = changes[name]?.array {
                merged = before == nil ? try added(list) : try mergeList(list, into: merged, field?.type)
            }
            result[name] = .array(
                arrange(merged, by: value.array ?? [], server: before ?? [], key: mergeKey(field?.type)))
        }
        for (key, value) in changes where !key.hasPrefix("$") && !(ordered.contains(key) && value.array != nil) {
            result[key] = try mergeField(value, into: result[key], structure?.field(key))
        }
        return .object(result)
    }

    private static func mergeField(_ patch: JSON, into original: JSON?, _ field: Schema.Field?) throws -> JSON? {
        switch (patch, original) {
        case (.null, _): return nil
        case (.object, .object?):
            var structure: Schema.Structure?
            if case .structure(let name)? = field?.type { structure = Schema.structure(name) }
            return try merge(patch, into: original ?? [:], structure)
        case (.array(let changes), .array(let elements)?):
            return .array(try mergeList(changes, into: elements, field?.type))
        default: return withoutDirectives(patch)
        }
    }

    private static func mergeList(
        _ patch: [JSON], into original: [JSON], _ type: Schema.FieldType?
    ) throws -> [JSON] {
        switch type {
        case .set?:
            var merged = original
            for element in patch where !merged.contains(element) { merged.append(element) }
            return arrange(merged, by: patch, server: original, key: nil)
        case .list(let element, let keys)? where !keys.isEmpty:
            var structure: Schema.Structure?
            if case .structure(let name) = element { structure = Schema.structure(name) }
            return try mergeKeyed(patch, into: original, key: keys[0], structure)
        default: return try added(patch)
        }
    }

    private static func mergeKeyed(
        _ patch: [JSON], into original: [JSON], key: String, _ structure: Schema.Structure?
    ) throws -> [JSON] {
        let isReplaced = patch.contains { $0["$patch"] == "replace" }
        if isReplaced { return try added(patch.filter { $0["$patch"] != "replace" }) }
        var merged = original
        var kept: [JSON] = []
        for element in patch {
            guard let name = element[key] else {
                throw StatusError.badRequest(
                    "map: \(GoFormat.map(element)) does not contain declared merge key: \(key)")
            }
            if element["$patch"] == "delete" {
                merged.removeAll { $0[key] == name }
                continue
            }
            kept.append(element)
            if let index = merged.firstIndex(where: { $0[key] == name }) {
                merged[index] = try merge(element, into: merged[index], structure)
            } else if let element = withoutDirectives(element) {
                merged.append(element)
            }
        }
        return arrange(merged, by: kept, server: original, key: key)
    }

    /// Puts the elements that the patch names into its order, and the others where they were in between.
    private static func arrange(_ merged: [JSON], by order: [JSON], server: [JSON], key: String?) -> [JSON] {
        func name(_ element: JSON) -> JSON { key.flatMap { element[$0] } ?? element }
        func index(_ element: JSON, in list: [JSON]) -> Int? {
            let wanted = name(element)
            return list.firstIndex { name($0) == wanted }
        }
        func sorted(_ elements: [JSON], by list: [JSON]) -> [JSON] {
            elements.enumerated().sorted { left, right in
                let (a, b) = (index(left.element, in: list) ?? Int.max, index(right.element, in: list) ?? Int.max)
                return (a, left.offset) < (b, right.offset)
            }.map(\.element)
        }
        var named = sorted(merged.filter { index($0, in: order) != nil }, by: order)[...]
        var others = sorted(merged.filter { index($0, in: order) == nil }, by: server)[...]
        var result: [JSON] = []
        while let other = others.first, let next = named.first {
            // An element that the server has not seen comes first, as in Kubernetes.
            if let a = index(other, in: server), let b = index(next, in: server), a < b {
                result.append(others.removeFirst())
            } else {
                result.append(named.removeFirst())
            }
        }
        return result + named + others
    }

    private static func mergeKey(_ type: Schema.FieldType?) -> String? {
        if case .list(_, let keys)? = type { keys.first } else { nil }
    }

    private static func retainKeys(_ changes: JSONObject, in result: inout JSONObject) throws {
        guard let kept = changes["$retainKeys"]?.array else { return }
        for key in changes.keys where !key.hasPrefix("$") && changes[key] != .null && !kept.contains(.string(key)) {
            throw StatusError.badRequest("keys in map and in the retainKeys list don't match: \(key)")
        }
        for key in result.keys where !kept.contains(.string(key)) { result[key] = nil }
    }

    /// A list that is new here: without directives, and without elements that only ask for a deletion.
    private static func added(_ list: [JSON]) throws -> [JSON] { list.compactMap(withoutDirectives) }

    private static func withoutDirectives(_ value: JSON) -> JSON? {
        switch value {
        case .object(let object):
            if object["$patch"] == "delete" { return nil }
            var result = JSONObject()
            for (key, member) in object where !key.hasPrefix("$") && !member.isNull {
                result[key] = withoutDirectives(member)
            }
            return .object(result)
        case .array(let elements): return .array(elements.compactMap(withoutDirectives))
        default: return value
        }
    }
}
