internal import Glibc
public import HTTP
internal import JSON
internal import OCI
internal import Reactor
internal import Synchronization

/// The playground's image registry: as much of the OCI distribution specification as clients need to push and pull.
///
/// It answers on loopback only (its owner listens there) and refuses requests that a browser was talked into: any `Origin`,
/// and a `Host` that is not this machine. Blobs go to disk as they arrive, and are kept only with the digest that they claim.
public final class Registry: Sendable {
    let storage: RegistryStorage
    private let uploads = Mutex<[String: Upload]>([:])
    private static let blobLimit = 32 << 30
    private static let uploadLimit = 64

    /// A registry that keeps its content below `directory`.
    public init(directory: String) throws {
        storage = try RegistryStorage(root: directory)
    }

    /// Answers one request.
    public func serve(_ exchange: HTTPExchange) async {
        do {
            try await route(exchange)
        } catch let error as RegistryError {
            try? await exchange.respond(
                HTTPResponse(error.status, headers: ["Content-Type": "application/json"]), body: error.body)
        } catch {
            let unknown = RegistryError(status: 500, code: "UNKNOWN", message: "\(error)")
            try? await exchange.respond(
                HTTPResponse(500, headers: ["Content-Type": "application/json"]), body: unknown.body)
        }
    }

    private func route(_ exchange: HTTPExchange) async throws {
        let request = exchange.request
        guard request.headers["Origin"] == nil, Registry.isLocal(request.headers["Host"] ?? "localhost") else {
            throw RegistryError(status: 403, code: "DENIED", message: "only local clients are served")
        }
        var path = request.path
        guard path.first == "v2" else { throw RegistryError.unknownName }
        path.removeFirst()
        if path.isEmpty || path == [""] {
            try await exchange.respond(
                HTTPResponse(
                    200,
                    headers: [
                        "Content-Type": "application/json", "Docker-Distribution-API-Version": "registry/2.0",
                    ]),
                body: Array("{}".utf8))
            return
        }
        // Repository names have slashes: the route is told by its end.
        if path.count >= 3, path.suffix(2) == ["tags", "list"] {
            return try await listTags(exchange, try name(path.dropLast(2)))
        }
        if path.count >= 3, path[path.count - 2] == "manifests" {
            return try await manifest(exchange, try name(path.dropLast(2)), path[path.count - 1])
        }
        if let index = path.lastIndex(of: "uploads"), index >= 2, path[index - 1] == "blobs", index >= path.count - 2 {
            let id = index + 1 < path.count ? path[index + 1] : ""
            return try await upload(exchange, try name(path.prefix(index - 1)), id)
        }
        if path.count >= 3, path[path.count - 2] == "blobs" {
            _ = try name(path.dropLast(2))
            return try await blob(exchange, path[path.count - 1])
        }
        throw RegistryError.unknownName
    }

    private static func isLocal(_ host: String) -> Bool {
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" } + "]" : host.prefix { $0 != ":" }
        return name == "localhost" || name == "127.0.0.1" || name == "[::1]" || name.hasSuffix(".localhost")
    }

    private func name(_ parts: some Sequence<String>) throws -> String {
        let name = parts.joined(separator: "/")
        guard RegistryStorage.isName(name) else { throw RegistryError.invalidName }
        return name
    }

    // MARK: Manifests and tags

    private func listTags(_ exchange: HTTPExchange, _ repository: String) async throws {
        guard exchange.request.method == "GET" else { throw RegistryError.unsupported }
        guard var tags = storage.tags(repository) else { throw RegistryError.unknownName }
        let query = exchange.request.query
        if let last = query.first(where: { $0.0 == "last" })?.1 { tags.removeAll { $0 <= last } }
        var headers: HTTPHeaders = ["Content-Type": "application/json"]
        if let count = query.first(where: { $0.0 == "n" }).flatMap({ Int($0.1) }), (0..<tags.count).contains(count) {
            tags = Array(tags.prefix(count))
            // Without it a client takes the part for the whole. (A tag has nothing that a URL would have to escape.)
            if let last = tags.last {
                headers["Link"] = "</v2/\(repository)/tags/list?n=\(count)&last=\(last)>; rel=\"next\""
            }
        }
        let body: JSON = ["name": .string(repository), "tags": .array(tags.map { .string($0) })]
        try await exchange.respond(HTTPResponse(200, headers: headers), body: body.bytes)
    }

    private func manifest(_ exchange: HTTPExchange, _ repository: String, _ reference: String) async throws {
        guard Digest(reference) != nil || RegistryStorage.isTag(reference) else { throw RegistryError.unknownManifest }
        switch exchange.request.method {
        case "GET", "HEAD":
            guard let manifest = storage.manifest(repository, reference) else { throw RegistryError.unknownManifest }
            let head = HTTPResponse(
                200,
                headers: [
                    "Content-Type": manifest.mediaType, "Docker-Content-Digest": manifest.digest.description,
                    "Content-Length": "\(manifest.bytes.count)",
                ])
            try await exchange.respond(head, body: exchange.request.method == "HEAD" ? [] : manifest.bytes)
        case "PUT":
            let bytes = try await exchange.body(limit: RegistryStorage.manifestLimit)
            guard let parsed = try? JSON(parsing: bytes), parsed.object != nil else {
                throw RegistryError.invalidManifest("the manifest is not a JSON object")
            }
            let digest = Digest(of: bytes)
            if let claimed = Digest(reference), claimed != digest {
                throw RegistryError.invalidDigest("the manifest has the digest \(digest)")
            }
            try requireBlobs(of: parsed)
            let type =
                exchange.request.headers["Content-Type"] ?? parsed["mediaType"]?.string
                ?? "application/vnd.oci.image.manifest.v1+json"
            try storage.put(
                RegistryStorage.Manifest(digest: digest, mediaType: type, bytes: bytes), in: repository,
                tag: Digest(reference) == nil ? reference : nil)
            try await exchange.respond(
                HTTPResponse(
                    201,
                    headers: [
                        "Location": "/v2/\(repository)/manifests/\(digest)",
                        "Docker-Content-Digest": digest.description,
                        "Content-Length": "0",
                    ]))
        case "DELETE":
            guard storage.remove(repository, reference) else { throw RegistryError.unknownManifest }
            try await exchange.respond(HTTPResponse(202, headers: ["Content-Length": "0"]))
        default: throw RegistryError.unsupported
        }
    }

    private func requireBlobs(of manifest: JSON) throws {
        for descriptor in [manifest["config"] ?? [:]] + (manifest["layers"]?.array ?? []) {
            guard let text = descriptor["digest"]?.string else { continue }
            guard let digest = Digest(text) else { throw RegistryError.invalidDigest("\(text) is not a sha256 digest") }
            guard storage.size(of: digest) != nil else {
                throw RegistryError(
                    status: 404, code: "MANIFEST_BLOB_UNKNOWN", message: "blob \(digest) is unknown to registry")
            }
        }
    }

    // MARK: Blobs

    private func blob(_ exchange: HTTPExchange, _ reference: String) async throws {
        guard let digest = Digest(reference) else {
            throw RegistryError.invalidDigest("\(reference) is not a sha256 digest")
        }
        guard ["GET", "HEAD"].contains(exchange.request.method) else { throw RegistryError.unsupported }
        guard let size = storage.size(of: digest) else { throw RegistryError.unknownBlob }
        var head = HTTPResponse(
            200,
            headers: [
                "Content-Type": "application/octet-stream", "Docker-Content-Digest": digest.description,
                "Accept-Ranges": "bytes", "Content-Length": "\(size)",
            ])
        if exchange.request.method == "HEAD" { return try await exchange.respond(head) }
        var part = 0..<size
        if let range = ByteRange(exchange.request.headers["Range"]) {
            guard let bytes = range.bytes(of: size) else {
                return try await exchange.respond(
                    HTTPResponse(416, headers: ["Content-Range": "bytes */\(size)", "Content-Length": "0"]))
            }
            part = bytes
            head = HTTPResponse(206, headers: head.headers)
            head.headers["Content-Length"] = "\(part.count)"
            head.headers["Content-Range"] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"
        }
        let raw = open(storage.blob(digest), O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw SystemError.last("open blob \(digest)") }
        let owned = OwnedDescriptor(raw)
        try await exchange.startBody(head)
        while !part.isEmpty {
            let chunk = [UInt8](unsafeUninitializedCapacity: min(1 << 20, part.count)) { buffer, count in
                count = max(0, pread(owned.raw, buffer.baseAddress, buffer.count, part.lowerBound))
            }
            guard !chunk.isEmpty else { throw SystemError(code: EIO, attempt: "read blob \(digest)") }
            try await exchange.write(chunk)
            part = part.dropFirst(chunk.count)
        }
        try await exchange.finish()
    }

    private func upload(_ exchange: HTTPExchange, _ repository: String, _ id: String) async throws {
        let query = exchange.request.query
        if id.isEmpty {
            guard exchange.request.method == "POST" else { throw RegistryError.unsupported }
            return try await startUpload(exchange, repository, query)
        }
        guard let upload = uploads.withLock({ $0[id] }) else { throw RegistryError.unknownUpload }
        guard upload.begin() else { throw RegistryError.invalidUpload("the upload is in use", status: 409) }
        // Whoever has the answer may come back at once: the upload is free before it leaves.
        let answer = try await answer(exchange, upload, repository, query)
        try await exchange.respond(answer)
    }

    /// Works on an upload that was taken, and lets go of it.
    private func answer(
        _ exchange: HTTPExchange, _ upload: Upload, _ repository: String, _ query: [(String, String)]
    ) async throws -> HTTPResponse {
        defer { upload.end() }
        switch exchange.request.method {
        case "GET": return HTTPResponse(204, headers: progress(of: upload, in: repository))
        case "PATCH":
            try checkRange(exchange.request.headers["Content-Range"], upload)
            try await receive(exchange, into: upload)
            return HTTPResponse(202, headers: progress(of: upload, in: repository))
        case "PUT":
            try checkRange(exchange.request.headers["Content-Range"], upload)
            try await receive(exchange, into: upload)
            return try finish(upload, repository, query.first { $0.0 == "digest" }?.1 ?? "")
        case "DELETE":
            forget(upload)
            return HTTPResponse(204)
        default: throw RegistryError.unsupported
        }
    }

    private func startUpload(
        _ exchange: HTTPExchange, _ repository: String, _ query: [(String, String)]
    ) async throws {
        if let mount = query.first(where: { $0.0 == "mount" }).flatMap({ Digest($0.1) }), storage.size(of: mount) != nil
        {
            return try await exchange.respond(created(mount, repository))
        }
        let upload = try Upload(in: "\(storage.root)/uploads")
        _ = upload.begin()
        let answer = try await firstAnswer(exchange, upload, repository, query.first { $0.0 == "digest" }?.1)
        try await exchange.respond(answer)
    }

    /// Keeps a new upload, with its content where that comes at once, and lets go of it.
    private func firstAnswer(
        _ exchange: HTTPExchange, _ upload: Upload, _ repository: String, _ claimed: String?
    ) async throws -> HTTPResponse {
        defer { upload.end() }
        let isAccepted = uploads.withLock { uploads in
            if uploads.count >= Registry.uploadLimit {
                // A client that was interrupted never comes back for its upload: who waits longest makes room.
                let oldest = uploads.values.sorted { $0.lastUse < $1.lastUse }.first { $0.discardIfIdle() }
                guard let oldest else { return false }
                uploads[oldest.id] = nil
            }
            uploads[upload.id] = upload
            return true
        }
        guard isAccepted else {
            throw RegistryError(status: 429, code: "TOOMANYREQUESTS", message: "too many uploads at once")
        }
        if let claimed {
            try await receive(exchange, into: upload)
            return try finish(upload, repository, claimed)
        }
        return HTTPResponse(202, headers: progress(of: upload, in: repository))
    }

    private func checkRange(_ range: String?, _ upload: Upload) throws {
        guard let start = range?.split(separator: "-").first.flatMap({ Int($0) }) else { return }
        guard start == upload.size else {
            throw RegistryError.invalidUpload("the next byte is \(upload.size)", status: 416)
        }
    }

    private func receive(_ exchange: HTTPExchange, into upload: Upload) async throws {
        while true {
            let bytes = try await exchange.readBody()
            if bytes.isEmpty { return }
            guard upload.size + bytes.count <= Registry.blobLimit else {
                forget(upload)
                throw RegistryError(status: 413, code: "SIZE_INVALID", message: "the blob is too large")
            }
            try upload.append(bytes)
        }
    }

    private func finish(_ upload: Upload, _ repository: String, _ claimed: String) throws -> HTTPResponse {
        defer { forget(upload) }
        guard let digest = Digest(claimed) else {
            throw RegistryError.invalidDigest("\(claimed) is not a sha256 digest")
        }
        guard upload.digest == digest else {
            throw RegistryError.invalidDigest("the blob has the digest \(upload.digest), not \(digest)")
        }
        try upload.commit(to: storage.blob(digest))
        return created(digest, repository)
    }

    private func created(_ digest: Digest, _ repository: String) -> HTTPResponse {
        HTTPResponse(
            201,
            headers: [
                "Location": "/v2/\(repository)/blobs/\(digest)", "Docker-Content-Digest": digest.description,
                "Content-Length": "0",
            ])
    }

    private func forget(_ upload: Upload) {
        uploads.withLock { _ = $0.removeValue(forKey: upload.id) }
        upload.discard()
    }

    private func progress(of upload: Upload, in repository: String) -> HTTPHeaders {
        [
            "Location": "/v2/\(repository)/blobs/uploads/\(upload.id)", "Docker-Upload-UUID": upload.id,
            "Range": "0-\(max(0, upload.size - 1))", "Content-Length": "0",
        ]
    }
}
