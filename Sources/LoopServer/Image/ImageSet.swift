/// The newest images of a session, by the names that manifests have for them.
actor ImageSet {
    /// Those that are being built for the first time.
    private(set) var expected: Set<String>

    /// As pods name them.
    private(set) var references: [String: String] = [:]

    /// The names of the registry that they are in; `nil` before there is one.
    private(set) var registry: RegistryNames?

    /// What those say about how they are run, by reference, where their builders know it.
    private(set) var configurations: [String: ImageConfiguration] = [:]

    /// `expected` will be there soon.
    init(expecting expected: Set<String> = []) { self.expected = expected }

    /// Notes that no image is being built any more.
    func expectNoMore() { expected = [] }

    /// Whether an image is built when something asks for it: one that rests is built once.
    func isDue(_ entry: ImagePlan.Entry) -> Bool { !entry.isResting || references[entry.name] == nil }

    /// Takes the newest image of a name.
    func set(
        _ name: String, to reference: String, in home: ImageHome? = nil,
        running configuration: ImageConfiguration? = nil
    ) {
        references[name] = reference
        expected.remove(name)
        if let configuration { configurations[reference] = configuration }
        if case .registry(let names) = home { registry = names }
    }
}
