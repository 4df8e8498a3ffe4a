internal import CHash
internal import HTTP
internal import JSON
internal import Reactor

/// Pushes images of one layer to a registry, by plain HTTP.
struct RegistryClient: Sendable {
    /// Host and port, as image names begin with it.
    let registry: String
    private let client: HTTPClient

    init(_ registry: String) throws {
        let parts = registry.split(separator: ":")
        guard let host = parts.first, let port = parts.count == 2 ? UInt16(parts[1]) : 80 else {
            throw Trouble("\"\(registry)\" is not host:port")
        }
        self.registry = registry
        client = HTTPClient(endpoint: .tcp(host: String(host), port: port), headers: ["Host": registry])
    }

    /// Pushes an image and returns its name in a pod; equal contents get equal names, with a prefix of the tag.
    func push(_ repository: String, layer: [UInt8], config: JSON, tagPrefix: String = "") async throws -> String {
        let layerDigest = Self.digest(layer)
        #if arch(arm64)
            let machine = "arm64"
        #else
            let machine = "amd64"
        #endif
        let image: JSON = [
            "architecture": .string(machine), "os": "linux", "config": config,
            "rootfs": ["type": "layers", "diff_ids": [.string(layerDigest)]],
            "history": [["created": "1970-01-01T00:00:00Z", "created_by": "a test"]],
        ]
        let imageDigest = try await blob(image.bytes, in: repository)
        try await blob(layer, in: repository)
        let manifest: JSON = [
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": [
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": .string(imageDigest),
                "size": .integer(Int64(image.bytes.count)),
            ],
            "layers": [
                [
                    "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": .string(layerDigest),
                    "size": .integer(Int64(layer.count)),
                ]
            ],
        ]
        let tag = tagPrefix + String(Self.digest(manifest.bytes).dropFirst("sha256:".count).prefix(16))
        try await send(
            "PUT", "/v2/\(repository)/manifests/\(tag)", manifest.bytes,
            type: "application/vnd.oci.image.manifest.v1+json", expecting: 201)
        return "\(registry)/\(repository):\(tag)"
    }

    @discardableResult
    private func blob(_ bytes: [UInt8], in repository: String) async throws -> String {
        let digest = Self.digest(bytes)
        let present = try await client.fetch(HTTPRequest("HEAD", "/v2/\(repository)/blobs/\(digest)"))
        if present.response.status == 200 { return digest }
        let begun = try await send("POST", "/v2/\(repository)/blobs/uploads/", [], expecting: 202)
        guard var place = begun.headers["Location"] else { throw Trouble("\(registry): an upload without a location") }
        // Absolute in some registries.
        if let scheme = place.firstRange(of: "://") {
            let rest = place[scheme.upperBound...]
            place = String(rest[(rest.firstIndex(of: "/") ?? rest.endIndex)...])
        }
        place += "\(place.contains("?") ? "&" : "?")digest=\(digest)"
        try await send("PUT", place, bytes, type: "application/octet-stream", expecting: 201)
        return digest
    }

    @discardableResult
    private func send(
        _ method: String, _ target: String, _ body: [UInt8], type: String? = nil, expecting status: Int
    ) async throws -> HTTPResponse {
        var request = HTTPRequest(method, target)
        request.headers["Content-Type"] = type
        let (response, answer) = try await client.fetch(request, body: body)
        guard response.status == status else {
            throw Trouble(
                "\(method) \(registry)\(target): \(response.status) \(String(decoding: answer, as: UTF8.self))")
        }
        return response
    }

    private static func digest(_ bytes: [UInt8]) -> String {
        var hash = chash_sha256()
        chash_sha256_init(&hash)
        bytes.withUnsafeBytes { chash_sha256_update(&hash, $0.baseAddress, $0.count) }
        var digest = [UInt8](repeating: 0, count: 32)
        chash_sha256_final(&hash, &digest)
        let hex = digest.map { byte in
            let text = String(byte, radix: 16)
            return text.utf8.count == 1 ? "0" + text : text
        }
        return "sha256:\(hex.joined())"
    }
}
