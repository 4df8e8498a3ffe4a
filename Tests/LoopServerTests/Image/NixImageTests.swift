import Glibc
import OCI
import Reactor
import TestCluster
import Testing

@testable import LoopServer

/// Real Nix, offline, with archives as `dockerTools` make them: nixpkgs itself is not here, so that its functions are
/// stood in for by derivations that copy an archive, or write the program that prints one.
@Suite(
    "Images by Nix", .serialized, .turn,
    .enabled(
        if: Installed.program("nix") != nil && DockerRegistry.obstacle == nil, "nix and docker-registry are needed")
) struct NixImageTests {
    /// An archive, a compressed one, a program that streams it, a layout, and something that is none of them.
    private static func expression(_ archive: String) -> String {
        """
        let
          build = name: text: derivation {
            inherit name; system = "\(PrivateStore.system)"; builder = "/bin/sh";
            archive = builtins.path { path = \(archive); name = "archive"; };
            args = [ "-c" text ];
          };
        in {
          archive = build "web.tar" "cat $archive >$out";
          compressed = build "web.tar.gz" "busybox gzip <$archive >$out || gzip <$archive >$out";
          stream = build "stream-web" ''
            printf '#!/bin/sh\\necho writing layers >&2\\ncat \(archive)\\n' >$out
            chmod +x $out
          '';
          failing = build "stream-web" ''
            printf '#!/bin/sh\\necho cannot write >&2\\nexit 3\\n' >$out
            chmod +x $out
          '';
          text = build "text" "echo hello >$out";
          broken = build "broken" "echo no such layer >&2; exit 1";
        }
        """
    }

    private func run(_ body: (ScratchPath, DockerRegistry, PrivateStore) async throws -> Void) async throws {
        let tree = try ScratchPath()
        let registry = try await DockerRegistry.start()
        do {
            let archive = "\(tree.path)/image.tar"
            var image = ImageContent(scratch: .host)
            image.configure { $0.command = ["/app"] }
            try await ImageArchive.write(image, names: ["web:latest"], to: archive)
            try tree.write("default.nix", NixImageTests.expression(archive))
            try await body(tree, registry, try PrivateStore())
        } catch {
            await registry.stop()
            throw error
        }
        await registry.stop()
    }

    private func build(
        _ attribute: String, _ tree: ScratchPath, _ registry: DockerRegistry, _ store: PrivateStore,
        alias: String? = nil
    ) async throws -> BuiltImage {
        let installable = Installable(.file("\(tree.path)/default.nix", attribute: attribute), in: tree.path)
        let inherited = ProcessEnvironment.inherited.merging(store.environment) { _, own in own }
        let builder = NixImageBuilder(
            image: Image("web", .nix(installable), alias: alias), installable: installable,
            access: ImageAccess.live(), leash: EngineFixture.leash, inherited: inherited)
        return try await builder.build(to: .registry(RegistryNames(push: registry.name))) { _ in }
    }

    @Test("an archive, compressed or streamed, is pushed under one tag; the second time nothing travels")
    func archives() async throws {
        try await run { tree, registry, store in
            let first = try await build("archive", tree, registry, store, alias: "dev")
            #expect(!first.isUnchanged)
            let tag = try #require(ImageName(first.reference).tag)
            #expect(first.reference.hasPrefix("\(registry.name)/web:loopd-"))
            let tags = try await Registry(registry.name).tags(in: "web")
            #expect(tags.sorted() == ["dev", tag].sorted())
            for attribute in ["archive", "compressed", "stream"] {
                let again = try await build(attribute, tree, registry, store, alias: "dev")
                #expect(again.reference == first.reference, "\(attribute)")
                #expect(again.isUnchanged, "\(attribute)")
                #expect(again.bytesSent == 0, "\(attribute)")
            }
        }
    }

    @Test("what is no image, or fails, is said as such")
    func failures() async throws {
        try await run { tree, registry, store in
            for (attribute, words) in [
                ("text", "is no image: neither an archive"),
                ("failing", "the program that streams it failed: exit code 3"),
                ("broken", "the build of broken failed"), ("absent", "absent"),
            ] {
                let thrown = await #expect(throws: LoopFailure.self, "\(attribute)") {
                    try await build(attribute, tree, registry, store)
                }
                #expect(thrown?.failure.summary.contains(words) == true, "\(attribute): \(String(describing: thrown))")
            }
        }
    }

    @Test("what a store path holds is known by its beginning")
    func kinds() throws {
        let tree = try ScratchPath()
        let tar = [UInt8](repeating: 0, count: 257) + Array("ustar".utf8) + [UInt8](repeating: 0, count: 250)
        try tree.write("a.tar", tar, mode: 0o444)
        try tree.write("a.tar.gz", [0x1F, 0x8B, 8, 0], mode: 0o444)
        try tree.write("a.tar.zst", [0x28, 0xB5, 0x2F, 0xFD], mode: 0o444)
        try tree.write("stream", Array("#!/bin/sh\n".utf8), mode: 0o555)
        try tree.write("wrapped/bin/stream-web", Array("#!/bin/sh\n".utf8), mode: 0o555)
        try tree.write("layout/oci-layout", "{}")
        try tree.write("layout/index.json", "{}")
        try tree.write("text", "hello")
        try tree.write("folder/file", "hello")
        func kind(_ name: String) -> NixImage? { NixImage(at: "\(tree.path)/\(name)") }
        #expect(kind("a.tar") == .archive)
        #expect(kind("a.tar.gz") == .archive)
        #expect(kind("a.tar.zst") == .archive)
        #expect(kind("stream") == .stream("\(tree.path)/stream"))
        #expect(kind("wrapped") == .stream("\(tree.path)/wrapped/bin/stream-web"))
        #expect(kind("layout") == .layout)
        for name in ["text", "folder", "absent"] { #expect(kind(name) == nil) }
    }
}
