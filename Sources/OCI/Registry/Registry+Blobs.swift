internal import HTTP
internal import Reactor

extension Registry {
    /// The size of a blob; `nil` where there is none.
    public func size(of digest: Digest, in repository: String) async throws -> Int64? {
        try await size(of: digest, in: repository, scopes: Registry.pull(repository))
    }

    func size(of digest: Digest, in repository: String, scopes: [String]) async throws -> Int64? {
        let what = "look for \(digest.short) in \(repository)"
        var request = Request(
            "HEAD", "\(repository)/blobs/\(digest)", what: what, repository: repository, scopes: scopes)
        let answer = try await following(&request)
        if answer.status == 404 { return nil }
        guard answer.status == 200 else { throw failure(answer, what, repository) }
        // Some answer without a length: the blob is there.
        return answer.headers["Content-Length"].flatMap { Int64($0) } ?? -1
    }

    /// A blob in memory, checked against its digest; one of more than `limit` bytes throws.
    public func blob(_ descriptor: Descriptor, in repository: String, limit: Int = 32 << 20) async throws -> [UInt8] {
        let what = "read \(descriptor.digest.short) of \(repository)"
        guard descriptor.size <= limit else {
            throw RegistryFailure(
                .invalid, registry: host, repository: repository,
                "cannot \(what): \(descriptor.size) bytes are too many",
                nextStep: "check the image")
        }
        var request = Request(
            "GET", "\(repository)/blobs/\(descriptor.digest)", what: what, repository: repository,
            scopes: Registry.pull(repository))
        request.limit = Int(descriptor.size)
        let answer = try await following(&request)
        guard answer.status == 200 else { throw failure(answer, what, repository) }
        let digest = Digest(of: answer.body)
        guard digest == descriptor.digest else { throw mismatch(descriptor.digest, digest, what, repository) }
        return answer.body
    }

    /// A blob in a file without a name, checked against its digest.
    func download(_ descriptor: Descriptor, in repository: String) async throws -> OpenFile {
        let what = "read \(descriptor.digest.short) of \(repository)"
        do {
            let output = try await offPool { [options] in try OutputFile(in: options.temporaryFolder) }
            var request = Request(
                "GET", "\(repository)/blobs/\(descriptor.digest)", what: what, repository: repository,
                scopes: Registry.pull(repository))
            request.output = output
            request.limit = Int(clamping: descriptor.size)
            let answer = try await following(&request)
            // Of what broke off at its very end there is nothing more.
            let isComplete = answer.status == 416 && output.size == descriptor.size
            guard [200, 206].contains(answer.status) || isComplete else { throw failure(answer, what, repository) }
            let file = try output.reopened()
            var running = RunningDigest()
            let size = try file.status().size
            var offset: Int64 = 0
            while offset < size {
                let piece = try await file.read(at: offset, count: Int(min(Int64(4 * Blob.piece), size - offset)))
                try Task.checkCancellation()
                running.update(piece)
                offset += Int64(piece.count)
            }
            guard running.digest == descriptor.digest else {
                throw mismatch(descriptor.digest, running.digest, what, repository)
            }
            return file
        } catch let error as SystemError {
            throw RegistryFailure(
                .local, registry: host, repository: repository, "cannot \(what): \(error)",
                nextStep: "make room in \(options.temporaryFolder)")
        }
    }

    /// Makes a request, and goes where the registry sends it for its content.
    private func following(_ request: inout Request) async throws -> Answer {
        for _ in 0..<5 {
            let answer = try await perform(request)
            guard [301, 302, 303, 307, 308].contains(answer.status) else { return answer }
            let base = try await link.find().origin
            let from = request.url ?? RegistryURL(base, "/v2/\(request.path)")
            guard let place = answer.headers["Location"].flatMap({ RegistryURL($0, relativeTo: from) }) else {
                throw failure(answer, request.what, request.repository)
            }
            request.url = place
        }
        throw failure(
            TransportFailure.unusable("it sends its clients in circles"), request.what, request.repository)
    }
}
