import Glibc
import OCI
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

@Suite("Images without an engine", .turn) struct AppendBuilderTests {
    @Test(
        "without a registry for the nodes the base is downloaded once, and nothing is written for nodes that have the image",
        .enabled(if: DockerRegistry.obstacle == nil, "\(DockerRegistry.obstacle ?? "")"))
    func nodes() async throws {
        try await DockerRegistry.run(deletes: false) { server in
            let (host, storage) = (server.name, server.content)
            var base = ImageContent(scratch: .host)
            base.append(try await Layer.pack([LayerEntry("base", .bytes(Array("base".utf8)))]))
            _ = try await Registry(host).push(base, to: "base", tags: ["1"])

            let folder = try ScratchTree()
            let written = Mutex<[String]>([])
            let asked = Mutex<[String]>([])
            let hasImage = Mutex(false)
            let path = folder.path
            var access = ImageAccess.live(Registries(leash: "/no/such/leash"), NodeImages(leash: "/no/such/leash"))
            access.load = { reference, source, _ in
                asked.withLock { $0.append(reference) }
                guard case .archive(let write) = source, !hasImage.withLock({ $0 }) else { return true }
                let archive = "\(path)/\(written.withLock { $0.count }).tar"
                try await write(archive)
                written.withLock { $0.append(archive) }
                return false
            }
            let recipe = AppendBuilder.Recipe(
                image: Image("acme/web", nil, alias: "dev"), base: { .image(ImageName("\(host)/base:1")) }, layers: [],
                configs: [])
            let builder = AppendBuilder(
                recipe, platform: { .host }, registries: Registries(leash: "/no/such/leash"), access: access)
            let built = try await builder.build(to: .nodes(.k3s)) { _ in }
            let tag = try #require(ImageName(built.reference).tag)
            #expect(built.reference == "acme/web:\(tag)" && !built.isUnchanged)
            // The registry has lost its content: what was downloaded is still here.
            ScratchTree.remove(
                "\(storage)/docker/registry/v2/blobs/sha256/\(base.layers[0].descriptor.digest.hex.prefix(2))")
            #expect(try await !builder.build(to: .nodes(.k3s)) { _ in }.isUnchanged)
            let archives = written.withLock { $0 }
            #expect(archives.count == 2)
            for archive in archives {
                let image = try await ImageArchive.read(archive)
                #expect(image.layers.map(\.diffID) == base.layers.map(\.diffID))
                let text = String(decoding: try SmallFile.read(archive, limit: 1 << 20), as: UTF8.self)
                #expect(text.contains("docker.io/acme/web:\(tag)") && text.contains("docker.io/acme/web:dev"))
            }
            hasImage.withLock { $0 = true }
            #expect(try await builder.build(to: .nodes(.k3s)) { _ in }.isUnchanged)
            #expect(written.withLock { $0.count } == 2)
            #expect(asked.withLock { $0 } == Array(repeating: "docker.io/acme/web:\(tag)", count: 3))
        }
    }
}
