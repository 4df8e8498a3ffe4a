import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@testable import OCI

@Suite("Images in files", .timeLimit(.minutes(5)))
struct ArchiveTests {
    private static func image() async throws -> ImageContent {
        var image = ImageContent(scratch: .host)
        image.append(try await Layer.pack([LayerEntry("bin/app", .bytes(noise(70_000)), mode: 0o755)]))
        image.append(try await Layer.pack([LayerEntry("etc/config", .bytes(noise(900, seed: 2)))]))
        // The same content twice is one file in an archive.
        image.append(try await Layer.pack([LayerEntry("etc/config", .bytes(noise(900, seed: 2)))]))
        image.configure {
            $0.entrypoint = ["/bin/app"]
            $0.user = "1000"
        }
        return image
    }

    private static func content(_ layer: Layer) async throws -> [UInt8] {
        try await layer.blob.read(at: 0, count: Int(layer.descriptor.size))
    }

    @Test("an image that is written as an archive is read again, also through gzip")
    func roundTrip() async throws {
        let scratch = try Scratch()
        let image = try await Self.image()
        let path = "\(scratch.path)/image.tar"
        try await ImageArchive.write(image, names: ["web:1"], to: path)
        let packed = try await Child.succeed(["gzip", "-c", path])
        let zipped = try scratch.write("image.tar.gz", packed.standardOutput)
        for file in [path, zipped] {
            let found = try await ImageArchive.read(file, temporaryFolder: scratch.path)
            #expect(found.config.bytes == image.config.bytes)
            #expect(found.layers.map(\.descriptor) == image.layers.map(\.descriptor))
            for (one, other) in zip(found.layers, image.layers) {
                #expect(try await Self.content(one) == (try await Self.content(other)))
            }
        }
        // Nothing unpacked, and no draft, is left.
        let names = try await Child.succeed(["ls", scratch.path]).text.split(separator: "\n")
        #expect(names == ["image.tar", "image.tar.gz"])
    }

    @Test(
        "other programs read what is written, and write what is read", .enabled(if: Installed.program("skopeo") != nil))
    func skopeo() async throws {
        let scratch = try Scratch()
        let image = try await Self.image()
        let path = "\(scratch.path)/image.tar"
        try await ImageArchive.write(image, names: ["localhost/web:1"], to: path)
        let config = try await Child.succeed(["skopeo", "inspect", "--config", "--raw", "docker-archive:\(path)"])
        #expect(try JSON(parsing: config.standardOutput) == image.config.json)
        for target in [
            "oci:\(scratch.path)/layout:1", "oci-archive:\(scratch.path)/layout.tar:1",
            "docker-archive:\(scratch.path)/copy.tar:web:1",
        ] {
            try await Child.succeed(["skopeo", "copy", "docker-archive:\(path)", target])
        }
        for file in ["layout", "layout.tar", "copy.tar"] {
            let found = try await ImageArchive.read("\(scratch.path)/\(file)")
            #expect(found.config.diffIDs == image.config.diffIDs, "\(file)")
            #expect(found.config.entrypoint == ["/bin/app"])
            #expect(found.layers.count == 3)
        }
    }

    @Test(
        "an archive goes into a registry, and a registry's image into an archive",
        .enabled(if: RegistryProcess.missing == nil))
    func registry() async throws {
        try await withRegistry { process, scratch in
            let image = try await Self.image()
            let path = "\(scratch.path)/image.tar"
            try await ImageArchive.write(image, names: ["web:1"], to: path)
            let registry = Registry(process.name)
            let archived = try await ImageArchive.read(path)
            #expect(try await registry.push(archived, to: "web", tags: ["1"]).blobsSent == 3)
            let again = "\(scratch.path)/again.tar"
            let remote = try await registry.image("1", in: "web", platform: .host)
            try await ImageArchive.write(remote, names: ["web:1"], to: again)
            #expect(try Disk.read(again) == (try Disk.read(path)))
        }
    }

    @Test("containerd takes an archive", .enabled(if: (Installed.program("ctr") != nil) && getuid() == 0))
    func containerd() async throws {
        let scratch = try Scratch()
        let path = "\(scratch.path)/image.tar"
        try await ImageArchive.write(try await Self.image(), names: ["docker.io/library/web:1"], to: path)
        try await withContainerd(scratch) { address in
            try await Child.succeed(["ctr", "--address", address, "images", "import", "--no-unpack", path])
            let listed = try await Child.succeed(["ctr", "--address", address, "images", "ls", "--quiet"])
            #expect(listed.text == "docker.io/library/web:1\n")
        }
    }

    /// A containerd of the test's own; it is skipped where none can run.
    private func withContainerd(_ scratch: Scratch, _ body: (String) async throws -> Void) async throws {
        let address = "\(scratch.path)/containerd.sock"
        try scratch.write(
            "containerd.toml",
            """
            version = 2
            root = "\(scratch.path)/root"
            state = "\(scratch.path)/state"
            disabled_plugins = ["io.containerd.grpc.v1.cri"]
            [grpc]
              address = "\(address)"
            """)
        var launch = Launch(["containerd", "--config", "\(scratch.path)/containerd.toml"])
        launch.standardOutput = .null
        launch.standardError = .pipe
        let child = try await Child.spawn(launch)
        try await within(.seconds(30), "containerd serves") {
            var text = ""
            while let bytes = try await child.standardError?.read(), !bytes.isEmpty {
                text += String(decoding: bytes, as: UTF8.self)
                if text.contains("containerd successfully booted") { return }
            }
            throw Trouble("containerd ended: \(text)")
        }
        let log = Task { while let bytes = try? await child.standardError?.read(), !bytes.isEmpty {} }
        do {
            try await body(address)
        } catch {
            await child.terminate(grace: .seconds(5))
            throw error
        }
        await child.terminate(grace: .seconds(5))
        log.cancel()
    }

    /// A tar of these files, as other programs write it.
    private static func tar(_ files: [(String, [UInt8])]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (name, content) in files {
            bytes += TarHeader.bytes(
                .init(path: Array(name.utf8), kind: .file, size: Int64(content.count), mode: 0o644))
            bytes += content
            bytes += TarHeader.padding(after: Int64(content.count))
        }
        return bytes + TarHeader.end
    }

    @Test("layers that older archives share by links are found, and links out of the archive lead nowhere")
    func links() async throws {
        let scratch = try Scratch()
        let layer = try await Self.content(try await Layer.pack([LayerEntry("a", .bytes([1]))]))
        let config: JSON = ["rootfs": ["diff_ids": [.string("\(Digest(of: layer))"), .string("\(Digest(of: layer))")]]]
        let list: JSON = [["Config": "c.json", "Layers": ["one/layer.tar", "two/layer.tar"]]]
        func archive(_ target: String) -> [UInt8] {
            let link = TarHeader.bytes(
                .init(path: Array("two/layer.tar".utf8), kind: .link, mode: 0o777, target: Array(target.utf8)))
            return link
                + Self.tar([("./c.json", config.bytes), ("one/layer.tar", layer), ("manifest.json", list.bytes)])
        }
        let good = try scratch.write("good.tar", archive("../one/layer.tar"))
        #expect(try await ImageArchive.read(good).layers.map(\.diffID) == [Digest(of: layer), Digest(of: layer)])
        for target in ["../../etc/passwd", "/etc/passwd", "layer.tar", "../two/layer.tar"] {
            let bad = try scratch.write("bad.tar", archive(target))
            await #expect {
                try await ImageArchive.read(bad)
            } throws: { "\($0)".contains("lacks the layer \"two/layer.tar\"") }
        }
    }

    @Test("what is no image says so with its path")
    func garbage() async throws {
        let scratch = try Scratch()
        let other: JSON = ["rootfs": ["diff_ids": [.string("\(Digest(of: []))")]]]
        let missing: JSON = [["Config": "c", "Layers": ["l"]]]
        let table: [(String, [UInt8], String)] = [
            ("empty", [], "not a tar archive"), ("text", Array("hello\n".utf8), "not a tar archive"),
            ("zeros", [UInt8](repeating: 0, count: 4096), "neither a docker archive nor"),
            ("other", Self.tar([("a", [1])]), "neither a docker archive nor an OCI layout"),
            ("list", Self.tar([("manifest.json", Array("[]".utf8))]), "lists no image"),
            ("config", Self.tar([("manifest.json", missing.bytes)]), "lacks the configuration"),
            (
                "wrong", Self.tar([("manifest.json", missing.bytes), ("c", other.bytes), ("l", [9])]),
                "not the one that the configuration names"
            ),
            ("cut", Array(Self.tar([("manifest.json", noise(9000))]).prefix(3000)), "in the middle of"),
            ("bad.gz", [0x1F, 0x8B, 8, 0, 1, 2, 3], "gzip cannot unpack it"),
            ("zstd", [0x28, 0xB5, 0x2F, 0xFD, 0], "zstd"), ("index", Self.tar([("index.json", [0x7B])]), "not JSON"),
        ]
        for (name, bytes, reason) in table {
            let path = try scratch.write(name, bytes)
            await #expect {
                try await ImageArchive.read(path, temporaryFolder: scratch.path)
            } throws: { error in
                "\(error)".hasPrefix("\(path): ") && "\(error)".contains(reason)
            }
        }
        await #expect(throws: SystemError.self) { try await ImageArchive.read("\(scratch.path)/nowhere") }
        await #expect(throws: ContentProblem.self) { try await ImageArchive.read("/dev/null") }
    }

    @Test("what unpacks to too much is given up")
    func bomb() async throws {
        let scratch = try Scratch()
        let packed = try await Child.succeed(["gzip", "-c"], input: [UInt8](repeating: 0, count: 8 << 20))
        let path = try scratch.write("bomb.gz", packed.standardOutput)
        await #expect {
            try await Decompression.plain(path, temporaryFolder: scratch.path, limit: 1 << 20)
        } throws: { "\($0)".contains("unpacks to more than") }
    }

    @Test("a broken archive gives an error, never more", arguments: 0..<4)
    func fuzz(round: Int) async throws {
        var generator = Seeded()
        print("archives: seed \(generator.seed)")
        let scratch = try Scratch()
        let path = "\(scratch.path)/image.tar"
        try await ImageArchive.write(try await Self.image(), names: ["web:1"], to: path)
        let good = try Disk.read(path)
        for _ in 0..<60 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                // Headers and documents are where decisions are made; the rest is content.
                let place =
                    Bool.random(using: &generator)
                    ? Int.random(in: 0..<1024, using: &generator) : bytes.indices.randomElement(using: &generator) ?? 0
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: bytes[min(place, bytes.count - 1)] = UInt8.random(in: 0...255, using: &generator)
                case 1: bytes.removeSubrange(min(place, bytes.count)..<min(bytes.count, place + 700))
                case 2: bytes = Array(bytes.prefix(place + 1))
                default: bytes.insert(contentsOf: bytes.prefix(512), at: min(place, bytes.count))
                }
                if bytes.isEmpty { bytes = [0] }
            }
            let file = try scratch.write("fuzzed.tar", bytes)
            do {
                let found = try await ImageArchive.read(file)
                // What is taken is what it is called.
                for layer in found.layers {
                    let content = try await Self.content(layer)
                    #expect(Digest(of: content) == layer.descriptor.digest, "seed \(generator.seed)")
                }
            } catch is ContentProblem {
                continue
            }
        }
    }
}
