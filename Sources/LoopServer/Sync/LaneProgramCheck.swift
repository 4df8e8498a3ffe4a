internal import Reactor
internal import Watcher
internal import Wire

/// The check of what builds made, between its staging and its commit: what would not run there does not land.
extension ServiceLane {
    /// What was last said of a program that did not land, so that it is said once for all containers.
    struct Refusal: Equatable {
        let digest: SHA256Digest?
        let line: String
    }

    /// Whether staged content may be committed; when it may not, says why.
    ///
    /// The file that is there stays, and the next build tries again.
    func isFit(
        _ item: SourceIndex.Item, _ place: Place, _ stage: UInt32, _ replica: Replica, _ access: any ContainerAccess
    ) async throws -> Bool {
        // What Nix built has its own loader and libraries in its closure, which may still be on their way.
        guard item.isOutput, item.store == nil else { return true }
        do {
            switch try await verdict(on: item, place, stage, replica, access) {
            case .fine(let detail):
                if let detail { report(.detail("\(replica.instance.pod): \(detail)")) }
                return true
            case .problem(let line, let fix):
                refuse(Refusal(digest: index.items[place]?.digest, line: line), fix, place, replica)
                return false
            }
        } catch is SourceChanged {
            // Something builds it again just now: what comes of that is sent when it is ready.
            owe(place, "\(item.local)", because: ServiceLane.changedMeanwhile, replica, isRetried: false)
            return false
        } catch is SystemError {
            // It was read as a whole when it was sent.
            return true
        } catch LinkError.refused(let failure) {
            // Staged content that cannot be found is the commit's to tell.
            let reason = String(decoding: failure.text, as: UTF8.self)
            report(.detail("\(replica.instance.pod): \(item.local) was not checked against the container: \(reason)"))
            return true
        }
    }

    private func verdict(
        on item: SourceIndex.Item, _ place: Place, _ stage: UInt32, _ replica: Replica, _ access: any ContainerAccess
    ) async throws -> ProgramVerdict {
        let known = replica.programs[place]
        let source = try LocalFile(item.local, in: tree, expected: item.entry)
        let bytes = FileBytes(size: UInt64(source.size)) { try source.peek(at: $0, limit: $1) }
        // A linker sets the exec bit last.
        let file = try ProgramFile(bytes, isExecutable: known != nil || item.entry.mode & 0o111 != 0)
        try source.check()
        let check = ElfCheck(
            path: "\(item.local)", isNamed: plan.outputs.contains { $0.local == item.local },
            node: replica.instance.node, architecture: access.architecture)
        let onHost = check.verdict(on: file, mode: item.entry.mode)
        guard onHost == .fine(), case .elf(let elf) = file, elf.isProgram else { return onHost }
        let needs = elf.needs
        // A build after a change to the code alone asks nothing of the container.
        guard needs != known else { return .fine() }
        guard needs.interpreter != nil else {
            replica.programs[place] = needs
            return .fine()
        }
        guard let staged = try await access.stagedPath(destination: place.destination, stage: stage) else {
            return .fine()
        }
        let path = name(place)
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        let loader = ContainerLoader(access.run)
        let answer = try await loader.answer(needs, staged: staged, folder: folder)
        if case .lacks = answer, try await loader.answer(needs, staged: path, folder: folder) == answer {
            // What runs there now lacks the same: whatever starts it brings that along.
            replica.programs[place] = needs
            return .fine(detail: "\(path) is started with libraries that the container's loader does not find")
        }
        let verdict = check.verdict(on: needs, answer) { name in
            index.items.keys.contains { $0.path.lastComponent.elementsEqual(name.utf8) }
        }
        if case .fine = verdict { replica.programs[place] = needs }
        return verdict
    }

    private func refuse(_ refusal: Refusal, _ fix: String, _ place: Place, _ replica: Replica) {
        replica.refused.insert(place)
        if refusals.updateValue(refusal, forKey: place) != refusal {
            report(.failed(LoopEvent.Failure(refusal.line, nextStep: fix)))
        }
        if replica.reasons.updateValue(refusal.line, forKey: place) != refusal.line {
            report(
                .skipped(
                    path: name(place), reason: "\(replica.instance.pod): it would not run there; what was there stays"))
        }
    }
}
