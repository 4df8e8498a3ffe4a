/// The newest images of a session, by the names that manifests have for them.
actor ImageSet {
    /// As pods name them.
    private(set) var references: [String: String] = [:]

    /// The names of the registry that they are in; `nil` before there is one.
    private(set) var registry: RegistryNames?

    /// Takes the newest image of a name.
    func set(_ name: String, to reference: String, in home: ImageHome? = nil) {
        references[name] = reference
        if case .registry(let names) = home { registry = names }
    }
}
