internal import JSON

/// The way to a field of a pod spec.
///
/// Elements of lists are found by what identifies them, never by where they stand: others add and remove elements, too.
struct TemplatePath: Equatable, Sendable {
    /// A member of an object, or the element of a list whose `key` has this value.
    enum Step: Equatable, Sendable {
        case key(String)
        case element(key: String, name: String)
    }

    private(set) var steps: [Step] = []

    init() {}

    init(_ steps: [Step]) { self.steps = steps }

    func key(_ key: String) -> TemplatePath { TemplatePath(steps + [.key(key)]) }
    func element(_ key: String, _ name: String) -> TemplatePath {
        TemplatePath(steps + [.element(key: key, name: name)])
    }

    /// The key of the last member on the way.
    var lastKey: String {
        for case .key(let key) in steps.reversed() { return key }
        return ""
    }

    /// The list whose element this is; `nil` for a member.
    var listOfElement: String? {
        guard case .element = steps.last, case .key(let list) = steps.dropLast().last else { return nil }
        return list
    }

    /// What identifies the elements, where this is the path of a list of which that is known.
    var listKey: String? {
        guard case .key(let list) = steps.last else { return nil }
        switch list {
        case "containers", "initContainers", "volumes", "env": return "name"
        case "volumeMounts": return "mountPath"
        default: return nil
        }
    }

    func value(in spec: JSON) -> JSON? {
        var value: JSON? = spec
        for step in steps { value = value.flatMap { TemplatePath.value(step, in: $0) } }
        return value
    }

    private static func value(_ step: Step, in value: JSON) -> JSON? {
        switch step {
        case .key(let key): value[key]
        case .element(let key, let name): value.array?.first { $0[key]?.string == name }
        }
    }

    /// Whether what the field is a part of is there; a list that is not there is an empty one.
    func hasParent(in spec: JSON) -> Bool {
        TemplatePath(steps.dropLast(listOfElement == nil ? 1 : 2)).value(in: spec) != nil
    }

    /// Sets the field, or takes it away; nothing happens where its parent is missing.
    func set(_ value: JSON?, in spec: inout JSON) {
        TemplatePath.set(value, steps[...], in: &spec)
    }

    private static func set(_ value: JSON?, _ steps: ArraySlice<Step>, in place: inout JSON) {
        guard let step = steps.first else { return }
        let isLast = steps.count == 1
        switch step {
        case .key(let key):
            if isLast {
                place[key] = value
            } else if var inner = place[key] ?? missingList(steps.dropFirst().first, value) {
                set(value, steps.dropFirst(), in: &inner)
                // A list without elements is no list to the API. (JSON has a nil literal of its own, which is a value.)
                place[key] = inner == .array([]) ? JSON?.none : inner
            }
        case .element(let key, let name):
            guard var list = place.array else { return }
            let index = list.firstIndex { $0[key]?.string == name }
            switch (index, isLast, value) {
            case (let index?, true, let value?): list[index] = value
            case (let index?, true, nil): list.remove(at: index)
            case (nil, true, let value?): list.append(value)
            case (let index?, false, _): set(value, steps.dropFirst(), in: &list[index])
            default: return
            }
            place = .array(list)
        }
    }

    /// An empty list where an element is to be added to one that is not there.
    private static func missingList(_ next: Step?, _ value: JSON?) -> JSON? {
        if case .element = next, value != nil { .array([]) } else { nil }
    }
}

extension TemplatePath {
    /// As a person reads it: `containers[web].command`.
    var text: String {
        steps.reduce(into: "") { text, step in
            switch step {
            case .key(let key): text += text.isEmpty ? key : ".\(key)"
            case .element(_, let name): text += "[\(name)]"
            }
        }
    }

    /// As it is recorded: keys as strings, elements as objects with what identifies them.
    var json: JSON {
        .array(
            steps.map { step in
                switch step {
                case .key(let key): .string(key)
                case .element(let key, let name): [key: .string(name)]
                }
            })
    }

    /// From what was recorded; `nil` where it is something else.
    init?(_ json: JSON) {
        guard let parts = json.array else { return nil }
        for part in parts {
            if let key = part.string {
                steps.append(.key(key))
            } else if let (key, name) = part.object.flatMap({ Array($0).first }), let name = name.string {
                steps.append(.element(key: key, name: name))
            } else {
                return nil
            }
        }
        if steps.isEmpty { return nil }
    }
}
