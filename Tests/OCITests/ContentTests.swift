import JSON
import Testing

@testable import OCI

@Suite("Digests, manifests and configurations")
struct ContentTests {
    @Test("a digest is that of sha256sum, in one or many pieces")
    func digest() throws {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect("\(Digest(of: Array("abc".utf8)))" == abc)
        var running = RunningDigest()
        running.update(Array("a".utf8))
        running.update([])
        running.update(Array("bc".utf8))
        #expect(running.digest == Digest(abc))
        #expect(Digest(abc)?.hex.count == 64)
    }

    @Test(
        "what is no digest is none",
        arguments: [
            "", "sha256:", "sha512:" + String(repeating: "a", count: 128),
            "sha256:" + String(repeating: "A", count: 64),
            "sha256:" + String(repeating: "a", count: 63), "sha256:" + String(repeating: "g", count: 64),
            "sha256:../" + String(repeating: "a", count: 61),
        ])
    func noDigest(text: String) { #expect(Digest(text) == nil) }

    private static func index(_ platforms: [Platform?]) throws -> ImageIndex {
        let manifests = platforms.enumerated().map { number, platform -> JSON in
            var entry: JSON = [
                "mediaType": .string(MediaType.ociManifest), "size": 1,
                "digest": .string("\(Digest(of: [UInt8(number)]))"),
            ]
            if let platform {
                entry["platform"] = ["os": .string(platform.system), "architecture": .string(platform.architecture)]
                if let variant = platform.variant { entry["platform"]?["variant"] = .string(variant) }
            }
            return entry
        }
        let json: JSON = ["manifests": .array(manifests)]
        return try ImageIndex(json.bytes)
    }

    @Test(
        "the manifest of a platform is chosen from an index",
        arguments: [
            (["linux/arm64", "linux/amd64"], "linux/amd64", 1), (["linux/arm64/v8", "linux/amd64"], "linux/arm64", 0),
            (["linux/arm64"], "linux/arm64/v8", 0), (["unknown/unknown", "linux/amd64"], "linux/amd64", 1),
            (["windows/amd64", "linux/amd64"], "linux/amd64", 1), (["linux/amd64", "linux/amd64"], "linux/amd64", 0),
            (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", 1), (["linux/arm/v6"], "linux/arm/v7", 0),
            (["linux/arm/v7"], "linux/arm/v6", nil), (["linux/arm64"], "linux/amd64", nil),
            (["linux/amd64/v3", "linux/amd64"], "linux/amd64", 1), ([""], "linux/amd64", 0),
            (["", ""], "linux/amd64", nil), ([], "linux/amd64", nil),
        ] as [([String], String, Int?)])
    func choice(platforms: [String], wanted: String, place: Int?) throws {
        let index = try Self.index(platforms.map { Platform($0) })
        let chosen = index.manifest(for: try #require(Platform(wanted)))
        #expect(chosen?.digest == place.map { Digest(of: [UInt8($0)]) })
    }

    @Test("what loopd does not know survives a change of the image")
    func unknown() throws {
        let layer = Descriptor(mediaType: MediaType.Family.docker.gzipLayer, digest: Digest(of: [1]), size: 1)
        let text: JSON = [
            "architecture": "arm64", "os": "linux", "os.version": "x",
            "config": ["Env": ["A=1"], "Healthcheck": ["Test": []]],
            "rootfs": ["type": "layers", "diff_ids": [.string("\(Digest(of: [9]))")]], "moby.buildkit": [:],
        ]
        let config = try ImageConfig(text.bytes)
        var descriptor = Descriptor(
            mediaType: MediaType.Family.docker.config, digest: Digest(of: text.bytes), size: Int64(text.bytes.count)
        ).json
        descriptor["annotations"] = ["a": "b"]
        let manifest: JSON = [
            "schemaVersion": 2, "mediaType": .string(MediaType.dockerManifest), "config": descriptor,
            "layers": [layer.json], "annotations": ["org.example": "kept"],
        ]
        let stored = StoredManifest(mediaType: MediaType.dockerManifest, bytes: manifest.bytes)
        var image = ImageContent(
            manifest: try ImageManifest(stored), config: config,
            layers: [Layer(Blob([1], mediaType: layer.mediaType), diffID: Digest(of: [9]))])
        // Unchanged, every byte stays.
        image.configure { $0.user = "" }
        #expect(image.manifest.stored.bytes == manifest.bytes)
        #expect(image.configBlob.descriptor.digest == Digest(of: text.bytes))

        image.append(Layer(Blob([2], mediaType: image.family.layer), diffID: Digest(of: [2])), history: "test")
        image.configure {
            $0.setVariable("A", to: "2")
            $0.setVariable("B", to: "3")
            $0.entrypoint = ["/app"]
            $0.user = "7:7"
        }
        #expect(image.family == .docker)
        #expect(image.manifest.json.at("annotations", "org.example") == "kept")
        #expect(image.manifest.layers.map(\.digest) == [Digest(of: [1]), Digest(of: [2])])
        #expect(image.manifest.config.digest == image.configBlob.descriptor.digest)
        #expect(image.config.json["os.version"] == "x")
        #expect(image.config.json["moby.buildkit"] == [:])
        #expect(image.config.setting("Healthcheck") == ["Test": []])
        #expect(image.config.environment == ["A=2", "B=3"])
        #expect(image.config.diffIDs == [Digest(of: [9]), Digest(of: [2])])
        #expect(image.config.platform == Platform(architecture: "arm64"))
        #expect(image.config.json.at("history")?.array?.last?["created_by"] == "test")
        // As many lines as layers: other programs build on nothing else.
        #expect(image.config.json.at("history")?.array?.count == image.config.diffIDs.count)
    }

    @Test(
        "what is no manifest is refused with the reason",
        arguments: [
            ("x", "not JSON"), ("{}", "not that of an image"), ("{\"fsLayers\": []}", "schema 1"),
            ("{\"config\": {}, \"layers\": []}", "without digest"),
            ("{\"config\": {\"digest\": \"md5:1\", \"size\": 1}, \"layers\": []}", "not a SHA-256 digest"),
        ])
    func bad(text: String, reason: String) throws {
        let stored = StoredManifest(mediaType: MediaType.ociManifest, bytes: Array(text.utf8))
        #expect {
            try ImageManifest(stored)
        } throws: { "\($0)".contains(reason) }
    }
}
