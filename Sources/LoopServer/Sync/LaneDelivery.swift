internal import Glibc
internal import Reactor
internal import Watcher
internal import Wire

/// Bringing changes into one container: everything is staged, then lands as one batch, then the rules' steps run.
extension ServiceLane {
    /// What of a piece of work a destination gets.
    struct Batch {
        /// Removals that must come first, because something else takes the place.
        var clearing: [FileOperation] = []
        var folders: [FileOperation] = []
        var contents: [FileOperation] = []
        var removals: [FileOperation] = []

        var operations: [FileOperation] { folders + contents + removals }
    }

    private struct Sent {
        let place: Place
        let item: SourceIndex.Item
        let stage: UInt32
        let outcome: Result<ReadContent, any Error>
    }

    /// Applies a piece of work.
    ///
    /// With it, and if nothing had to be passed over, the container knows of every deletion up to `serial`. When it
    /// throws, the way is lost, and the next connection compares everything.
    func apply(
        _ work: Replica.Work, to replica: Replica, _ access: any ContainerAccess, serial: UInt64?
    ) async throws {
        do {
            try await deliver(work, to: replica, access)
            guard let serial, replica.owed.isEmpty, replica.blocked.isEmpty else { return }
            replica.toldSerial = serial
            journal.tell(replica.instance.id, serial)
        } catch {
            for ticket in work.tickets { ticket.drop(replica.instance.id) }
            reportLanded(work.tickets)
            throw error
        }
    }

    private func deliver(_ work: Replica.Work, to replica: Replica, _ access: any ContainerAccess) async throws {
        var work = work
        replica.lacksRoom = false
        if !replica.blocked.isEmpty { try await unblock(&work, replica, access) }
        if !plan.closures.isEmpty {
            withhold(from: &work, replica, access)
            try await dropPresent(from: &work, replica, access)
        }
        let needs = work.needs.filter { !replica.blocked.contains($0.key.destination) }
        var receipt = Ticket.Receipt(staged: 0, acknowledged: 0)
        var batches: [Int: Batch] = [:]
        var changedAgain: [RelativePath] = []
        for (place, need) in needs where !isContent(place, need) {
            if let early = replica.early.removeValue(forKey: place) { abandon(early, place, replica) }
            add(place, need, replaced: work.replaced, to: &batches[place.destination, default: Batch()])
        }
        for sent in try await stage(needs.filter { isContent($0.key, $0.value) }, replica, access) {
            switch sent.outcome {
            case .success(let content):
                index.learn(content, of: sent.place, as: sent.item.entry)
                replica.refused.remove(sent.place)
                if sent.item.isOutput, replica.landed[sent.place] == Landed(content.digest, sent.item.entry),
                    !work.retried.contains(sent.place)
                {
                    // A build that made the same bytes again: there is nothing to take up.
                    access.abandon(destination: sent.place.destination, stage: sent.stage)
                    continue
                }
                guard try await isFit(sent.item, sent.place, sent.stage, replica, access) else {
                    access.abandon(destination: sent.place.destination, stage: sent.stage)
                    continue
                }
                if case .file(let size) = sent.item.entry.kind { receipt.bytes += size }
                receipt.bytesSent += Int64(clamping: content.bytesSent)
                batches[sent.place.destination, default: Batch()].contents.append(
                    .place(
                        stage: sent.stage, path: sent.place.path.bytes, mode: sent.item.entry.mode,
                        modified: sent.item.entry.modified))
                if work.replaced.contains(sent.place) {
                    batches[sent.place.destination]?.clearing.append(
                        .remove(path: sent.place.path.bytes, recursive: false))
                }
            case .failure(LinkError.refused(let failure)):
                if failure.code == ENOENT, replica.lost.insert(sent.place).inserted {
                    throw replaced(sent.place.destination)
                }
                skip(sent.place, failure.code, failure.text, replica, isRetried: work.retried.contains(sent.place))
            case .failure(is SourceChanged) where sent.item.store != nil: lose(sent.place, replica)
            case .failure(is SourceChanged) where sent.item.isOutput:
                // Something builds it again just now: what comes of that is sent when it is ready.
                owe(
                    sent.place, "\(sent.item.local)", because: ServiceLane.changedMeanwhile, replica,
                    isRetried: work.retried.contains(sent.place))
            case .failure(is SourceChanged): changedAgain.append(sent.item.local)
            case .failure(let error as SystemError):
                owe(
                    sent.place, "\(sent.item.local)", because: "\(error)", replica,
                    isRetried: work.retried.contains(sent.place))
            case .failure(let error): throw error
            }
        }
        receipt.staged = monotonicNow()
        var succeeded: Set<Place> = []
        let rules = Set(needs.keys.compactMap { index.items[$0]?.rule }).union(work.tickets.flatMap(\.rules))
            .subtracting(replica.refused.compactMap { index.items[$0]?.rule })
        // Before the commit: when the way is lost, nobody knows whether it was made.
        replica.doubtfulSteps = dueSteps(of: rules, for: work, replica)
        noteOwed(replica)
        let profiles = takeProfiles(from: &batches)
        for (destination, batch) in batches {
            try await commit(batch, destination, replica, access, work.retried, &receipt, &succeeded)
        }
        for (destination, batch) in seals(of: needs, profiles, replica) {
            try await commit(batch, destination, replica, access, work.retried, &receipt, &succeeded)
        }
        let changedRules = Set(succeeded.compactMap { index.items[$0]?.rule ?? plan.rule(of: $0) })
        replica.owe(replica.doubtfulSteps.filter { changedRules.contains($0.key) })
        replica.doubtfulSteps = [:]
        noteOwed(replica)
        receipt.acknowledged = monotonicNow()
        for place in succeeded { replica.landed[place] = index.items[place].flatMap { $0.isOutput ? Landed($0) : nil } }
        journal.wrote(succeeded.filter { index.items[$0].map { $0.store == nil } ?? false })
        for ticket in work.tickets { ticket.land(in: replica.instance, receipt) }
        reportLanded(work.tickets)
        lookAgain(changedAgain, in: replica, since: work.tickets.map(\.firstEvent).min())
        startSteps(replica, access)
        retryLater(replica)
    }

    /// Tries destinations again that could not be written, as far as the work concerns them.
    private func unblock(
        _ work: inout Replica.Work, _ replica: Replica, _ access: any ContainerAccess
    ) async throws {
        for number in Set(work.needs.keys.map(\.destination)).intersection(replica.blocked) {
            let destination = plan.destinations[number]
            guard try await open(destination, number, replica, access) else { continue }
            replica.blocked.remove(number)
            let diff = try await difference(destination, number, replica, access)
            work.merge(diff.work(in: number))
        }
    }

    private func isContent(_ place: Place, _ need: Need) -> Bool {
        guard need == .everything, let item = index.items[place], case .file = item.entry.kind else { return false }
        return true
    }

    /// Adds what needs no content.
    private func add(_ place: Place, _ need: Need, replaced: Set<Place>, to batch: inout Batch) {
        let path = place.path.bytes
        guard let entry = index.items[place]?.entry else {
            let isInTheWay = replaced.contains { $0.destination == place.destination && place.path.isInside($0.path) }
            let removal = FileOperation.remove(path: path, recursive: false)
            if isInTheWay { batch.clearing.append(removal) } else { batch.removals.append(removal) }
            return
        }
        if replaced.contains(place) { batch.clearing.append(.remove(path: path, recursive: false)) }
        switch entry.kind {
        case .folder:
            // Nix's folders get their modes when they are complete: until then somebody has to write into them.
            let mode = isInStore(place) ? entry.mode | 0o700 : entry.mode
            batch.folders.append(.makeFolder(path: path, mode: mode))
            // A folder that is there keeps its mode when it is made again.
            if need == .metadata {
                batch.contents.append(.touch(path: path, mode: entry.mode, modified: entry.modified))
            }
        case .link(let target): batch.contents.append(.link(path: path, target: target))
        case .file: batch.contents.append(.touch(path: path, mode: entry.mode, modified: entry.modified))
        }
    }

    /// Stages contents, many at once; what was sent early is only waited for.
    private func stage(
        _ needs: [Place: Need], _ replica: Replica, _ access: any ContainerAccess
    ) async throws -> [Sent] {
        guard !needs.isEmpty else { return [] }
        var waiting: [@Sendable () async -> Sent] = []
        for place in needs.keys {
            guard let item = index.items[place] else { continue }
            let tree = item.store ?? tree
            if let early = replica.early.removeValue(forKey: place) {
                if early.entry.hasContent(of: item.entry) {
                    let (stage, content) = (early.stage, early.content)
                    waiting.append {
                        let outcome = await content.result
                        if case .success(let sent) = outcome, !sent.isCertain, !ServiceLane.isStill(sent, item, tree) {
                            access.abandon(destination: place.destination, stage: stage)
                            return Sent(place: place, item: item, stage: stage, outcome: .failure(SourceChanged()))
                        }
                        return Sent(place: place, item: item, stage: stage, outcome: outcome)
                    }
                    continue
                }
                early.content.cancel()
                access.abandon(destination: place.destination, stage: early.stage)
            }
            let stage = replica.nextStage()
            let progress = progress(of: item.local, item.entry)
            waiting.append {
                do {
                    let content = try await ServiceLane.send(
                        item.local, item.entry, from: tree, to: place, stage: stage, access, progress: progress)
                    return Sent(place: place, item: item, stage: stage, outcome: .success(content))
                } catch {
                    return Sent(place: place, item: item, stage: stage, outcome: .failure(error))
                }
            }
        }
        let transfers = transfers
        return await withTaskGroup(of: Sent.self) { group in
            var sent: [Sent] = []
            var next = waiting.makeIterator()
            for _ in 0..<transfers { if let first = next.next() { group.addTask { await first() } } }
            while let done = await group.next() {
                sent.append(done)
                if let another = next.next() { group.addTask { await another() } }
            }
            return sent
        }
    }

    /// Whether a file still has the bytes that were sent early: a second write within one tick leaves its times as they
    /// were.
    ///
    /// Only small files are ever read so soon after their last write.
    private static func isStill(_ sent: ReadContent, _ item: SourceIndex.Item, _ tree: LocalTree) -> Bool {
        let now = try? LocalFile.content(of: item.local, in: tree, expected: item.entry)
        return now?.digest == sent.digest
    }

    /// Tells of a transfer that takes long enough to be watched, a few times a second.
    func progress(of path: RelativePath, _ entry: LocalEntry) -> @Sendable (Int64) -> Void {
        guard case .file(let size) = entry.kind, size >= 8 << 20 else { return { _ in } }
        let emit = emit
        let service = plan.service.name
        let pace = ProgressPace()
        return { done in
            guard pace.isDue else { return }
            emit(LoopEvent(.progress(done: done, total: size, path: "\(path)"), service: service))
        }
    }

    func commit(
        _ batch: Batch, _ destination: Int, _ replica: Replica, _ access: any ContainerAccess, _ retried: Set<Place>,
        _ receipt: inout Ticket.Receipt, _ succeeded: inout Set<Place>
    ) async throws {
        if !batch.clearing.isEmpty {
            let operations = batch.clearing.sorted { $1.path.lexicographicallyPrecedes($0.path) }
            let results = try await access.commit(destination: destination, operations)
            for (operation, result) in zip(operations, results) where result.code == 0 {
                let place = Place(destination: destination, path: RelativePath(bytes: operation.path))
                guard index.items[place] == nil else { continue }
                succeeded.insert(place)
                receipt.deleted += 1
            }
        }
        // A folder before what is in it; of removals, what is in a folder before the folder.
        var ordered = batch
        ordered.folders.sort { $0.path.lexicographicallyPrecedes($1.path) }
        ordered.removals.sort { $1.path.lexicographicallyPrecedes($0.path) }
        let operations = ordered.operations
        guard !operations.isEmpty else { return }
        let results = try await access.commit(destination: destination, operations)
        for (operation, result) in zip(operations, results) {
            try note(operation, result, destination, replica, retried, &receipt, &succeeded)
        }
        // What landed is there, and nothing else.
        if results.contains(where: { $0.flags.contains(.destinationReplaced) }) { throw replaced(destination) }
    }

    /// Somebody put another folder in a destination's place, so that everything has to be compared again.
    private func replaced(_ destination: Int) -> LinkError {
        .disconnected("\(plan.destinations[destination].path) was replaced in the container")
    }

    private func note(
        _ operation: FileOperation, _ result: OperationResult, _ destination: Int, _ replica: Replica,
        _ retried: Set<Place>, _ receipt: inout Ticket.Receipt, _ succeeded: inout Set<Place>
    ) throws {
        let place = Place(destination: destination, path: RelativePath(bytes: operation.path))
        guard result.code == 0 else {
            // A folder in which the pod keeps files of its own stays with them.
            if case .remove = operation, result.code == ENOTEMPTY { return }
            if result.code == ENOENT {
                switch operation {
                case .place where replica.lost.insert(place).inserted:
                    // Parents are made: it is the staged content that is gone, with the folder that somebody replaced.
                    throw replaced(destination)
                case .touch:
                    // The pod has removed the file.
                    replica.work.merge([place: .everything], [])
                    return
                default: break
                }
            }
            return skip(place, result.code, result.text, replica, isRetried: retried.contains(place))
        }
        if result.flags.contains(.writtenInPlace), replica.warned.insert(place).inserted {
            report(
                .notice("\(replica.instance.pod): \(name(place)) is a mount of its own: written in place, not swapped"))
        }
        replica.reasons[place] = nil
        replica.lost.remove(place)
        // A build that makes a folder's or a link's like again: there is nothing to take up.
        guard !result.flags.contains(.unchanged), succeeded.insert(place).inserted else { return }
        let shown = shownName(place)
        if receipt.paths.count < 20, receipt.paths.last != shown, !receipt.paths.contains(shown) {
            receipt.paths.append(shown)
        }
        if case .remove = operation { receipt.deleted += 1 } else { receipt.files += 1 }
    }

    /// A place as the container knows it.
    func name(_ place: Place) -> String {
        let destination = plan.destinations[place.destination].path
        return destination == "/" ? "/\(place.path)" : "\(destination)/\(place.path)"
    }

    private func skip(_ place: Place, _ code: Int32, _ text: [UInt8], _ replica: Replica, isRetried: Bool) {
        if ServiceLane.meansNoRoom(code) { replica.lacksRoom = true }
        let reason = Obstacle.reason(
            code, text, in: plan.destinations[place.destination].path, replica.opened[place.destination])
        owe(place, name(place), because: "\(replica.instance.pod): \(reason)", replica, isRetried: isRetried)
    }

    /// Why a build's file was not sent.
    static let changedMeanwhile = "it changed while it was sent; the next build brings it"

    /// Keeps a place for the next batch, and says why it was passed over; not again when only the same was tried again.
    func owe(_ place: Place, _ path: String, because reason: String, _ replica: Replica, isRetried: Bool) {
        replica.owed[place] = .everything
        if replica.reasons.updateValue(reason, forKey: place) == reason, isRetried { return }
        report(.skipped(path: path, reason: reason))
    }

    /// Reports what has landed everywhere; saves that came together are one batch, as old as the first of them.
    func reportLanded(_ tickets: [Ticket]) {
        let landed = tickets.filter { $0.landed != nil }
        guard var first = landed.min(by: { $0.firstEvent < $1.firstEvent })?.landed else { return }
        first.isOnNodes = plan.part == .nodes
        report(.landed(first))
    }

    /// Files that changed while they were read: looked at again at once a few times, then at their next event.
    ///
    /// `since` is when the change began that has not landed with its batch, and is to be told when it does.
    private func lookAgain(_ paths: [RelativePath], in reader: Replica, since firstEvent: UInt64?) {
        guard !paths.isEmpty else { return }
        let now = monotonicNow()
        var findings = Findings()
        for path in paths {
            restless[path, default: 0] += 1
            if restless[path, default: 0] > 3 {
                if let place = plan.placement(of: path)?.place { reader.owed[place] = .everything }
                if restless[path] == 4 {
                    report(
                        .skipped(
                            path: "\(path)", reason: "changes while it is read; it is sent when its writer is done"))
                }
                continue
            }
            index.look(at: path, rules: ignore, &findings)
            // The same as before as far as the index knows, and still not delivered.
            if let placement = plan.placement(of: path), index.items[placement.place] != nil {
                findings.changed[placement.place] = .everything
            }
        }
        guard !findings.changed.isEmpty else { return }
        journal.note(findings.changed.keys, in: index)
        tell(findings, firstEvent: firstEvent ?? now, settled: now)
    }
}
