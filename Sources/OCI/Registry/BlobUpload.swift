internal import HTTP
internal import Synchronization

/// Brings one blob into a repository: by a mount, or by an upload that survives what happens to it.
struct BlobUpload: Sendable {
    /// How a blob came to be there.
    enum Outcome: Sendable {
        case wasThere
        case mounted
        case sent
    }

    /// An upload that a registry has begun, and how much of it it has.
    private struct Session {
        var place: RegistryURL
        var offset: Int64 = 0
        /// How much goes in one request; a blob that is no larger goes with the request that ends the upload.
        var piece: Int64
    }

    /// What an attempt ran into.
    private enum Obstacle: Error {
        /// The registry has lost the upload, or what it has of it is of no use.
        case lost
        /// Pieces, in all likelihood: one of the first was refused.
        case pieces
        case passing(Recovery.Trouble)
    }

    let registry: Registry
    let repository: String
    let blob: Blob
    /// Is told how much of the blob has travelled.
    let progress: @Sendable (Int64) -> Void
    /// How often an upload begins again from nothing.
    private static let restarts = 8
    private let movement = Movement()

    private var digest: Digest { blob.descriptor.digest }
    private var what: String { "push \(repository)" }
    private var scopes: [String] { Registry.push(repository) }

    /// Does all of it.
    func run() async throws -> Outcome {
        if try await isThere() { return .wasThere }
        var session: Session?
        if case .registry(let source, let from) = blob.source, source.host == registry.host, from != repository {
            guard let begun = try await mount(from: from) else { return .mounted }
            session = begun
        }
        try await send(try await blob.nearby(), session)
        return .sent
    }

    private func isThere() async throws -> Bool {
        let size = try await registry.size(of: digest, in: repository, scopes: scopes)
        // A registry that lost part of a blob gets it again.
        return size == blob.descriptor.size || size == -1
    }

    /// Asks for a blob of another repository; `nil` where it is here now, else the upload that was begun instead.
    private func mount(from: String) async throws -> Session? {
        var request = Registry.Request(
            "POST", "\(repository)/blobs/uploads/?mount=\(digest)&from=\(RegistryURL.encoded(from))", what: what,
            repository: repository, scopes: scopes + Registry.pull(from))
        request.headers["Content-Length"] = "0"
        let answer = try await registry.perform(request)
        if answer.status == 201 { return nil }
        return try await begun(answer, of: request)
    }

    private func begin() async throws -> Session {
        let request = Registry.Request(
            "POST", "\(repository)/blobs/uploads/", what: what, repository: repository, scopes: scopes)
        return try await begun(try await registry.perform(request), of: request)
    }

    private func begun(_ answer: Answer, of request: Registry.Request) async throws -> Session {
        guard answer.status == 202 else {
            if answer.status == 405 { throw registry.readOnly(answer, what, repository) }
            throw registry.failure(answer, what, repository)
        }
        let base = RegistryURL(try await registry.link.find().origin, "/v2/\(request.path)")
        guard let place = answer.headers["Location"].flatMap({ RegistryURL($0, relativeTo: base) }) else {
            throw registry.failure(
                TransportFailure.unusable("it does not say where an upload goes"), what, repository)
        }
        var piece = max(1, registry.options.pieceSize)
        if registry.takesPieces.withLock({ $0 == false }) { piece = .max }
        if let least = answer.headers["OCI-Chunk-Min-Length"].flatMap({ Int64($0) }) { piece = max(piece, least) }
        return Session(place: place, piece: piece)
    }

    private func send(_ blob: Blob, _ begun: Session?) async throws {
        var session = begun
        do {
            try await send(UploadReader(blob), &session)
        } catch {
            if let session, error is CancellationError || error is LayerProblem { abandon(session) }
            throw error
        }
    }

    /// Tells the registry, in the background, that nobody comes back for an upload: it would keep it for a week.
    private func abandon(_ session: Session) {
        let request = upload("DELETE", session.place)
        Task.detached { [registry] in _ = try? await registry.attempt(request) }
    }

    private func send(_ reader: UploadReader, _ session: inout Session?) async throws {
        var recovery = Recovery(registry.options.patience)
        var farthest: Int64 = 0
        var restarts = 0
        var isWhole = false
        while true {
            do {
                var current: Session
                if let session { current = session } else { current = try await begin() }
                if isWhole { current.piece = .max }
                session = current
                while true {
                    let isDone = try await advance(&current, reader)
                    session = current
                    if isDone {
                        if isWhole { registry.takesPieces.withLock { $0 = $0 ?? false } }
                        return
                    }
                    if current.offset > farthest { recovery.noteProgress() }
                    farthest = max(farthest, current.offset)
                }
            } catch Obstacle.pieces {
                // Many registries, Google's among them, take a blob only as a whole.
                isWhole = true
                if let refused = session { abandon(refused) }
                session = nil
            } catch Obstacle.lost {
                session = nil
                restarts += 1
                guard restarts <= BlobUpload.restarts else {
                    throw registry.failure(
                        TransportFailure.broken("it lost the upload of \(digest.short) \(restarts) times"), what,
                        repository)
                }
                // The answer to the last piece may be all that was lost.
                if try await isThere() { return }
            } catch Obstacle.passing(let trouble) {
                recovery.noteMovement(movement)
                guard try await recovery.pause(after: trouble) else {
                    throw registry.failure(trouble, what, repository)
                }
                if try await isThere() { return }
                if let known = session {
                    session = try await resume(known)
                    if let session, session.offset > farthest {
                        farthest = session.offset
                        recovery.noteProgress()
                    }
                }
            }
        }
    }

    /// Sends the next piece; `true` where the blob is complete.
    private func advance(_ session: inout Session, _ reader: UploadReader) async throws -> Bool {
        let size = blob.descriptor.size
        if session.offset == 0, size <= session.piece || session.offset == size {
            return try await finish(session, reader, from: 0)
        }
        if session.offset == size { return try await finish(session, reader, from: size) }
        let begun = session.offset
        let count = min(session.piece, size - begun)
        var request = upload("PATCH", session.place)
        request.headers["Content-Range"] = "\(session.offset)-\(session.offset + count - 1)"
        request.body = body(reader, session.offset, count)
        request.progress = { [progress, offset = session.offset] in progress(offset + Int64($0)) }
        let answer = try await attempt(request)
        switch answer.status {
        case 200..<300:
            session.place = place(answer, session.place)
            session.offset = BlobUpload.received(answer) ?? begun + count
            guard session.offset > begun, session.offset <= size else { throw Obstacle.lost }
            if begun > 0 { registry.takesPieces.withLock { $0 = true } }
            return false
        default:
            if begun <= session.piece, isAgainstPieces(answer) { throw Obstacle.pieces }
            throw try obstacle(answer, reader)
        }
    }

    /// Whether a refusal may be one of pieces: it is final, and about neither the login nor the amount.
    private func isAgainstPieces(_ answer: Answer) -> Bool {
        guard registry.takesPieces.withLock({ $0 == nil }), Recovery.Trouble(answer) == nil else { return false }
        return answer.status == 501 || (400..<500).contains(answer.status) && ![401, 403, 413].contains(answer.status)
    }

    /// Sends what is left and the digest.
    private func finish(_ session: Session, _ reader: UploadReader, from offset: Int64) async throws -> Bool {
        if reader.isOther { throw reader.problem }
        let count = blob.descriptor.size - offset
        var request = upload("PUT", session.place.adding("digest", "\(digest)"))
        if count > 0 {
            request.body = body(reader, offset, count)
            request.progress = { [progress] in progress(offset + Int64($0)) }
        }
        let answer = try await attempt(request)
        guard (200..<300).contains(answer.status) else { throw try obstacle(answer, reader) }
        if let digest = answer.headers["Docker-Content-Digest"].flatMap({ Digest($0) }), digest != self.digest {
            throw registry.mismatch(self.digest, digest, what, repository)
        }
        progress(blob.descriptor.size)
        return true
    }

    private func body(_ reader: UploadReader, _ offset: Int64, _ count: Int64) -> Call.Body {
        if let bytes = reader.bytes {
            return .some(
                .bytes(offset == 0 && count == bytes.count ? bytes : Array(bytes[Int(offset)..<Int(offset + count)])))
        }
        return .some(
            .pieces(count: Int(count)) { place in
                try await reader.read(at: offset + Int64(place), count: min(Blob.piece, Int(count) - place))
            })
    }

    private func upload(_ method: String, _ place: RegistryURL) -> Registry.Request {
        var request = Registry.Request(method, "", what: what, repository: repository, scopes: scopes)
        request.url = place
        request.headers["Content-Type"] = "application/octet-stream"
        return request
    }

    /// What a refused piece means.
    private func obstacle(_ answer: Answer, _ reader: UploadReader) throws -> Obstacle {
        if let trouble = Recovery.Trouble(answer) { return .passing(trouble) }
        let codes = Registry.errors(answer).map(\.code)
        // Another place than the registry's, or an upload that it does not know (any more).
        if answer.status == 404 || answer.status == 416 || codes.contains("BLOB_UPLOAD_UNKNOWN")
            || codes.contains("BLOB_UPLOAD_INVALID") || codes.contains("RANGE_INVALID")
        {
            return .lost
        }
        if codes.contains("DIGEST_INVALID"), reader.isOther { throw reader.problem }
        if answer.status == 405 { throw registry.readOnly(answer, what, repository) }
        throw registry.failure(answer, what, repository)
    }

    /// How much the registry has of an upload; `nil` where it has to begin again.
    private func resume(_ session: Session) async throws -> Session? {
        // What goes as a whole has no parts.
        if session.piece == .max { return nil }
        let answer: Answer
        do {
            answer = try await attempt(upload("GET", session.place))
        } catch Obstacle.passing {
            // Not back yet: the next attempt finds out.
            return session
        }
        guard answer.status == 204 || answer.status == 200, let offset = BlobUpload.received(answer),
            offset <= blob.descriptor.size
        else { return nil }
        return Session(place: place(answer, session.place), offset: offset, piece: session.piece)
    }

    private func attempt(_ request: Registry.Request) async throws -> Answer {
        var request = request
        request.progress = { [movement, progress = request.progress] count in
            if count > 0 { movement.note() }
            progress(count)
        }
        do {
            return try await registry.attempt(request)
        } catch let error as TransportFailure where error.mayPass {
            throw Obstacle.passing(Recovery.Trouble(error))
        } catch let error as TransportFailure {
            throw registry.failure(error, what, repository)
        }
    }

    private func place(_ answer: Answer, _ old: RegistryURL) -> RegistryURL {
        answer.headers["Location"].flatMap { RegistryURL($0, relativeTo: old) } ?? old
    }

    /// The `Range` of an answer: what the registry has, from 0 on.
    ///
    /// `0-0` says one byte or none: nobody can tell, and both are as good as nothing.
    static func received(_ answer: Answer) -> Int64? {
        guard var range = answer.headers["Range"] else { return nil }
        if range.hasPrefix("bytes=") { range.removeFirst(6) }
        let parts = range.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0] == "0", let last = Int64(parts[1]), last > 0, last < .max else { return nil }
        return last + 1
    }
}
