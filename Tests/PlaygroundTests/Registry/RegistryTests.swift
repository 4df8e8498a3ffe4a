import HTTP
import JSON
import struct OCI.Digest
import Reactor
import Testing

@testable import Playground

@Suite("Registry", .timeLimit(.minutes(5)))
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

    @Test("a part of a blob is pulled, as a client resumes")
    func ranges() async throws {
        try await withRegistry { client, _ in
            let blob = (0..<100).map { UInt8($0) }
            let digest = try await ImageKit.push(blob, to: "app", client)
            func get(_ range: String) async throws -> (HTTPResponse, [UInt8]) {
                let answer = try await client.fetch(
                    HTTPRequest("GET", "/v2/app/blobs/\(digest)", headers: ["Range": range]))
                return (answer.response, answer.body)
            }
            for (range, expected) in [("bytes=10-19", 10..<20), ("bytes=90-", 90..<100), ("bytes=-5", 95..<100)] {
                let (response, body) = try await get(range)
                #expect(response.status == 206)
                #expect(body == expected.map { UInt8($0) }, "\(range)")
                let place = "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/100"
                #expect(response.headers["Content-Range"] == place)
            }
            #expect(try await get("bytes=100-").0.status == 416)
            for unread in ["bytes=20-10", "bytes=-", "lines=1-2", "bytes=1-2,4-5"] {
                #expect(try await get(unread).1 == blob, "\(unread)")
            }
        }
    }

    @Test("a part of the tags says where the rest is")
    func tagPages() async throws {
        try await withRegistry { client, _ in
            for tag in ["b", "a", "c"] {
                _ = try await ImageKit.push(layers: [], config: [:], as: "app", tag: tag, client)
            }
            var seen: [[String]] = []
            var next: String? = "/v2/app/tags/list?n=2"
            while let target = next {
                let page = try await client.fetch(HTTPRequest("GET", target))
                seen.append((try JSON(parsing: page.body)["tags"]?.array ?? []).compactMap(\.string))
                let link = page.response.headers["Link"]
                #expect(link?.hasSuffix(">; rel=\"next\"") ?? true)
                next = link.map { String($0.dropFirst().prefix { $0 != ">" }) }
            }
            #expect(seen == [["a", "b"], ["c"]])
        }
    }

    @Test("uploads that nobody goes on with make room for new ones")
    func abandoned() async throws {
        try await withRegistry { client, registry in
            for _ in 0..<200 {
                let started = try await client.fetch(HTTPRequest("POST", "/v2/app/blobs/uploads/"))
                #expect(started.response.status == 202)
            }
            #expect(Disk.names(in: "\(registry.storage.root)/uploads").count == 64)
            _ = try await ImageKit.push([1, 2, 3], to: "app", client, chunk: 1)
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
