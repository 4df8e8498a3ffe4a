internal import JSON

/// A pod as the checks of Pod Security look at it.
struct SecuredPod: Sendable {
    let annotations: JSONObject
    let spec: JSON
    /// Init, ordinary and ephemeral containers, in this order.
    let containers: [JSON]

    /// A pod, or a pod template.
    init(_ pod: JSON) {
        annotations = pod.at("metadata", "annotations")?.object ?? JSONObject()
        spec = pod["spec"] ?? [:]
        containers = ["initContainers", "containers", "ephemeralContainers"].flatMap { [spec] in spec[$0]?.array ?? [] }
    }

    var context: JSON? { spec["securityContext"] }

    /// Whether its users are others than the machine's.
    var hasOwnUsers: Bool { spec["hostUsers"] == false }

    /// `container "a"`, or `containers "a", "b"`: those that a check finds fault with; `nil` for none.
    func containers(where isBad: (JSON) -> Bool) -> String? {
        let names = containers.filter(isBad).map { $0["name"]?.string ?? "" }
        return names.isEmpty ? nil : "\(Self.plural("container", names.count)) \(Self.quote(names))"
    }

    /// Who sets something in a security context that must not be set: `pod and container "a"`; `nil` for nobody.
    func setters(of isBad: (JSON) -> Bool) -> String? {
        let pod = context.map(isBad) == true ? ["pod"] : []
        let containers = containers { $0["securityContext"].map(isBad) == true }.map { [$0] } ?? []
        return pod.isEmpty && containers.isEmpty ? nil : (pod + containers).joined(separator: " and ")
    }

    /// The values at a path of all security contexts, each once, sorted.
    func values(_ value: (JSON) -> [String]) -> [String] {
        Set(([context] + containers.map { $0["securityContext"] }).compactMap { $0 }.flatMap(value)).sorted()
    }

    static func plural(_ word: String, _ count: Int) -> String { count == 1 ? word : "\(word)s" }

    static func quote(_ words: [String]) -> String { words.map { "\"\($0)\"" }.joined(separator: ", ") }
}
