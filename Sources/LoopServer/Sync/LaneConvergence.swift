internal import Reactor
internal import Watcher
internal import Wire

/// The comparison of trees at the beginning of every connection.
extension ServiceLane {
    /// Compares a container with the index and makes it equal.
    func converge(_ replica: Replica, _ access: any ContainerAccess) async throws {
        let started = monotonicNow()
        // From here on changes are collected: what the comparison does not see yet comes as work after it.
        replica.isListening = true
        let serial = index.serial
        var work = Replica.Work()
        var leftAlone: [String] = []
        for (number, destination) in plan.destinations.enumerated() {
            guard try await open(destination, number, replica, access) else { continue }
            let diff = try await difference(destination, number, replica, access)
            work.merge(diff.work(in: number))
            leftAlone += diff.leftAlone.map { name(Place(destination: number, path: $0)) }
        }
        var large = takeLarge(from: &work, replica)
        work.tickets = [initialTicket(work, replica, started)]
        tellLeftAlone(leftAlone)
        try await apply(work, to: replica, access, serial: serial)
        replica.isConverged = true
        if !large.isEmpty {
            large.tickets = [initialTicket(large, replica, started)]
            hold(large, replica)
        }
        report(.connected(pods: [replica.instance.pod], container: replica.instance.container, way: access.description))
        replica.gate.signal()
    }

    private func initialTicket(_ work: Replica.Work, _ replica: Replica, _ started: UInt64) -> Ticket {
        Ticket(
            firstEvent: started, settled: started, rules: Set(work.needs.keys.compactMap { index.items[$0]?.rule }),
            waiting: [replica.instance.id], isInitial: true)
    }

    /// Prepares a destination; false when it cannot be written, which is reported.
    func open(
        _ destination: Destination, _ number: Int, _ replica: Replica, _ access: any ContainerAccess
    ) async throws -> Bool {
        do {
            let opened = try await access.open(replica.instance.placed(destination), number: number)
            replica.opened[number] = opened
            guard opened.obstacle != 0 || opened.kind == .file else { return true }
            report(.failed(Obstacle.destination(destination.path, opened, pod: replica.instance.pod)))
        } catch LinkError.refused(let failure) {
            report(.failed(Obstacle.refusal(failure, path: destination.path, pod: replica.instance.pod)))
        }
        replica.blocked.insert(number)
        return false
    }

    func difference(
        _ destination: Destination, _ number: Int, _ replica: Replica, _ access: any ContainerAccess
    ) async throws -> TreeDiff {
        let gone = Set(
            index.gone.lazy.filter { place, serial in
                place.destination == number && serial > replica.toldSerial && !self.isHeldByAnother(place)
            }.map(\.key.path))
        let asked: [RelativePath]? =
            destination.isListedWhole ? nil : Array(gone) + wanted(number).keys
        guard var present = try await access.list(destination: number, paths: asked) else {
            // This way cannot look: everything is sent, and what is gone is removed, there or not.
            var diff = TreeDiff(wanted: wanted(number), present: [:], gone: [], ours: { _ in true }, mirror: false)
            for path in gone where diff.needs[path] == nil { diff.needs[path] = .everything }
            return diff
        }
        // What lies in a destination inside this one is that one's to compare, and to delete.
        present = present.filter { path, _ in
            index.items[Place(destination: number, path: path)] != nil || gone.contains(path)
                || !plan.isNested(Place(destination: number, path: path))
        }
        // The index may have moved on while the container was listed: what is newer than the listing only makes more work.
        var diff = TreeDiff(
            wanted: wanted(number), present: present, gone: gone,
            ours: { journal.hasWritten(Place(destination: number, path: $0)) }, mirror: destination.mirror)
        // What has a name in Nix's store never changes, and each file lands as a whole: its size is proof enough.
        if isStore(number) { diff.doubtful = [] }
        let unequal = try await unequalContent(diff.doubtful, number, access)
        for path in unequal { diff.needs[path] = Need.everything }
        for path in diff.doubtful where diff.needs[path] != .everything {
            let place = Place(destination: number, path: path)
            if let item = index.items[place], item.isOutput { replica.landed[place] = Landed(item) }
        }
        return diff
    }

    /// Whether the same path is wanted under another destination's name.
    private func isHeldByAnother(_ place: Place) -> Bool {
        plan.aliases(of: place).contains { index.items[$0] != nil }
    }

    private func wanted(_ destination: Int) -> [RelativePath: LocalEntry] {
        var wanted: [RelativePath: LocalEntry] = [:]
        for (place, item) in index.items where place.destination == destination { wanted[place.path] = item.entry }
        return wanted
    }

    /// Those of the files whose content differs from the local one's.
    ///
    /// Local files are read here where their hash is not known yet, away from the cooperative pool, because they can be
    /// large.
    private func unequalContent(
        _ paths: [RelativePath], _ destination: Int, _ access: any ContainerAccess
    ) async throws -> [RelativePath] {
        guard !paths.isEmpty else { return [] }
        async let theirs = access.digests(destination: destination, of: paths)
        let unknown = paths.compactMap { path -> (Place, SourceIndex.Item)? in
            let place = Place(destination: destination, path: path)
            guard let item = index.items[place], item.digest == nil else { return nil }
            return (place, item)
        }
        let tree = tree
        let read = try await offPool {
            unknown.map { ($0.0, $0.1.entry, try? LocalFile.content(of: $0.1.local, in: tree, expected: $0.1.entry)) }
        }
        for case (let place, let entry, let content?) in read { index.learn(content, of: place, as: entry) }
        let remote = try await theirs
        return paths.filter { path in
            guard let ours = index.items[Place(destination: destination, path: path)]?.digest else { return true }
            return remote[path] != ours
        }
    }
}

extension TreeDiff {
    /// The same as work on a destination.
    func work(in destination: Int) -> Replica.Work {
        var work = Replica.Work()
        for (path, need) in needs { work.needs[Place(destination: destination, path: path)] = need }
        work.replaced = Set(replaced.map { Place(destination: destination, path: $0) })
        return work
    }
}
