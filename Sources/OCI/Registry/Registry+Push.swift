internal import HTTP
internal import Reactor
internal import Synchronization

/// What a push has done.
public struct PushReport: Equatable, Sendable {
    /// Bytes of layers and configuration that travelled.
    public var bytesSent: Int64 = 0
    /// Blobs that travelled.
    public var blobsSent = 0
    /// Blobs that the registry took over from another of its repositories.
    public var blobsMounted = 0
    /// Whether everything, tags included, was there already.
    public var isUnchanged = false

    /// A push that did nothing yet.
    public init() {}
}

/// How far a push is.
public struct PushProgress: Equatable, Sendable {
    /// Bytes that are on their way or there.
    public var bytesSent: Int64
    /// Bytes that have to travel, as far as is known.
    public var bytesToSend: Int64
}

extension Registry {
    /// Pushes an image under one or several tags; without a tag, by its digest alone.
    ///
    /// Only what is not there travels, several layers at once; what another repository of this registry has is mounted.
    /// The tags are written when every blob is known to be there, so that none ever points to something incomplete. An
    /// interrupted upload goes on where the registry has it.
    ///
    /// - Parameter progress: is called from any task, often.
    public func push(
        _ image: ImageContent, to repository: String, tags: [String],
        progress: @escaping @Sendable (PushProgress) -> Void = { _ in }
    ) async throws -> PushReport {
        try check(repository, tags)
        let what = "push \(repository)"
        let references = tags.isEmpty ? ["\(image.digest)"] : tags
        let scopes = Registry.push(repository)
        let missing = try await atOnce(references) { reference in
            try await self.head(reference, in: repository, scopes: scopes)?.digest == image.digest ? nil : reference
        }.compactMap(\.self)
        let tracker = PushTracker(progress)
        do {
            // A manifest that names a blob which the registry lost meanwhile is refused: once more, then.
            for round in 1...3 {
                try await bring(image, to: repository, tracker)
                var isRefused = false
                for reference in missing where !isRefused {
                    isRefused = try await !put(image.manifest.stored, reference, repository, isLast: round == 3)
                }
                if !isRefused { break }
            }
        } catch let error as SystemError {
            throw RegistryFailure(
                .local, registry: host, repository: repository, "cannot \(what): \(error)",
                nextStep: "look at the disk of \(options.temporaryFolder)")
        } catch let error as HTTPError {
            throw failure(TransportFailure.unusable("\(error)"), what, repository)
        }
        var report = tracker.report
        report.isUnchanged = missing.isEmpty && report.blobsSent == 0 && report.blobsMounted == 0
        return report
    }

    /// Puts a manifest; `false` where the registry misses a blob of it.
    func put(
        _ manifest: StoredManifest, _ reference: String, _ repository: String, isLast: Bool
    ) async throws -> Bool {
        let what = "push \(repository)\(Digest(reference) == nil ? ":" : "@")\(reference)"
        var request = Request(
            "PUT", "\(repository)/manifests/\(reference)", what: what, repository: repository,
            scopes: Registry.push(repository))
        request.headers["Content-Type"] = manifest.mediaType
        request.body = .some(.bytes(manifest.bytes))
        let answer = try await perform(request)
        if !(200..<300).contains(answer.status) {
            let codes = Registry.errors(answer).map(\.code)
            let misses = codes.contains("MANIFEST_BLOB_UNKNOWN") || codes.contains("BLOB_UNKNOWN")
            if misses, !isLast { return false }
            if answer.status == 405 { throw readOnly(answer, what, repository) }
            throw failure(answer, what, repository)
        }
        if let digest = answer.headers["Docker-Content-Digest"].flatMap({ Digest($0) }), digest != manifest.digest {
            throw mismatch(manifest.digest, digest, what, repository)
        }
        return true
    }

    /// Sees to it that every blob is there.
    private func bring(_ image: ImageContent, to repository: String, _ tracker: PushTracker) async throws {
        var seen: Set<Digest> = []
        let blobs = ([image.configBlob] + image.layers.map(\.blob)).filter { blob in
            // What may not be distributed stays where its vendor has it.
            let stays = ["foreign", "nondistributable"].contains { blob.descriptor.mediaType.contains($0) }
            return !stays && seen.insert(blob.descriptor.digest).inserted
        }
        let scopes = Registry.push(repository)
        let moved = try await atOnce(blobs) { blob -> Descriptor? in
            let upload = BlobUpload(registry: self, repository: repository, blob: blob) { sent in
                tracker.note(blob.descriptor, sent)
            }
            let outcome = try await upload.run()
            tracker.end(blob.descriptor, outcome)
            if case .wasThere = outcome { return nil }
            return blob.descriptor
        }.compactMap(\.self)
        // What a registry has accepted it should have: the tag comes only after it says so again.
        _ = try await atOnce(moved) { descriptor in
            let size = try await self.size(of: descriptor.digest, in: repository, scopes: scopes)
            guard size == descriptor.size || size == -1 else {
                throw RegistryFailure(
                    .protocolError, registry: self.host, repository: repository,
                    "cannot push \(repository): \(self.host) took \(descriptor.digest.short) and does not have it",
                    details: size.map { ["it has \($0) of \(descriptor.size) bytes"] } ?? [],
                    nextStep: "look at the registry's log and its disk")
            }
        }
    }

    private func check(_ repository: String, _ tags: [String]) throws {
        let name = ImageName(registry: "", repository: repository)
        guard
            let problem = ImageName.problem(in: "\(name)")
                ?? tags.lazy.compactMap({ ImageName.problem(in: "x:\($0)") }).first
        else { return }
        throw RegistryFailure(
            .invalid, registry: host, repository: repository, problem.reason,
            nextStep: problem.suggestion.map { "call it \"\($0)\"" } ?? "correct the image's name")
    }

    /// Runs a function for every element, some of them at once; the first error ends the others.
    private func atOnce<Element: Sendable, Result: Sendable>(
        _ elements: [Element], _ body: @escaping @Sendable (Element) async throws -> Result
    ) async throws -> [Result] {
        try await withThrowingTaskGroup(of: (Int, Result).self) { group in
            var results: [Int: Result] = [:]
            var rest = elements.enumerated().makeIterator()
            func addNext() {
                guard let (index, element) = rest.next() else { return }
                group.addTask { (index, try await body(element)) }
            }
            for _ in 0..<max(1, options.concurrency) { addNext() }
            while let (index, result) = try await group.next() {
                results[index] = result
                addNext()
            }
            return elements.indices.compactMap { results[$0] }
        }
    }

    func readOnly(_ answer: Answer, _ what: String, _ repository: String) -> RegistryFailure {
        RegistryFailure(
            .readOnly, registry: host, repository: repository, "cannot \(what): \(host) takes no uploads",
            details: Registry.errors(answer).map(\.text),
            nextStep: "end its read-only mode, or name another registry")
    }
}

/// Adds up what several uploads do.
private final class PushTracker: Sendable {
    private struct State {
        var report = PushReport()
        var sent: [Digest: Int64] = [:]
        var total: Int64 = 0
    }
    private let state = Mutex(State())
    private let progress: @Sendable (PushProgress) -> Void

    init(_ progress: @escaping @Sendable (PushProgress) -> Void) {
        self.progress = progress
    }

    var report: PushReport { state.withLock(\.report) }

    func note(_ blob: Descriptor, _ sent: Int64) {
        let now = state.withLock { state in
            if state.sent[blob.digest] == nil { state.total += blob.size }
            // An upload that begins again does not go backwards for people.
            state.sent[blob.digest] = max(sent, state.sent[blob.digest] ?? 0)
            return PushProgress(bytesSent: state.sent.values.reduce(0, +), bytesToSend: state.total)
        }
        progress(now)
    }

    func end(_ blob: Descriptor, _ outcome: BlobUpload.Outcome) {
        state.withLock { state in
            switch outcome {
            case .wasThere: break
            case .mounted: state.report.blobsMounted += 1
            case .sent:
                state.report.blobsSent += 1
                state.report.bytesSent += blob.size
            }
        }
    }
}
