internal import JSON

/// The hooks in what helm renders, which are in no release's manifest: pure functions.
enum HelmHooks {
    private static let annotation = "helm.sh/hook"
    private static let tests: Set<String> = ["test", "test-success", "test-failure"]
    private static let installation: Set<String> = ["pre-install", "post-install"]

    /// Whether an object is one.
    static func isHook(_ object: JSON) -> Bool { object["metadata"]?.strings("annotations")[annotation] != nil }

    /// Whether a hook means anything to an upgrade: it runs then, or the release keeps it for later.
    ///
    /// Tests run by themselves, and what belongs to the installation never runs again.
    static func counts(_ hook: JSON, isUpgrade: Bool) -> Bool {
        let moments = (hook["metadata"]?.strings("annotations")[annotation] ?? "").split(separator: ",").map { word in
            String(word.filter { !$0.isWhitespace }).lowercased()
        }
        return moments.contains { !tests.contains($0) && !(isUpgrade && installation.contains($0)) }
    }

    /// What differs between the hooks of a release and those that the next revision would have, one line for each
    /// difference; `revision` is the release's, `nil` where there is none yet.
    ///
    /// The number of the revision in a hook's name, which many charts put there, is no difference.
    static func lines(from old: [JSON], to new: [JSON], revision: Int?, namespace: String) -> [String] {
        let isUpgrade = revision != nil
        var left = old.filter { counts($0, isUpgrade: isUpgrade) }
        if let revision { left = renumbered(left, from: revision) }
        var changed: [JSON] = []
        for hook in new where counts(hook, isUpgrade: isUpgrade) {
            // Two of them may have one name, for different moments.
            let same = left.firstIndex { ReleaseDiff(from: [$0], to: [hook], namespace: namespace).lines.isEmpty }
            if let same { left.remove(at: same) } else { changed.append(hook) }
        }
        return ReleaseDiff(from: left, to: changed, namespace: namespace).lines.map { line in
            "\(line.prefix(2))hook/\(line.dropFirst(2))"
        }
    }

    /// Hooks with the names that they have in the next revision, wherever these stand.
    private static func renumbered(_ hooks: [JSON], from revision: Int) -> [JSON] {
        let names = Set(hooks.compactMap { $0.at("metadata", "name")?.string })
        let changes = names.map { ($0, renumbered($0, from: revision)) }.filter { $0 != $1 }
        guard !changes.isEmpty else { return hooks }
        // A name may begin with another one.
        let longestFirst = changes.sorted { $0.0.count > $1.0.count }
        return hooks.map { hook in
            hook.mappingTexts { text in longestFirst.reduce(text) { $0.replacing($1.0, with: $1.1) } }
        }
    }

    private static func renumbered(_ name: String, from revision: Int) -> String {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        return parts.map { $0 == "\(revision)" ? "\(revision + 1)" : String($0) }.joined(separator: "-")
    }

    /// The images that a hook names though it runs others: those that loopd could not put into it; none where it could.
    static func unreached(in hook: JSON, _ images: ManifestImages) -> Set<String> {
        // A name that nobody builds is helm's to complain about.
        guard let replaced = try? images.replaced(in: hook) else { return [] }
        let isSame = references(in: hook) == references(in: replaced.value) && replaced.named.isEmpty
        return isSame ? replaced.missing : replaced.used.union(replaced.missing)
    }

    private static func references(in object: JSON) -> [String] {
        let spec = PodSpecPlace.spec(in: object) ?? .null
        return PodSpecPlace.lists.flatMap { spec[$0]?.array ?? [] }.compactMap { $0["image"]?.string }
    }
}

extension JSON {
    /// The same value with every text in it changed.
    fileprivate func mappingTexts(_ change: (String) -> String) -> JSON {
        if let text = string { return .string(change(text)) }
        if let elements = array { return .array(elements.map { $0.mappingTexts(change) }) }
        guard var members = object else { return self }
        for (key, member) in members { members[key] = member.mappingTexts(change) }
        return .object(members)
    }
}
