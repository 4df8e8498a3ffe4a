internal import JSON

/// One field of a pod spec that dev mode changes: what it was, and what it is then; `nil` is a field that is not there.
struct TemplateChange: Equatable, Sendable {
    let path: TemplatePath
    let before: JSON?
    let after: JSON?
}

extension TemplateChange {
    /// What makes `after` of `before`, field by field, and element by element in lists that identify theirs.
    static func between(_ before: JSON, _ after: JSON) -> [TemplateChange] {
        var changes: [TemplateChange] = []
        collect(TemplatePath(), before, after, &changes)
        return changes
    }

    private static func collect(
        _ path: TemplatePath, _ before: JSON?, _ after: JSON?, _ changes: inout [TemplateChange]
    ) {
        guard before != after else { return }
        if let key = path.listKey, let old = elements(before, by: key), let new = elements(after, by: key) {
            for name in old.map(\.name) + new.map(\.name).filter({ name in !old.contains { $0.name == name } }) {
                collect(
                    path.element(key, name), old.first { $0.name == name }?.value,
                    new.first { $0.name == name }?.value, &changes)
            }
        } else if let old = before?.object, let new = after?.object {
            for key in old.keys + new.keys.filter({ old[$0] == nil }) {
                collect(path.key(key), old[key], new[key], &changes)
            }
        } else {
            changes.append(TemplateChange(path: path, before: before, after: after))
        }
    }

    /// The elements with what identifies them; `nil` where that does not tell all of them apart.
    ///
    /// A missing list has none.
    private static func elements(_ list: JSON?, by key: String) -> [(name: String, value: JSON)]? {
        guard let list else { return [] }
        guard let values = list.array else { return nil }
        let elements = values.compactMap { value in value[key]?.string.map { (name: $0, value: value) } }
        return Set(elements.map(\.name)).count == values.count ? elements : nil
    }

    /// Whether the field still is what dev mode made of it.
    ///
    /// A server completes what it is given and spells it its own way: that is no change. Where the whole that the field
    /// belongs to is gone, nothing of it is left to take back.
    func isHeld(in spec: JSON) -> Bool {
        guard path.hasParent(in: spec) else { return false }
        let current = path.value(in: spec)
        // Elements that dev mode added are its own, whatever somebody did to them; a mount, as long as it is of its volume.
        if before == nil, let after, let current {
            switch path.listOfElement {
            case "volumes", "initContainers": return true
            case "volumeMounts": return current["name"] == after["name"]
            default: break
            }
        }
        return HeldValue.isHeld(after, in: current, key: path.lastKey)
    }

    /// Whether the field is as it was before.
    func isUndone(in spec: JSON) -> Bool { HeldValue.isHeld(before, in: path.value(in: spec), key: path.lastKey) }

    /// Whether either is what a server makes of the other.
    func fits(_ other: TemplateChange) -> Bool {
        func fits(_ left: JSON?, _ right: JSON?) -> Bool {
            let key = path.lastKey
            return HeldValue.isHeld(left, in: right, key: key) || HeldValue.isHeld(right, in: left, key: key)
        }
        return path == other.path && fits(before, other.before) && fits(after, other.after)
    }

    /// The spec with every field as it was before that still is what dev mode made of it; all others stay.
    static func undo(_ changes: [TemplateChange], in spec: JSON) -> JSON {
        var result = spec
        for change in changes.reversed() where change.isHeld(in: result) {
            change.path.set(change.before, in: &result)
        }
        return result
    }
}

/// Whether a value is one that was set earlier, seen through what a server makes of it.
enum HeldValue {
    /// `current` may have more members than were set, lack those that were set to nothing, and spell quantities its own way.
    static func isHeld(_ set: JSON?, in current: JSON?, key: String = "") -> Bool {
        guard let set, !isNothing(set) else { return current.map(isNothing) ?? true }
        guard let current else { return false }
        switch (set, current) {
        case (.object(let mine), .object(let theirs)):
            return mine.allSatisfy { isHeld($0.value, in: theirs[$0.key], key: isResources(key) ? key : $0.key) }
        case (.array(let mine), .array(let theirs)):
            return mine.count == theirs.count && zip(mine, theirs).allSatisfy { isHeld($0, in: $1, key: key) }
        case (.string(let mine), .string(let theirs)) where isResources(key) || key == "sizeLimit":
            return mine == theirs || quantity(mine).map { $0 == quantity(theirs) } ?? false
        default:
            return set == current || set.double.map { $0 == current.double } ?? false
        }
    }

    /// What the API leaves out.
    private static func isNothing(_ value: JSON) -> Bool {
        switch value {
        case .null, .string(""): true
        case .array(let elements): elements.isEmpty
        case .object(let object): object.isEmpty
        default: false
        }
    }

    private static func isResources(_ key: String) -> Bool { key == "limits" || key == "requests" }

    /// The number that a quantity stands for: `1000m` is 1, `1Ki` is 1024.
    static func quantity(_ text: String) -> Double? {
        let digits = text.prefix { $0.isNumber || $0 == "." || $0 == "-" || $0 == "+" }
        guard let number = Double(digits) else { return nil }
        switch text.dropFirst(digits.count) {
        case "": return number
        case "n": return number / 1e9
        case "u": return number / 1e6
        case "m": return number / 1000
        case "k": return number * 1000
        case "M": return number * 1e6
        case "G": return number * 1e9
        case "T": return number * 1e12
        case "P": return number * 1e15
        case "E": return number * 1e18
        case "Ki": return number * 1024
        case "Mi": return number * 1_048_576
        case "Gi": return number * 1_073_741_824
        case "Ti": return number * 1_099_511_627_776
        case "Pi": return number * 1_125_899_906_842_624
        case "Ei": return number * 1_152_921_504_606_846_976
        case let exponent: return exponent.first.flatMap { "eE".contains($0) ? Double(text) : nil }
        }
    }
}
