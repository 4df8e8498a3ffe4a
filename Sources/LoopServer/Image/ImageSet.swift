/// The newest images of a session, by the names that manifests have for them.
actor ImageSet {
    /// As pods name them.
    private(set) var references: [String: String] = [:]

    /// Takes the newest image of a name.
    func set(_ name: String, to reference: String) { references[name] = reference }
}
