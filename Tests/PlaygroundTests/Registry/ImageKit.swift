import Glibc
import HTTP
import JSON
import struct OCI.Digest
import Reactor

@testable import Playground

/// Builds and pushes small images as a client does.
enum ImageKit {
    /// A static program that needs nothing of its image: `wait` sleeps until it is told to end, anything else is printed.
    static let source = """
        #include <stdio.h>
        #include <string.h>
        #include <signal.h>
        #include <unistd.h>
        static void end(int signal) { (void)signal; _exit(0); }
        int main(int count, char **words) {
            signal(SIGTERM, end);
            for (int i = 1; i < count; i++) puts(words[i]);
            fflush(stdout);
            if (count > 1 && !strcmp(words[1], "wait")) for (;;) pause();
            return 0;
        }
        """

    /// Compiles the program into a folder.
    static func program(in folder: String) async throws -> String {
        try Disk.makeDirectory(folder)
        try Disk.write(Array(source.utf8), to: "\(folder)/tiny.c")
        let built = try await Child.run(
            Launch(["clang", "-static", "-Os", "-o", "\(folder)/tiny", "\(folder)/tiny.c"]))
        guard built.status.isSuccess else { throw SystemError(code: ENOEXEC, attempt: built.errorText) }
        return "\(folder)/tiny"
    }

    /// A layer of a folder's content.
    static func layer(of folder: String, gzip: Bool) async throws -> [UInt8] {
        let packed = try await Child.run(
            Launch(["tar", "-c"] + (gzip ? ["-z"] : []) + ["-C", folder, "."]), limit: 256 << 20)
        guard packed.status.isSuccess else { throw SystemError(code: EIO, attempt: packed.errorText) }
        return packed.standardOutput
    }

    /// Pushes a blob in one request, or in chunks.
    static func push(_ blob: [UInt8], to repository: String, _ client: HTTPClient, chunk: Int? = nil) async throws
        -> Digest
    {
        let digest = Digest(of: blob)
        let started = try await client.fetch(HTTPRequest("POST", "/v2/\(repository)/blobs/uploads/"))
        let place = started.response.headers["Location"] ?? ""
        var last = blob
        if let chunk {
            var offset = 0
            while offset < blob.count {
                let part = Array(blob[offset..<min(offset + chunk, blob.count)])
                let range = "\(offset)-\(offset + part.count - 1)"
                let answer = try await client.fetch(
                    HTTPRequest("PATCH", place, headers: ["Content-Range": range]), body: part)
                guard answer.response.status == 202 else { throw Unexpected(answer.response.status) }
                offset += part.count
            }
            last = []
        }
        let answer = try await client.fetch(HTTPRequest("PUT", "\(place)?digest=\(digest)"), body: last)
        guard answer.response.status == 201 else { throw Unexpected(answer.response.status) }
        return digest
    }

    /// Pushes a manifest of these layers under a tag.
    static func push(
        layers: [[UInt8]], config: JSON, as repository: String, tag: String, _ client: HTTPClient
    ) async throws -> Digest {
        var descriptors: [JSON] = []
        for layer in layers {
            let digest = try await push(layer, to: repository, client, chunk: 100_000)
            descriptors.append([
                "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": .string("\(digest)"),
                "size": .integer(Int64(layer.count)),
            ])
        }
        let blob = try await push(JSON(dictionaryLiteral: ("config", config)).bytes, to: repository, client)
        let manifest: JSON = [
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": [
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": .string("\(blob)"), "size": 1,
            ],
            "layers": .array(descriptors),
        ]
        let answer = try await client.fetch(
            HTTPRequest(
                "PUT", "/v2/\(repository)/manifests/\(tag)",
                headers: ["Content-Type": "application/vnd.oci.image.manifest.v1+json"]), body: manifest.bytes)
        guard answer.response.status == 201 else { throw Unexpected(answer.response.status) }
        return Digest(of: manifest.bytes)
    }

    struct Unexpected: Error {
        let status: Int
        init(_ status: Int) { self.status = status }
    }
}
