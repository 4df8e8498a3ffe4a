internal import JSON

/// What an object that is being created finds: its namespace, and what lives there.
struct Surroundings {
    /// The namespace as an object; `nil` for kinds without.
    let namespace: JSON?
    private let name: String?
    private let state: ObjectStore.State

    init(of namespace: String?, in state: ObjectStore.State) {
        name = namespace
        self.state = state
        self.namespace = namespace.flatMap { state.objects[.namespace]?[ObjectStore.key(.namespace, nil, $0)] }
    }

    /// The namespace's objects of a kind, by name.
    func objects(_ kind: ResourceKind) -> [JSON] {
        (state.objects[kind] ?? [:]).filter { $0.key.namespace == name }.sorted { $0.key < $1.key }.map(\.value)
    }
}
