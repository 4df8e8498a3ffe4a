internal import JSON

/// Manifests of the workload, by whomever they are applied.
extension DevModeSession {
    /// Whether an object is this workload, or its manifest.
    nonisolated func isAbout(_ object: JSON, namespace: String) -> Bool {
        object["kind"]?.string?.lowercased() == kind.rawValue && object.at("metadata", "name")?.string == name
            && object.at("metadata", "namespace")?.string ?? namespace == namespace
    }

    /// Who applies a manifest: each takes away only those fields that it has applied before.
    enum Applier {
        case kubectl, server
        /// It compares with what it has applied itself before.
        case helm

        /// Whether this one has applied the workload that is there.
        func hasApplied(_ object: JSON) -> Bool {
            switch self {
            case .kubectl: object["metadata"]?.strings("annotations")[DevWorkload.lastApplied] != nil
            case .server: ManifestApply.isOurs(object)
            case .helm: true
            }
        }
    }
}
