import HTTP
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

/// Doubles of registries that differ in what they take: the playground's, with refusals before it.
@Suite("Blobs in pieces", .timeLimit(.minutes(5)))
struct PieceTests {
    private static func image(_ seed: UInt64) async throws -> ImageContent {
        var image = ImageContent(scratch: .host)
        image.append(try await Layer.pack([LayerEntry("data", .bytes(noise(3 << 20, seed: seed)))]))
        return image
    }

    @Test(
        "a registry that takes no pieces gets blobs as a whole, from the next one on at once",
        arguments: [
            (405, "UNSUPPORTED", 1), (400, "UNKNOWN", 1), (404, "BLOB_UPLOAD_UNKNOWN", 1), (416, "RANGE_INVALID", 2),
            (501, "UNKNOWN", 1), (400, "BLOB_UPLOAD_INVALID", 2),
        ])
    func refused(status: Int, code: String, piece: Int) async throws {
        let pieces = Mutex(0)
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            guard exchange.request.method == "PATCH" else { return false }
            let count = pieces.withLock { pieces in
                pieces += 1
                return pieces
            }
            guard count >= piece else { return false }
            try await exchange.refuse(status, code)
            return true
        }) { process, _ in
            let registry = Registry(process.name, options: .brief)
            for number in 1...2 {
                let image = try await Self.image(UInt64(number))
                #expect(try await registry.push(image, to: "app", tags: ["\(number)"]).blobsSent == 2)
                #expect(try await isWhole(registry, "app", "\(number)"))
            }
            #expect(pieces.withLock(\.self) == piece)
        }
    }

    @Test("a refusal that is about something else is told at once", arguments: [401, 403, 413])
    func other(status: Int) async throws {
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            guard exchange.request.method == "PATCH" else { return false }
            try await exchange.refuse(status, "DENIED")
            return true
        }) { process, _ in
            let image = try await Self.image(1)
            await #expect(throws: RegistryFailure.self) {
                try await Registry(process.name, options: .brief).push(image, to: "app", tags: ["1"])
            }
            // The configuration goes as a whole in any case.
            #expect(process.requests.count { $0.hasPrefix("PUT ") } <= 1)
        }
    }

    @Test("pieces are as large as the registry wants them at least")
    func least() async throws {
        let lengths = Mutex<[String]>([])
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            switch exchange.request.method {
            case "POST":
                let headers: HTTPHeaders = ["Location": "/v2/app/blobs/uploads/1", "OCI-Chunk-Min-Length": "2097152"]
                try await exchange.respond(HTTPResponse(202, headers: headers))
            case "PATCH":
                lengths.withLock { $0.append(exchange.request.headers["Content-Length"] ?? "") }
                _ = try await exchange.body()
                try await exchange.respond(HTTPResponse(202))
            default: return false
            }
            return true
        }) { process, _ in
            let image = try await Self.image(1)
            // Nothing is kept here, so that it does not come to a good end.
            _ = try? await Registry(process.name, options: .brief).push(image, to: "app", tags: ["1"])
            #expect(lengths.withLock(\.first) == "2097152")
        }
    }
}
