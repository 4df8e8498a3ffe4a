internal import JSON

/// One revision of a release, as `helm history` tells it.
struct HelmRevision: Equatable, Sendable {
    let number: Int
    let status: String
    /// When it was made.
    var updated: Timestamp?

    /// From the answer to `helm history`, the newest first.
    static func list(_ json: JSON) -> [HelmRevision] {
        let all = (json.array ?? []).compactMap { entry -> HelmRevision? in
            guard let number = entry["revision"]?.integer, let status = entry["status"]?.string else { return nil }
            return HelmRevision(
                number: Int(number), status: status,
                updated: entry["updated"]?.string.flatMap { Timestamp(rfc3339: $0) })
        }
        return all.sorted { $0.number > $1.number }
    }

    /// The revision to go back to: the one that ran before the newest.
    ///
    /// Where the newest has failed, that is the one which still counts as deployed.
    static func before(_ revisions: [HelmRevision]) -> Int? {
        guard let newest = revisions.first else { return nil }
        let earlier = revisions.dropFirst()
        if newest.status != "deployed", let running = earlier.first(where: { $0.status == "deployed" }) {
            return running.number
        }
        return earlier.first { $0.status == "superseded" }?.number
    }
}
