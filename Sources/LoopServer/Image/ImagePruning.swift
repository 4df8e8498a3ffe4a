/// Which of loopd's old tags may be deleted from a registry: a pure function.
struct ImagePruning: Sendable {
    /// How many of the newest tags stay, whoever uses them.
    static let kept = 5

    /// What this project has pushed, the newest last.
    var pushed: [String]
    /// What a digest each tag of the repository has.
    var digests: [String: String]
    /// Tags and digests that a workload names.
    var used: Set<String>

    /// Manifests to delete, by their digest with the tags that go.
    ///
    /// To delete a manifest deletes every tag that names it: one that has a tag that is to stay stays.
    var obsolete: [String: [String]] {
        let old = Set(pushed.dropLast(ImagePruning.kept)).filter { ImagePruning.isOwn($0) && !used.contains($0) }
        let staying = Set(digests.filter { !old.contains($0.key) }.values)
        var result: [String: [String]] = [:]
        for (tag, digest) in digests where old.contains(tag) && !staying.contains(digest) && !used.contains(digest) {
            result[digest, default: []].append(tag)
        }
        return result.mapValues { $0.sorted() }
    }

    /// Whether a tag is one that loopd makes of the content.
    static func isOwn(_ tag: String) -> Bool {
        let hex = tag.dropFirst(ImageHome.tagPrefix.count)
        return tag.hasPrefix(ImageHome.tagPrefix) && hex.utf8.count == 16
            && hex.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
    }
}
