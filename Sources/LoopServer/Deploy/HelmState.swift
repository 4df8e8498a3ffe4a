internal import JSON

/// A release as the cluster has it.
struct HelmState: Equatable, Sendable {
    /// The number of its newest revision.
    let revision: Int
    /// In helm's words: `deployed`, `failed`, `pending-upgrade`.
    let status: String
    /// Whether the server has applied it, not helm: then fields have owners.
    let isServerSide: Bool
    /// What it has applied, and its hooks, as helm prints them.
    let text: String

    /// From the answer to `helm status`.
    init?(_ json: JSON) {
        guard let revision = json["version"]?.integer, let status = json.at("info", "status")?.string else {
            return nil
        }
        self.revision = Int(revision)
        self.status = status
        isServerSide = json["apply_method"]?.string == "ssa"
        text = HelmManifest.text(of: json)
    }
}
