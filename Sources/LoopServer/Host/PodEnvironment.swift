internal import JSON

/// The variables of a container, as the kubelet resolves them from the API.
///
/// What the image and the runtime add (`PATH`, `HOME`, `HOSTNAME`) is not there.
struct PodEnvironment: Equatable, Sendable {
    /// One variable.
    struct Variable: Equatable, Sendable {
        let name: String
        var value: String
        /// Whether a Secret's value is in it: it is for the process, and for no event or log.
        var isSecret: Bool
    }

    /// In the order in which they are set.
    private(set) var variables: [Variable] = []
    /// What is left out, one line each, without any values.
    private(set) var notices: [String] = []

    private var places: [String: Int] = [:]

    /// The environment of a pod's container.
    ///
    /// Throws `LoopFailure` where something that the pod needs is missing or may not be read.
    static func resolve(
        container: String, pod: JSON, namespace: String, client: KubeClient
    ) async throws -> PodEnvironment {
        try PodEnvironment(
            try await PodReferences.read(
                pod: pod, container: container, namespace: namespace, files: false, client: client))
    }

    /// The environment by what was read for it.
    ///
    /// `services` are variables of Services that lead elsewhere here: everything that the container says wins over them.
    init(_ references: PodReferences, services: [String: String] = [:]) throws {
        notices = references.notices
        for (name, value) in ServiceVariables.of(references.services) { set(name, value) }
        set(services)
        for source in references.container["envFrom"]?.array ?? [] { try take(source, references) }
        for entry in references.container["env"]?.array ?? [] { try add(entry, references) }
        let unusable = variables.filter { $0.value.utf8.contains(0) }.map(\.name)
        guard !unusable.isEmpty else { return }
        variables.removeAll { unusable.contains($0.name) }
        places = [:]
        for (place, variable) in variables.enumerated() { places[variable.name] = place }
        notices.append("left out, because their values have NUL bytes: \(unusable.joined(separator: ", "))")
    }

    /// The value of a variable.
    subscript(name: String) -> String? { places[name].map { variables[$0].value } }

    /// All of them by name.
    var dictionary: [String: String] {
        Dictionary(variables.map { ($0.name, $0.value) }) { _, last in last }
    }

    /// The names of variables that have a Secret's value in them.
    var secretNames: Set<String> { Set(variables.filter(\.isSecret).map(\.name)) }

    /// Sets variables on top, in which `$(NAME)` is what was there before.
    mutating func merge(_ others: [String: String]) {
        let expanded = others.sorted { $0.key < $1.key }.map { name, value in (name, expand(value)) }
        for (name, (value, isSecret)) in expanded { set(name, value, isSecret: isSecret) }
    }

    /// Sets variables on top, as they are.
    mutating func set(_ others: [String: String]) {
        for (name, value) in others.sorted(by: { $0.key < $1.key }) { set(name, value) }
    }

    private mutating func set(_ name: String, _ value: String, isSecret: Bool = false) {
        if let place = places[name] {
            variables[place].value = value
            variables[place].isSecret = isSecret
        } else {
            places[name] = variables.count
            variables.append(Variable(name: name, value: value, isSecret: isSecret))
        }
    }

    private func expand(_ text: String) -> (value: String, isSecret: Bool) {
        var isSecret = false
        let value = VariableExpansion.expand(text) { name in
            guard let place = places[name] else { return nil }
            isSecret = isSecret || variables[place].isSecret
            return variables[place].value
        }
        return (value, isSecret)
    }

    /// Takes every entry of a ConfigMap or Secret.
    private mutating func take(_ entry: JSON, _ references: PodReferences) throws {
        let prefix = entry["prefix"]?.string ?? ""
        for (key, kind) in PodEnvironment.wholeSources {
            guard let reference = entry[key],
                let content = try references.content(of: reference, kind)
            else { continue }
            for (name, value) in content.data.sorted(by: { $0.key < $1.key }) {
                guard PodEnvironment.isName(prefix + name) else { continue }
                set(prefix + name, String(decoding: value, as: UTF8.self), isSecret: kind == .secret)
            }
        }
    }

    /// Adds an entry of `env`; one that is optional and not there leaves what was set before.
    private mutating func add(_ entry: JSON, _ references: PodReferences) throws {
        guard let name = entry["name"]?.string, PodEnvironment.isName(name) else { return }
        let literal = entry["value"]?.string ?? ""
        guard literal.isEmpty, let source = entry["valueFrom"], !source.isNull else {
            let (value, isSecret) = expand(literal)
            return set(name, value, isSecret: isSecret)
        }
        if let path = source.at("fieldRef", "fieldPath")?.string {
            guard let value = try references.field(path) else {
                return notices.append("\(name) is left out: only a running pod has \(path)")
            }
            return set(name, value)
        }
        if let reference = source["resourceFieldRef"] {
            guard let value = try references.resource(reference) else {
                let resource = reference["resource"]?.string ?? ""
                return notices.append(
                    "\(name) is left out: the container sets no \(resource), and its node may not be looked at")
            }
            return set(name, value)
        }
        for (key, kind) in PodEnvironment.keySources {
            guard let reference = source[key] else { continue }
            guard let value = try references.entry(of: reference, kind) else { return }
            return set(name, String(decoding: value, as: UTF8.self), isSecret: kind == .secret)
        }
        notices.append("\(name) is left out: loopd does not know \(source.object?.keys.first ?? "its source")")
    }

    private static let wholeSources: [(String, PodReferences.Source.Kind)] = [
        ("configMapRef", .configMap), ("secretRef", .secret),
    ]
    private static let keySources: [(String, PodReferences.Source.Kind)] = [
        ("configMapKeyRef", .configMap), ("secretKeyRef", .secret),
    ]

    /// Whether Kubernetes takes a name for a variable's: printable ASCII without `=`.
    static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { (0x20...0x7E).contains($0) && $0 != UInt8(ascii: "=") }
    }
}

extension PodReferences {
    /// What a ConfigMap or Secret holds; `nil` where it is not there and need not be.
    func content(of reference: JSON, _ kind: Source.Kind, named key: String = "name") throws -> Content? {
        let source = Source(kind: kind, name: reference[key]?.string ?? "")
        if let content = contents[source] { return content }
        if reference["optional"]?.bool == true { return nil }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "\(kind.rawValue) \"\(source.name)\", which the pod needs, is not in namespace \(namespace)",
                nextStep: "apply it, or mark the reference as optional"))
    }

    /// The entry that a key reference names; `nil` where it is not there and need not be.
    fileprivate func entry(of reference: JSON, _ kind: Source.Kind) throws -> [UInt8]? {
        guard let content = try content(of: reference, kind) else { return nil }
        let key = reference["key"]?.string ?? ""
        if let value = content.data[key] { return value }
        if reference["optional"]?.bool == true { return nil }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "\(kind.rawValue) \"\(reference["name"]?.string ?? "")\" in namespace \(namespace) has no key "
                    + "\"\(key)\", which the pod needs",
                nextStep: "add the key, or mark the reference as optional"))
    }
}
