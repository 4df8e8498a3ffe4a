internal import Watcher
internal import Wire

/// Large transfers: the batch that has one waits as a whole, and later batches pass it.
extension ServiceLane {
    /// From this size on a file's batch is held until its content is there.
    private static let largeSize: Int64 = 8 << 20

    /// Whether there is anything to do now.
    func hasWork(_ replica: Replica) -> Bool {
        if let held = replica.held, isReady(held, replica) { return true }
        return replica.hasWork
    }

    /// The next piece of work that can be applied without waiting for a large transfer; `nil` when it has to wait.
    func next(for replica: Replica) -> Replica.Work? {
        if let held = replica.held, isReady(held, replica) {
            replica.held = nil
            return held
        }
        guard replica.hasWork else { return nil }
        let work = replica.takeWork()
        if let held = replica.held, held.touches(work) || !isReady(work, replica) {
            replica.held?.merge(work)
        } else if isReady(work, replica) {
            return work
        } else {
            replica.held = work
        }
        sendLarge(replica)
        return nil
    }

    /// Takes what is large out of a comparison's work: neither the rest of it nor the next saves wait for that.
    func takeLarge(from work: inout Replica.Work, _ replica: Replica) -> Replica.Work {
        let found = large(work, replica)
        var large = Replica.Work()
        large.replaced = work.replaced
        let places = Set(found.map(\.0))
        // A rule's steps want all of its files.
        var rules = Set(found.map(\.1.rule).filter { !plan.steps(of: $0).isEmpty })
        // Nor is a profile pointed at a closure of which a part is to come.
        if places.contains(where: { isInStore($0) }) { rules.formUnion(plan.closures.map(\.rule)) }
        for place in work.needs.keys where places.contains(place) || rules.contains(index.items[place]?.rule ?? -1) {
            large.needs[place] = work.needs.removeValue(forKey: place)
        }
        return large
    }

    /// Sends what is large in a piece of work, and applies that when it is all there.
    func hold(_ work: Replica.Work, _ replica: Replica) {
        if replica.held == nil { replica.held = work } else { replica.held?.merge(work) }
        sendLarge(replica)
    }

    /// Sends what is large in the held batch, as much of it at once as may be.
    func sendLarge(_ replica: Replica) {
        guard let held = replica.held else { return }
        var room = transfers - replica.early.values.count { !$0.isDone }
        for (place, item) in large(held, replica) where !isCurrent(replica.early[place], item) {
            guard room > 0 else { return }
            room -= 1
            if let old = replica.early.removeValue(forKey: place) { abandon(old, place, replica) }
            sendEarly(item.local, item.entry, place, replica, from: item.store)
        }
    }

    /// Whether everything large in a piece of work has been sent, or has failed to be.
    func isReady(_ work: Replica.Work, _ replica: Replica) -> Bool {
        large(work, replica).allSatisfy { place, item in
            guard let early = replica.early[place], isCurrent(early, item) else { return false }
            return early.isDone
        }
    }

    private func isCurrent(_ early: Replica.Early?, _ item: SourceIndex.Item) -> Bool {
        early?.entry.hasContent(of: item.entry) == true
    }

    private func large(_ work: Replica.Work, _ replica: Replica) -> [(Place, SourceIndex.Item)] {
        work.needs.compactMap { place, need in
            guard need == .everything, !replica.blocked.contains(place.destination), let item = index.items[place],
                case .file(let size) = item.entry.kind, size >= ServiceLane.largeSize,
                !isInStore(place) || !isForeign(replica.access)
            else { return nil }
            return (place, item)
        }
    }
}
