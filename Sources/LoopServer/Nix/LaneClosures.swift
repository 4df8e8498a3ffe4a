internal import Reactor
internal import Watcher
internal import Wire

/// Everything that Nix has built for a rule, as it is in the store here.
struct ClosureContents: Sendable {
    let closure: StoreClosure
    /// The store.
    let tree: LocalTree
    /// What the lane does not know of yet: the store paths by their names, with all that is in them.
    let entries: [String: [(path: RelativePath, entry: LocalEntry)]]

    /// Walks the store paths that are not `known`, away from the cooperative pool: there may be many files.
    static func read(_ closure: StoreClosure, in store: NixStore, known: Set<String>) async throws -> ClosureContents {
        let tree = store.tree
        let missing = closure.names.subtracting(known)
        let entries = try await offPool {
            var entries: [String: [(path: RelativePath, entry: LocalEntry)]] = [:]
            for name in missing {
                var found: [(path: RelativePath, entry: LocalEntry)] = []
                tree.walk(RelativePath(name)) { found.append(($0, $1.inStore)) }
                guard !found.isEmpty else {
                    throw LoopFailure(
                        failure: LoopEvent.Failure(
                            "\(tree.root)/\(name) is not on this disk, although Nix has it in its store",
                            nextStep: "loopd reads the store's files: a store on another machine cannot be brought over"
                        ))
                }
                entries[name] = found
            }
            return entries
        }
        return ClosureContents(closure: closure, tree: tree, entries: entries)
    }
}

/// Closures on their way into the containers' stores.
///
/// A store path never changes, so that nothing in it is ever compared by content: it is looked at which of its files are
/// there. Every file lands whole; what a killed loopd has left out is found missing by the next one. The profile's link and
/// the rule's steps wait for the whole closure. What an earlier closure needed stays in the container, because a process may
/// still run from it, and goes with the pod.
extension ServiceLane {
    /// The names of the store paths that need no walk any more, whatever rule they belong to.
    var knownStorePaths: Set<String> { neededStorePaths.subtracting(incompleteStorePaths) }

    private var neededStorePaths: Set<String> { closures.values.reduce(into: []) { $0.formUnion($1) } }

    /// Takes what Nix has built for a rule, and brings every container what it lacks of it.
    ///
    /// False when it has to be read again: something that was known then is not any more, as another rule's build has
    /// ended meanwhile. Pods on nodes of another system than `system` do not get it; `nil` leaves out none.
    @discardableResult
    func takeClosure(
        _ contents: ClosureContents, of rule: Int, for system: String? = nil, firstEvent: UInt64, settled: UInt64
    ) -> Bool {
        guard let place = plan.closures.first(where: { $0.rule == rule }) else { return true }
        var findings = Findings()
        let (known, needed) = (knownStorePaths, neededStorePaths)
        guard contents.closure.names.isSubset(of: known.union(contents.entries.keys)) else { return false }
        closureSystem = system
        closures[rule] = contents.closure.names
        incompleteStorePaths.subtract(contents.entries.keys)
        for (name, entries) in contents.entries where !known.contains(name) {
            for (path, entry) in entries {
                var item = SourceIndex.Item(local: path, rule: rule, entry: entry)
                (item.isOutput, item.store) = (true, contents.tree)
                let place = Place(destination: place.store, path: path)
                index.put(item, at: place)
                findings.changed[place] = .everything
            }
        }
        let unneeded = needed.subtracting(neededStorePaths)
        incompleteStorePaths.subtract(unneeded)
        forget(unneeded, in: place.store)
        if let profile = place.profile {
            let link = LocalEntry(linkTo: "\(NixStore.folder)/\(contents.closure.output)")
            if index.items[profile]?.entry != link {
                var item = SourceIndex.Item(local: profile.path, rule: rule, entry: link)
                (item.isOutput, item.store) = (true, contents.tree)
                index.put(item, at: profile)
                findings.changed[profile] = .everything
            }
        }
        guard !findings.changed.isEmpty else { return true }
        findings.rules.insert(rule)
        tell(findings, firstEvent: firstEvent, settled: settled)
        return true
    }

    /// Leaves store paths alone that no rule needs any more: a new container does not get them.
    private func forget(_ names: Set<String>, in store: Int) {
        guard !names.isEmpty else { return }
        let places = index.items.keys.filter { $0.destination == store && names.contains(storeName($0)) }
        for place in places { index.put(nil, at: place) }
    }

    // MARK: Places

    /// Whether a destination is the containers' store.
    func isStore(_ destination: Int) -> Bool { plan.closures.contains { $0.store == destination } }

    /// Whether a place is in a store path that some closure has.
    func isInStore(_ place: Place) -> Bool { isStore(place.destination) && index.items[place]?.store != nil }

    private func storeName(_ place: Place) -> String {
        place.path.components.first.map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    /// A place as it is told of: of a store path only its name, of a profile where it is.
    func shownName(_ place: Place) -> String {
        if isInStore(place) { return storeName(place) }
        return plan.closures.contains { $0.profile == place } ? name(place) : "\(place.path)"
    }

    // MARK: Delivery

    /// Notes that a file has left the store since it was walked: the next build walks its store path again.
    func lose(_ place: Place, _ replica: Replica) {
        replica.owed[place] = .everything
        let name = storeName(place)
        guard incompleteStorePaths.insert(name).inserted else { return }
        report(
            .failed(
                LoopEvent.Failure(
                    "\(NixStore.folder)/\(name) is not in the store any more, or not as it was",
                    nextStep: "the next build brings it")))
    }

    /// Whether closures would not run where a way leads to.
    func isForeign(_ access: (any ContainerAccess)?) -> Bool {
        guard let closureSystem, let architecture = access?.architecture else { return false }
        return NixSystem.name(ofNode: architecture) != closureSystem
    }

    /// Takes closures out of a piece of work for a container that could not run them.
    func withhold(from work: inout Replica.Work, _ replica: Replica, _ access: any ContainerAccess) {
        guard let store = plan.closures.first?.store else { return }
        let mark = Place(destination: store, path: .root)
        guard isForeign(access) else {
            replica.refused.remove(mark)
            return
        }
        let profiles = Set(plan.closures.compactMap(\.profile))
        let withheld = work.needs.keys.filter { isInStore($0) || profiles.contains($0) }
        guard !withheld.isEmpty else { return }
        for place in withheld { work.needs[place] = nil }
        replica.refused.insert(mark)
        let line =
            "pod \(replica.instance.pod) is on an \(access.architecture ?? "unknown") node, the closure is for "
            + (closureSystem ?? NixSystem.native)
        guard replica.reasons.updateValue(line, forKey: mark) != line else { return }
        let nextStep = "add nodeSelector \"kubernetes.io/arch\" to its pod template"
        report(.failed(LoopEvent.Failure(line, nextStep: nextStep)))
    }

    /// Takes out of a piece of work what the container has already: its image, or an earlier loopd, may have brought it.
    func dropPresent(from work: inout Replica.Work, _ replica: Replica, _ access: any ContainerAccess) async throws {
        for destination in Set(plan.closures.map(\.store)) where !replica.blocked.contains(destination) {
            let places = work.needs.keys.filter { $0.destination == destination && isInStore($0) }
            let names = Set(places.map { RelativePath(storeName($0)) })
            guard !names.isEmpty, let there = try await access.list(destination: destination, paths: Array(names)),
                !there.isEmpty
            else { continue }
            // Mostly none of them is there; of one that is, each file is looked for.
            let doubtful = places.filter { there[RelativePath(storeName($0))] != nil }
            guard let present = try await access.list(destination: destination, paths: doubtful.map(\.path)) else {
                continue
            }
            let wanted = doubtful.compactMap { place in index.items[place].map { (place.path, $0.entry) } }
            let diff = TreeDiff(
                wanted: Dictionary(wanted) { first, _ in first }, present: present, gone: [], ours: { _ in false },
                mirror: false)
            for place in doubtful where diff.needs[place.path] == nil { work.needs[place] = nil }
        }
    }

    /// Takes the profiles' links out of what is committed first, by their rules.
    func takeProfiles(from batches: inout [Int: Batch]) -> [Int: FileOperation] {
        var links: [Int: FileOperation] = [:]
        for closure in plan.closures {
            guard let profile = closure.profile, var batch = batches[profile.destination],
                let place = batch.contents.firstIndex(where: { $0.path == profile.path.bytes })
            else { continue }
            links[closure.rule] = batch.contents.remove(at: place)
            batches[profile.destination] = batch
        }
        return links
    }

    /// What is committed once everything else of a batch has landed: the modes of Nix's folders, and the profiles' links.
    ///
    /// Of a closure that could not be brought over as a whole neither the link nor the steps are due yet.
    func seals(
        of needs: [Place: Need], _ profiles: [Int: FileOperation], _ replica: Replica
    ) -> [(destination: Int, batch: Batch)] {
        guard !plan.closures.isEmpty else { return [] }
        var modes: [Int: Batch] = [:]
        var links: [(destination: Int, batch: Batch)] = []
        let missing = Set(
            (Array(replica.owed.keys) + Array(replica.held?.needs.keys ?? [:].keys)).filter(isInStore).map(storeName))
        for closure in plan.closures {
            let isWhole =
                !replica.blocked.contains(closure.store) && missing.isDisjoint(with: closures[closure.rule] ?? [])
            if !isWhole { replica.doubtfulSteps[closure.rule] = nil }
            guard let profile = closure.profile, let link = profiles[closure.rule] else { continue }
            if isWhole {
                links.append((profile.destination, Batch(contents: [link])))
            } else {
                replica.owed[profile] = .everything
            }
        }
        for (place, need) in needs where need == .everything && isInStore(place) && !missing.contains(storeName(place))
        {
            guard let entry = index.items[place]?.entry, entry.isFolder else { continue }
            modes[place.destination, default: Batch()].contents.append(
                .touch(path: place.path.bytes, mode: entry.mode, modified: entry.modified))
        }
        return modes.map { ($0.key, $0.value) } + links
    }
}
