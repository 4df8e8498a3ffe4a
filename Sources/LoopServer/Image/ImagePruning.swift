/// Which of loopd's old tags may be deleted from a registry: a pure function.
struct ImagePruning: Sendable {
    /// How many of the newest tags stay, whoever uses them.
    static let kept = 5
    /// How many older ones there have to be before it is worth to ask what is in use.
    static let batch = 5

    /// What this project has had, the newest last.
    var known: [PushedTags.Entry]
    /// What a digest each tag of the repository has.
    var digests: [String: String]
    /// Tags and digests that a workload or another project names.
    var used: Set<String>

    /// Tags that this project has no use for any more.
    var old: Set<String> { Set(known.dropLast(ImagePruning.kept).map(\.tag)).subtracting(used) }

    /// Manifests to delete, by their digest with the tags that go.
    ///
    /// To delete a manifest deletes every tag that names it: one that has a tag that is to stay stays.
    var obsolete: [String: [String]] {
        let going = old.intersection(known.filter { $0.isOurs && ImagePruning.isOwn($0.tag) }.map(\.tag))
        let staying = Set(digests.filter { !going.contains($0.key) }.values).union(used)
        var result: [String: [String]] = [:]
        for (tag, digest) in digests where going.contains(tag) && !staying.contains(digest) {
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
