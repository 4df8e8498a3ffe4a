internal import JSON

/// The definitions of kinds that a set of manifests brings along with objects of them.
struct CustomDefinitions: Sendable {
    /// What they are themselves.
    static let kind = "CustomResourceDefinition"

    private struct Definition {
        let name: String
        let group: String
        let kind: String
        let isNamespaced: Bool
    }

    private let definitions: [Definition]

    /// The definitions in a set of manifests.
    init(_ objects: [JSON]) {
        definitions = objects.compactMap { object in
            guard let reference = ObjectReference(object), reference.kind == CustomDefinitions.kind,
                let group = object.at("spec", "group")?.string, let kind = object.at("spec", "names", "kind")?.string
            else { return nil }
            return Definition(
                name: reference.name, group: group, kind: kind,
                isNamespaced: object.at("spec", "scope")?.string != "Cluster")
        }
    }

    /// Whether there is none.
    var isEmpty: Bool { definitions.isEmpty }

    private func definition(of reference: ObjectReference) -> Definition? {
        definitions.first { $0.group == reference.group && $0.kind == reference.kind }
    }

    /// The name of the definition of an object's kind; `nil` where the set has none.
    func name(of reference: ObjectReference) -> String? { definition(of: reference)?.name }

    /// Whether objects of its kind belong into namespaces; `nil` where the set does not say.
    func isNamespaced(_ reference: ObjectReference) -> Bool? { definition(of: reference)?.isNamespaced }
}
