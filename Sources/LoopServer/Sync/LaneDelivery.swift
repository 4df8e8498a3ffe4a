internal import Glibc
internal import Reactor
internal import Synchronization
internal import Watcher
internal import Wire

/// Bringing changes into one container: everything is staged, then lands as one batch, then the rules' steps run.
extension ServiceLane {
    /// What of a piece of work a destination gets.
    private struct Batch {
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
        let outcome: Result<SHA256Digest, any Error>
    }

    /// Applies a piece of work.
    ///
    /// When it throws, the way is lost, and the next connection compares everything.
    func apply(_ work: Replica.Work, to replica: Replica, _ access: any ContainerAccess) async throws {
        let serial = index.serial
        do {
            try await deliver(work, to: replica, access)
            replica.toldSerial = serial
            journal.tell(replica.instance.id, serial)
        } catch {
            for ticket in work.tickets { ticket.drop(replica.instance.id) }
            reportLanded(work.tickets)
            throw error
        }
    }

    private func deliver(_ work: Replica.Work, to replica: Replica, _ access: any ContainerAccess) async throws {
        let needs = work.needs.filter { !replica.blocked.contains($0.key.destination) }
        var receipt = Ticket.Receipt(staged: 0, acknowledged: 0)
        var batches: [Int: Batch] = [:]
        var changedAgain: [RelativePath] = []
        for (place, need) in needs where !isContent(place, need) {
            add(place, need, replaced: work.replaced, to: &batches[place.destination, default: Batch()])
        }
        for sent in try await stage(needs.filter { isContent($0.key, $0.value) }, replica, access) {
            switch sent.outcome {
            case .success(let digest):
                index.learn(digest, of: sent.place, as: sent.item.entry)
                if case .file(let size) = sent.item.entry.kind { receipt.bytes += size }
                batches[sent.place.destination, default: Batch()].contents.append(
                    .place(
                        stage: sent.stage, path: sent.place.path.bytes, mode: sent.item.entry.mode,
                        modified: sent.item.entry.modified))
                if work.replaced.contains(sent.place) {
                    batches[sent.place.destination]?.clearing.append(
                        .remove(path: sent.place.path.bytes, recursive: false))
                }
            case .failure(LinkError.refused(let failure)):
                skip(sent.place, failure.code, failure.text, replica)
            case .failure(is SourceChanged): changedAgain.append(sent.item.local)
            case .failure(let error as SystemError): report(.skipped(path: "\(sent.item.local)", reason: "\(error)"))
            case .failure(let error): throw error
            }
        }
        receipt.staged = monotonicNow()
        var succeeded: Set<Place> = []
        for (destination, batch) in batches {
            try await commit(batch, destination, replica, access, &receipt, &succeeded)
        }
        receipt.acknowledged = monotonicNow()
        journal.wrote(succeeded.filter { index.items[$0] != nil })
        for ticket in work.tickets { ticket.land(in: replica.instance, receipt) }
        reportLanded(work.tickets)
        let rules = Set(succeeded.compactMap { index.items[$0]?.rule }).union(work.tickets.flatMap(\.rules))
        if !succeeded.isEmpty { try await runSteps(of: rules, replica, access) }
        lookAgain(changedAgain)
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
            batch.folders.append(.makeFolder(path: path, mode: entry.mode))
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
        let tree = tree
        var waiting: [@Sendable () async -> Sent] = []
        for place in needs.keys {
            guard let item = index.items[place] else { continue }
            if let early = replica.early.removeValue(forKey: place) {
                if early.entry.hasContent(of: item.entry) {
                    waiting.append {
                        Sent(place: place, item: item, stage: early.stage, outcome: await early.content.result)
                    }
                    continue
                }
                early.content.cancel()
                access.abandon(destination: place.destination, stage: early.stage)
            }
            let stage = replica.nextStage()
            let progress = progress(of: item)
            waiting.append {
                do {
                    let digest = try await ServiceLane.send(
                        item.local, item.entry, from: tree, to: place, stage: stage, access, progress: progress)
                    return Sent(place: place, item: item, stage: stage, outcome: .success(digest))
                } catch {
                    return Sent(place: place, item: item, stage: stage, outcome: .failure(error))
                }
            }
        }
        return await withTaskGroup(of: Sent.self) { group in
            var sent: [Sent] = []
            var next = waiting.makeIterator()
            // Enough at once to hide every round trip; each open file holds a descriptor and a chunk of memory.
            for _ in 0..<64 { if let first = next.next() { group.addTask { await first() } } }
            while let done = await group.next() {
                sent.append(done)
                if let another = next.next() { group.addTask { await another() } }
            }
            return sent
        }
    }

    /// Tells of a transfer that takes long enough to be watched, a few times a second.
    private func progress(of item: SourceIndex.Item) -> @Sendable (Int64) -> Void {
        guard case .file(let size) = item.entry.kind, size >= 8 << 20 else { return { _ in } }
        let emit = emit
        let service = plan.service.name
        let last = Mutex(ContinuousClock.now)
        return { done in
            let isDue = last.withLock { last in
                guard ContinuousClock.now - last > .milliseconds(200) else { return false }
                last = .now
                return true
            }
            guard isDue else { return }
            emit(LoopEvent(.progress(done: done, total: size, path: "\(item.local)"), service: service))
        }
    }

    private func commit(
        _ batch: Batch, _ destination: Int, _ replica: Replica, _ access: any ContainerAccess,
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
            note(operation, result, destination, replica, &receipt, &succeeded)
        }
    }

    private func note(
        _ operation: FileOperation, _ result: OperationResult, _ destination: Int, _ replica: Replica,
        _ receipt: inout Ticket.Receipt, _ succeeded: inout Set<Place>
    ) {
        let place = Place(destination: destination, path: RelativePath(bytes: operation.path))
        guard result.code == 0 else {
            // A folder in which the pod keeps files of its own stays with them.
            if case .remove = operation, result.code == ENOTEMPTY { return }
            return skip(place, result.code, result.text, replica)
        }
        if result.flags.contains(.writtenInPlace), replica.warned.insert(place).inserted {
            report(
                .notice("\(replica.instance.pod): \(name(place)) is a mount of its own: written in place, not swapped"))
        }
        guard succeeded.insert(place).inserted else { return }
        if receipt.paths.count < 20 { receipt.paths.append("\(place.path)") }
        if case .remove = operation { receipt.deleted += 1 } else { receipt.files += 1 }
    }

    /// A place as the container knows it.
    private func name(_ place: Place) -> String {
        let destination = plan.destinations[place.destination].path
        return destination == "/" ? "/\(place.path)" : "\(destination)/\(place.path)"
    }

    private func skip(_ place: Place, _ code: Int32, _ text: [UInt8], _ replica: Replica) {
        let reason = Obstacle.reason(
            code, text, in: plan.destinations[place.destination].path, replica.opened[place.destination])
        report(.skipped(path: name(place), reason: "\(replica.instance.pod): \(reason)"))
    }

    func reportLanded(_ tickets: [Ticket]) {
        for ticket in tickets {
            if let landed = ticket.landed { report(.landed(landed)) }
        }
    }

    /// Files that changed while they were read: looked at again at once a few times, then at their next event.
    private func lookAgain(_ paths: [RelativePath]) {
        guard !paths.isEmpty else { return }
        var findings = Findings()
        for path in paths {
            restless[path, default: 0] += 1
            if restless[path, default: 0] > 3 {
                if restless[path] == 4 {
                    report(
                        .skipped(
                            path: "\(path)", reason: "changes while it is read; it is sent when its writer is done"))
                }
                continue
            }
            index.look(at: path, &findings)
            // The same as before as far as the index knows, and still not delivered.
            if let placement = plan.placement(of: path), index.items[placement.place] != nil {
                findings.changed[placement.place] = .everything
            }
        }
        journal.note(findings.changed.keys, in: index)
        for replica in replicas.values where replica.isListening {
            replica.work.merge(findings.changed, findings.replaced)
            replica.gate.signal()
        }
    }

    /// Runs the `then` steps of rules, in the order of the file; a step that fails ends its rule's steps.
    private func runSteps(of rules: Set<Int>, _ replica: Replica, _ access: any ContainerAccess) async throws {
        for rule in rules.sorted() {
            for case .exec(let command) in plan.steps(of: rule) {
                guard try await run(command, replica, access) else { break }
            }
        }
    }

    private func run(_ command: [String], _ replica: Replica, _ access: any ContainerAccess) async throws -> Bool {
        let started = monotonicNow()
        let pod = replica.instance.pod
        var lines = LineSplitter()
        let exit: ProgramExit
        do {
            exit = try await access.run(command) { output in
                for line in lines.feed(output.bytes) { report(.output(pod: pod, line: line)) }
            }
        } catch LinkError.refused(let failure) {
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(pod): cannot run \(command.first ?? ""): \(String(decoding: failure.text, as: UTF8.self))",
                        nextStep: "check the `then` step's program and whether the image has it")))
            return false
        }
        if let rest = lines.finish() { report(.output(pod: pod, line: rest)) }
        let code: Int32 =
            switch exit {
            case .code(let code): code
            case .signal(let signal): 128 + signal
            }
        let milliseconds = Double(monotonicNow() - started) / 1e6
        report(.executed(pod: pod, command: command, exitCode: code, milliseconds: milliseconds))
        return code == 0
    }
}

/// Cuts a program's output into lines; one without an end is cut after 64 KiB.
struct LineSplitter {
    private var pending: [UInt8] = []

    mutating func feed(_ bytes: [UInt8]) -> [String] {
        pending += bytes
        var lines: [String] = []
        while let end = pending.firstIndex(of: 0x0A) {
            lines.append(String(decoding: pending[..<end], as: UTF8.self))
            pending.removeSubrange(...end)
        }
        if pending.count > 64 << 10 {
            lines.append(String(decoding: pending, as: UTF8.self))
            pending = []
        }
        return lines
    }

    mutating func finish() -> String? {
        defer { pending = [] }
        return pending.isEmpty ? nil : String(decoding: pending, as: UTF8.self)
    }
}
