import JSON
import Reactor
import TestCluster
import Testing

@Suite("Programs that would not run where they go", .turn) struct ElfTests {
    /// A service whose build copies `src/server`, which goes to `/srv/server`.
    private static func configure(_ scene: Scene, merging more: JSON = [:]) throws {
        let build = "mkdir -p out && cp src/server out/new && mv out/new out/server"
        try scene.project.configure(
            scene.configuration(
                [
                    "app": [
                        "workload": "deployment/app",
                        "rules": [
                            [
                                "watch": ["src/**"], "build": ["sh", "-c", .string(build)],
                                "sideload": ["from": "out/server", "to": "/srv/"],
                            ]
                        ],
                    ]
                ], merging: more))
        try scene.project.write(".gitignore", "out/\nnew\n")
    }

    /// Puts a new program in the build's way and waits for what comes of it.
    private static func save(
        _ bytes: [UInt8], in scene: Scene, _ loopd: Loopd, until event: String
    ) async throws -> JSON {
        let place = loopd.log.count
        // Renamed from where nothing is watched: one change, and no build of half of it.
        try scene.project.write("new", bytes, mode: 0o755)
        try scene.project.rename("new", to: "src/server")
        return try await loopd.event(event, from: place, limit: .seconds(60))
    }

    /// A program of this machine that needs its C library.
    private static func dynamicProgram() throws -> [UInt8] { try Disk.read("/bin/true") }

    @Test("a script lands; another machine's program, half of one, and one without its loader do not")
    func refusals() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try Self.configure(scene)
            let script = "#!/bin/sh\necho one\n"
            try scene.project.write("src/server", script, mode: 0o755)
            let pod = try await scene.running()[0].name
            let loopd = try await scene.loopd("watch", "--verbose")
            _ = try await loopd.event("landed", limit: .seconds(60))
            #expect(try await scene.text("/srv/server", in: pod) == script)

            let whole = try Disk.read(Built.probe)
            var foreign = whole
            foreign[18] = 243
            let machine = try await Self.save(foreign, in: scene, loopd, until: "failed")
            #expect(machine["summary"]?.string?.hasPrefix("out/server is for riscv64, but node ") == true, "\(machine)")
            let half = try await Self.save(Array(whole.prefix(whole.count / 2)), in: scene, loopd, until: "failed")
            #expect(half["summary"]?.string?.hasPrefix("out/server is not whole: ") == true, "\(half)")
            let loader = try await Self.save(try Self.dynamicProgram(), in: scene, loopd, until: "failed")
            #expect(
                loader["summary"]?.string?.hasSuffix(
                    " (glibc), which the container does not have, nor any other C library") == true, "\(loader)")
            #expect(loader["nextStep"]?.string == "link it statically, or use an image with glibc")
            #expect(try await scene.text("/srv/server", in: pod) == script)

            _ = try await Self.save(whole, in: scene, loopd, until: "landed")
            try await scene.exec(pod, ["cmp", "/srv/server", "/probe"])
        }
    }

    @Test("in an image with nothing in it, the program's own container is asked")
    func scratch() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(image: .scratch))
            let image = try await TestImage.shell.name(on: scene.cluster)
            try Self.configure(scene, merging: ["cluster": ["helperImage": .string(image)]])
            try scene.project.write("src/server", try Self.dynamicProgram(), mode: 0o755)
            let loopd = try await scene.loopd("sync")
            #expect(try await loopd.end(limit: .seconds(60)) == .exited(1))
            let failed = try await loopd.event("failed")
            #expect(failed["summary"]?.string?.hasSuffix("nor any other C library") == true, "\(failed)")
        }
    }

    @Test("with a C library in the container, a missing library is named")
    func library() async throws {
        try await Scene.run { scene in
            // The playground's image with this machine's own programs.
            guard scene.cluster.isPlayground else { return }
            try await scene.deploy(Workload(container: ["image": "host", "command": ["sleep", "100000"]]))
            try Self.configure(scene)
            let program = try Self.dynamicProgram()
            try scene.project.write("src/server", program, mode: 0o755)
            let pod = try await scene.running()[0].name
            let loopd = try await scene.loopd("watch", "--verbose")
            _ = try await loopd.event("landed", limit: .seconds(60))
            var lacking = program
            let name = try #require(program.firstRange(of: Array("\0libc.so.6\0".utf8)))
            lacking.replaceSubrange(name, with: Array("\0libgone.6\0".utf8))
            let failed = try await Self.save(lacking, in: scene, loopd, until: "failed")
            #expect(failed["summary"]?.string == "out/server needs libgone.6, which the container does not have")
            try await scene.exec(pod, ["/srv/server"])
        }
    }
}
