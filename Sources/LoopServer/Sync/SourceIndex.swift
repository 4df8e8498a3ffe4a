internal import Watcher

/// What a change asks of every container that holds an earlier state.
enum Need: Sendable, Equatable {
    /// Mode or modification time only: the content is the same.
    case metadata
    /// Whatever the index says: content, a folder, a link, or nothing.
    case everything

    /// The stronger one of two.
    func joined(_ other: Need?) -> Need { other == .everything ? .everything : self }
}

/// What one look at the disk found.
struct Findings: Sendable {
    /// Places that changed, and what that asks for.
    var changed: [Place: Need] = [:]
    /// Places where a file took a folder's place or the reverse.
    var replaced: Set<Place> = []
    /// The rules whose files changed.
    var rules: Set<Int> = []
    /// Local paths near the service that no rule takes.
    var unmatched: [RelativePath] = []
}

/// What the containers of one service should hold: the local tree as of the last look at it, seen through the rules.
///
/// It is the only place that decides what changed: a watcher's event just names where to look.
struct SourceIndex: Sendable {
    /// Something local that has a place in the containers.
    struct Item: Sendable {
        let local: RelativePath
        let rule: Int
        var entry: LocalEntry
        /// The hash of the content that `entry` stands for, once it was read.
        var digest: SHA256Digest?
        /// Whether every later write changes `entry`; until then only the bytes tell.
        var isCertain: Bool
        /// Whether a build made it: only the end of a build says what it is.
        var isOutput = false
        /// Nix's store, where it lies in that and not in the project's folder.
        var store: LocalTree?

        init(local: RelativePath, rule: Int, entry: LocalEntry, digest: SHA256Digest? = nil) {
            self.local = local
            self.rule = rule
            self.entry = entry
            self.digest = digest
            isCertain = entry.isSettled(at: wallClockNow())
        }
    }

    let plan: ServicePlan
    let tree: LocalTree
    private(set) var items: [Place: Item] = [:]
    /// Places that were once here and are gone, with the serial number of their going: what a container that has not heard
    /// of it yet must delete.
    private(set) var gone: [Place: UInt64] = [:]
    /// The serial number of the latest entry of `gone`.
    private(set) var serial: UInt64 = 0

    init(plan: ServicePlan, tree: LocalTree, gone: [Place: UInt64] = [:], serial: UInt64 = 0) {
        self.plan = plan
        self.tree = tree
        self.gone = gone
        self.serial = serial
    }

    /// Looks at the places that a change set names.
    mutating func look(at changes: ChangeSet, rules: IgnoreRules) -> Findings {
        var findings = Findings()
        for path in changes.paths { look(at: path, rules: rules, &findings) }
        // An ignore file that says the same as before may have said something else when its folder was last looked at.
        let edited = Set(changes.paths.filter(IgnoreRules.isIgnoreFile).compactMap(\.parent))
        let wide = edited.isEmpty ? changes : ChangeSet(paths: changes.paths, rescan: changes.rescan.union(edited))
        if !wide.rescan.isEmpty { compare(wide, rules: rules, &findings) }
        lookAtOtherNames(rules, &findings)
        return findings
    }

    /// Looks at everything in the subtrees that a change set names.
    private mutating func compare(_ changes: ChangeSet, rules: IgnoreRules, _ findings: inout Findings) {
        var seen: Set<RelativePath> = []
        for subtree in changes.rescan { walk(subtree, rules: rules, &seen, &findings) }
        let unseen = items.filter {
            !$0.value.isOutput && !seen.contains($0.value.local) && changes.isRescanned($0.value.local)
        }
        for (place, item) in unseen {
            if tree.isGone(item.local) || isHidden(item.local, tree.entry(item.local), item, rules) {
                drop(place, rules, &findings)
            } else if rules.isIgnored(item.local, isDirectory: item.entry.isFolder) {
                // Ignored from now on: what the containers have of it is left alone.
                items[place] = nil
            }
            // Else it is there and cannot be seen: a folder that cannot be read just now.
        }
    }

    /// Looks at one path again.
    mutating func look(at path: RelativePath, rules: IgnoreRules, _ findings: inout Findings) {
        guard let placement = plan.placement(of: path) else {
            if plan.isOverlooked(path), tree.entry(path)?.isFolder == false { findings.unmatched.append(path) }
            return
        }
        let known = items[placement.place]
        let entry = tree.entry(path)
        let isHidden = isHidden(path, entry, known, rules)
        if let entry, !isHidden {
            take(path, placement, entry, &findings)
        } else if known?.local == path, isHidden || tree.isGone(path) {
            drop(placement.place, rules, &findings)
        } else {
            return
        }
        // A folder that went away took with it what was below, whether or not each has an event of its own.
        guard known?.local == path, known?.entry.isFolder == true, entry?.isFolder != true else { return }
        let below = items.filter { $0.value.local != path && $0.value.local.isInside(path) }
        for place in below.keys { drop(place, rules, &findings) }
    }

    /// Whether something of another kind than before is there now that is ignored as what it is: a folder in a file's place
    /// where `build/` is left out.
    private func isHidden(_ path: RelativePath, _ entry: LocalEntry?, _ known: Item?, _ rules: IgnoreRules) -> Bool {
        guard let entry, known.map({ $0.entry.isFolder != entry.isFolder }) ?? entry.isFolder else { return false }
        return rules.isIgnored(path, isDirectory: entry.isFolder)
    }

    /// Looks at the other names of changed files: the kernel tells of a write by the name that it was made through only.
    private mutating func lookAtOtherNames(_ rules: IgnoreRules, _ findings: inout Findings) {
        let shared = Set(findings.changed.keys.compactMap { items[$0]?.entry.identity }.filter(\.isShared).map(\.inode))
        guard !shared.isEmpty else { return }
        let others = items.filter {
            shared.contains($0.value.entry.identity.inode) && findings.changed[$0.key] == nil && $0.value.store == nil
        }
        for item in others.values { look(at: item.local, rules: rules, &findings) }
    }

    /// Looks at what builds have made for some rules.
    ///
    /// Everything that is there counts as changed, because only its bytes tell: they are read on their way. What a folder
    /// had before and has no more is gone. Returns the outputs that are missing altogether.
    mutating func look(atOutputsOf rules: Set<Int>, _ findings: inout Findings) -> [BuildOutput] {
        var missing: [BuildOutput] = []
        for output in plan.outputs where rules.contains(output.rule) {
            guard tree.entry(output.local) != nil else {
                missing.append(output)
                continue
            }
            var seen: Set<Place> = []
            tree.walk(output.local) { local, entry in
                let below = local.relative(to: output.local) ?? .root
                let place = Place(
                    destination: output.place.destination, path: output.place.path.appending(below.bytes))
                seen.insert(place)
                var item = Item(local: local, rule: output.rule, entry: entry)
                item.isOutput = true
                if let old = items[place], old.entry.isFolder != entry.isFolder { findings.replaced.insert(place) }
                gone[place] = nil
                items[place] = item
                findings.changed[place] = .everything
            }
            for (place, item) in items
            where item.isOutput && item.local.isInside(output.local) && place.destination == output.place.destination
                && !seen.contains(place)
            {
                items[place] = nil
                noteGone(place)
                findings.changed[place] = .everything
            }
            findings.rules.insert(output.rule)
        }
        return missing
    }

    /// Notes what belongs in a place by another authority than the disk's; `nil` leaves what is there alone.
    mutating func put(_ item: Item?, at place: Place) {
        items[place] = item
        gone[place] = nil
    }

    /// Whether everything local that had this place is gone; false when no rule leads there any more.
    func isGone(_ place: Place) -> Bool {
        let sources = plan.sources(of: place)
        return !sources.isEmpty && sources.allSatisfy { tree.isGone($0) }
    }

    /// Notes that something an earlier run saw is not here any more.
    mutating func forget(_ place: Place) {
        guard items[place] == nil, gone[place] == nil else { return }
        noteGone(place)
    }

    private mutating func noteGone(_ place: Place) {
        serial += 1
        gone[place] = serial
        gone.forgetOldest(past: SourceIndex.goneLimit)
    }

    /// How many deletions are remembered; of a program that makes new names at every build there is no end otherwise.
    static let goneLimit = 100_000

    /// Notes the hash of content that was read, unless the item has changed since.
    mutating func learn(_ content: ReadContent, of place: Place, as entry: LocalEntry) {
        guard items[place]?.entry.hasContent(of: entry) == true else { return }
        items[place]?.digest = content.digest
        items[place]?.isCertain = content.isCertain
    }

    /// Looks at everything in a subtree that a rule could take.
    private mutating func walk(
        _ subtree: RelativePath, rules: IgnoreRules, _ seen: inout Set<RelativePath>, _ findings: inout Findings
    ) {
        for base in plan.bases {
            guard let start = SourceIndex.overlap(subtree, base) else { continue }
            TreeScan.walk(at: start, rules: rules) { found in
                if let placement = plan.placement(of: found.path), let entry = LocalEntry(found) {
                    seen.insert(found.path)
                    take(found.path, placement, entry, &findings)
                }
                return plan.canMatch(inside: found.path)
            }
        }
    }

    private mutating func take(
        _ local: RelativePath, _ placement: Placement, _ entry: LocalEntry, _ findings: inout Findings
    ) {
        let place = placement.place
        let old = items[place]
        if let old, old.local != local, isBefore(old.local, local, place), !tree.isGone(old.local) { return }
        if let old, old.local == local, old.entry == entry, isSame(old, place) { return }
        gone[place] = nil
        var item = Item(local: local, rule: placement.rule, entry: entry)
        var need = Need.everything
        if let old {
            if old.entry.isFolder != entry.isFolder { findings.replaced.insert(place) }
            if old.entry.isFolder, entry.isFolder { need = .metadata }
            if let digest = sameContent(old, item) {
                item.digest = digest
                need = .metadata
                // Another name for the file, or its place on the disk: nothing that shows in a container.
                if old.entry.mode == entry.mode, old.entry.modified == entry.modified, old.local == local {
                    items[place] = item
                    return
                }
            }
        }
        items[place] = item
        // A folder's own time changes with every file in it: nothing to tell a container.
        if let old, entry.isFolder, old.entry.isFolder, old.entry.mode == entry.mode { return }
        findings.changed[place] = need.joined(findings.changed[place])
        findings.rules.insert(placement.rule)
    }

    /// The hash of both items' content where they are files with the same bytes.
    ///
    /// A file is read for that only when its hash is known and its size is the same: else it travels anyhow, and is
    /// read then.
    private func sameContent(_ old: Item, _ new: Item) -> SHA256Digest? {
        guard case .file = new.entry.kind, old.entry.kind == new.entry.kind, let digest = old.digest else { return nil }
        let now = try? LocalFile.content(of: new.local, in: tree, expected: new.entry)
        return now?.digest == digest ? digest : nil
    }

    /// Whether an item whose entry is the same has the same bytes as well.
    ///
    /// One that was read within a tick of its last write is read again: a later write in that tick left no trace.
    private mutating func isSame(_ item: Item, _ place: Place) -> Bool {
        guard case .file = item.entry.kind, !item.isCertain else { return true }
        guard let digest = item.digest,
            let now = try? LocalFile.content(of: item.local, in: tree, expected: item.entry)
        else { return false }
        items[place]?.isCertain = now.isCertain
        return now.digest == digest
    }

    /// Which of two local files with one place has it.
    private func isBefore(_ one: RelativePath, _ other: RelativePath, _ place: Place) -> Bool {
        let first = plan.sources(of: place).first { $0 == one || $0 == other }
        return first == one
    }

    private mutating func drop(_ place: Place, _ rules: IgnoreRules, _ findings: inout Findings) {
        guard let item = items.removeValue(forKey: place) else { return }
        noteGone(place)
        findings.changed[place] = .everything
        findings.rules.insert(item.rule)
        // Another file that has the same place comes to light.
        for local in plan.sources(of: place) where local != item.local {
            guard !tree.isGone(local), let entry = tree.entry(local), let placement = plan.placement(of: local),
                !rules.isIgnored(local, isDirectory: entry.isFolder)
            else { continue }
            return take(local, placement, entry, &findings)
        }
    }

    /// Where a walk for both a changed subtree and a rule's base has to start.
    private static func overlap(_ subtree: RelativePath, _ base: RelativePath) -> RelativePath? {
        if subtree.isInside(base) { return subtree }
        return base.isInside(subtree) ? base : nil
    }
}

extension [Place: UInt64] {
    /// Forgets the older half once there are more than `limit`.
    mutating func forgetOldest(past limit: Int) {
        guard count > limit else { return }
        let median = values.sorted()[count / 2]
        self = filter { $0.value >= median }
    }
}
