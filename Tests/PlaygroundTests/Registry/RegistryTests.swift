import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

@Suite("Registry", .timeLimit(.minutes(1)))
struct RegistryTests {
    /// Runs a registry on a port of its own while `body` talks to it.
    private func withRegistry(_ body: @Sendable (HTTPClient, Registry) async throws -> Void) async throws {
        let folder = "/tmp/loopd-registry-\(Identifier.random(bytes: 6))"
        defer { Disk.removeTree(folder) }
        let registry = try Registry(directory: folder)
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        let server = HTTPServer(listener) { await registry.serve($0) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body(HTTPClient(endpoint: listener.endpoint), registry)
            group.cancelAll()
        }
    }

    private func code(_ body: [UInt8]) -> String? { (try? JSON(parsing: body))?["errors"]?[0]?["code"]?.string }

    @Test("what was pushed in chunks, at once or in one request is pulled again")
    func roundTrip() async throws {
        try await withRegistry { client, _ in
            let blob = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let digest = try await ImageKit.push(blob, to: "team/app", client, chunk: 70_000)
            #expect(try await ImageKit.push(blob, to: "team/app", client) == digest)
            let once = try await client.fetch(
                HTTPRequest("POST", "/v2/team/app/blobs/uploads/?digest=\(digest)"), body: blob)
            #expect(once.response.status == 201)
            let mounted = try await client.fetch(
                HTTPRequest("POST", "/v2/other/blobs/uploads/?mount=\(digest)&from=team/app"))
            #expect(mounted.response.status == 201)
            let pulled = try await client.fetch(HTTPRequest("GET", "/v2/team/app/blobs/\(digest)"))
            #expect(pulled.body == blob)
            let head = try await client.fetch(HTTPRequest("HEAD", "/v2/team/app/blobs/\(digest)"))
            #expect(head.response.headers["Content-Length"] == "300000")
            #expect(head.body == [])
        }
    }

    @Test("manifests are found by tag and digest, listed, and deleted")
    func manifests() async throws {
        try await withRegistry { client, _ in
            let digest = try await ImageKit.push(layers: [[1, 2, 3]], config: [:], as: "app", tag: "1", client)
            for reference in ["1", "\(digest)"] {
                let found = try await client.fetch(HTTPRequest("GET", "/v2/app/manifests/\(reference)"))
                #expect(found.response.headers["Docker-Content-Digest"] == "\(digest)")
                #expect(found.response.headers["Content-Type"] == "application/vnd.oci.image.manifest.v1+json")
            }
            let tags = try await client.fetch(HTTPRequest("GET", "/v2/app/tags/list"))
            #expect(try JSON(parsing: tags.body) == ["name": "app", "tags": ["1"]])
            #expect(try await client.fetch(HTTPRequest("DELETE", "/v2/app/manifests/\(digest)")).response.status == 202)
            let gone = try await client.fetch(HTTPRequest("GET", "/v2/app/manifests/1"))
            #expect(gone.response.status == 404)
            #expect(code(gone.body) == "MANIFEST_UNKNOWN")
        }
    }

    @Test("a wrong digest, a missing blob, a gap and an unsafe name are refused, and leave nothing")
    func refusals() async throws {
        try await withRegistry { client, registry in
            let wrong = Digest(of: [9])
            let started = try await client.fetch(HTTPRequest("POST", "/v2/app/blobs/uploads/"))
            let place = started.response.headers["Location"] ?? ""
            let gap = try await client.fetch(
                HTTPRequest("PATCH", place, headers: ["Content-Range": "5-6"]), body: [1, 2])
            #expect(gap.response.status == 416)
            let mismatch = try await client.fetch(HTTPRequest("PUT", "\(place)?digest=\(wrong)"), body: [1, 2])
            #expect(code(mismatch.body) == "DIGEST_INVALID")
            #expect(registry.storage.size(of: wrong) == nil)
            #expect(Disk.names(in: "\(registry.storage.root)/uploads") == [])

            let manifest: JSON = ["schemaVersion": 2, "layers": [["digest": .string("\(wrong)")]]]
            let missing = try await client.fetch(HTTPRequest("PUT", "/v2/app/manifests/1"), body: manifest.bytes)
            #expect(code(missing.body) == "MANIFEST_BLOB_UNKNOWN")
            for name in ["..", "a%2F..%2Fb", "App", "a//b", "_tags"] {
                let answer = try await client.fetch(HTTPRequest("GET", "/v2/\(name)/manifests/1"))
                #expect([400, 404].contains(answer.response.status))
            }
            let foreign = try await client.fetch(HTTPRequest("GET", "/v2/", headers: ["Origin": "http://evil.example"]))
            #expect(foreign.response.status == 403)
            let rebound = try await client.fetch(HTTPRequest("GET", "/v2/", headers: ["Host": "evil.example"]))
            #expect(rebound.response.status == 403)
        }
    }
}
