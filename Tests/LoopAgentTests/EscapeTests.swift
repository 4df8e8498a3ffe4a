import Glibc
import Reactor
import Testing
import Wire

/// The kernel's own resolution, and the walk by descriptor that stands in for it.
let resolutions = [["serve"], ["serve", "--walk"]]

@Suite("Nothing is written outside the destination")
struct EscapeTests {
    @Test("links that lead out, parents and absolute paths are refused", arguments: resolutions)
    func refused(_ arguments: [String]) async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            Disk.makeFolder(folder + "/outside")
            Disk.write(folder + "/outside/victim", "safe")
            Disk.makeLink(app + "/absolute", to: folder + "/outside")
            Disk.makeLink(app + "/relative", to: "../outside")
            Disk.makeLink(app + "/chain", to: "relative")
            Disk.makeLink(app + "/magic", to: "/proc/self/root" + folder + "/outside")
            Disk.makeLink(app + "/loop", to: "loop")
            let client = try await HelperClient.connect(arguments: arguments)
            let opened = try await client.open(app)
            let paths = [
                "absolute/victim", "relative/victim", "chain/victim", "magic/victim", "loop/victim",
                "../outside/victim",
                "x/../../outside/victim", folder + "/outside/victim", "", ".", "..", "a//b", "a/", ".loopd/x", "a\0b",
                String(repeating: "a/", count: 100_000) + "a",
            ]
            for path in paths {
                _ = try await client.stage(1, path, [UInt8]("evil"), in: opened.destination)
                let results = try await client.commit(
                    [
                        .place(stage: 1, path: [UInt8](path), mode: 0o644, modified: 0),
                        .makeFolder(path: [UInt8](path), mode: 0o777),
                        .link(path: [UInt8](path), target: [UInt8]("x")),
                        .touch(path: [UInt8](path), mode: 0o777, modified: 0),
                        .remove(path: [UInt8](path), recursive: true),
                    ], in: opened.destination)
                #expect(results.allSatisfy { $0.code != 0 }, "\(path): \(results.map(\.code))")
            }
            #expect(Disk.names(folder) == Disk.names(folder).filter { $0 != "x" })
            #expect(Disk.names(folder + "/outside") == ["victim"])
            #expect(Disk.text(folder + "/outside/victim") == "safe")
            #expect(Disk.mode(folder + "/outside/victim") == 0o644)
            let digests = try await client.digest([[UInt8]("relative/victim")], in: opened.destination)
            #expect(digests.digests.isEmpty)
            #expect(digests.failures.map(\.code) == [EXDEV])
            try await client.end()
        }
    }

    @Test("links that stay inside are followed as the container would", arguments: resolutions)
    func inside(_ arguments: [String]) async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.makeFolder(folder + "/app/v1")
            Disk.makeFolder(folder + "/app/sub")
            Disk.makeLink(folder + "/app/sub/current", to: "../v1/./")
            let client = try await HelperClient.connect(arguments: arguments)
            let opened = try await client.open(folder + "/app")
            #expect(try await client.put("sub/current/a", "x", in: opened.destination).code == 0)
            #expect(Disk.text(folder + "/app/v1/a") == "x")
            try await client.end()
        }
    }

    @Test("a link as the last name is replaced, not followed", arguments: resolutions)
    func lastName(_ arguments: [String]) async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/victim", "safe")
            Disk.makeLink(folder + "/app/a", to: folder + "/victim")
            let client = try await HelperClient.connect(arguments: arguments)
            let opened = try await client.open(folder + "/app")
            #expect(try await client.put("a", "new", in: opened.destination).code == 0)
            #expect(Disk.text(folder + "/victim") == "safe")
            #expect(Disk.text(folder + "/app/a") == "new")
            try await client.end()
        }
    }

    @Test("below a root prefix, absolute links and parents end at that root", arguments: resolutions)
    func rootPrefix(_ arguments: [String]) async throws {
        try await withFolder { folder in
            let root = folder + "/root"
            for path in ["", "/data", "/srv"] { Disk.makeFolder(root + path) }
            Disk.makeLink(root + "/srv/app", to: "/data/app")
            Disk.makeLink(root + "/srv/up", to: "../../../../data/up")
            Disk.makeFolder(root + "/data/app")
            let client = try await HelperClient.connect(arguments: arguments)
            let linked = try await client.open("/srv/app", root: root)
            #expect(linked.kind == .folder)
            #expect(try await client.put("a", "x", in: linked.destination).code == 0)
            #expect(Disk.text(root + "/data/app/a") == "x")
            Disk.makeFolder(root + "/data/up")
            let up = try await client.open("/srv/up/new/deep", root: root)
            #expect(up.kind == .created)
            #expect(Disk.isFolder(root + "/data/up/new/deep"))
            try await client.end()
            #expect(Disk.names(folder) == ["root"])
            #expect(Disk.names(root) == ["data", "srv"])
        }
    }

    @Test("a folder that is swapped for a link again and again never lets a write out", arguments: resolutions)
    func race(_ arguments: [String]) async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            Disk.makeFolder(app + "/d")
            Disk.makeFolder(folder + "/outside")
            Disk.makeLink(app + "/l", to: folder + "/outside")
            let client = try await HelperClient.connect(arguments: arguments)
            let opened = try await client.open(app)
            let attacker = Task.detached {
                var swaps = 0
                while !Task.isCancelled {
                    rename(app + "/d", app + "/t")
                    rename(app + "/l", app + "/d")
                    rename(app + "/d", app + "/l")
                    rename(app + "/t", app + "/d")
                    swaps += 1
                    await Task.yield()
                }
                return swaps
            }
            var landed = 0
            var refused = 0
            for _ in 0..<300 {
                _ = try await client.stage(1, "d/f", [UInt8]("x"), in: opened.destination)
                let results = try await client.commit(
                    [
                        .place(stage: 1, path: [UInt8]("d/f"), mode: 0o644, modified: 0),
                        .makeFolder(path: [UInt8]("d/g"), mode: 0o755),
                        .link(path: [UInt8]("d/h"), target: [UInt8]("x")),
                        .remove(path: [UInt8]("d/h2"), recursive: true),
                    ], in: opened.destination)
                landed += results.filter { $0.code == 0 }.count
                refused += results.filter { $0.code != 0 }.count
            }
            attacker.cancel()
            #expect(await attacker.value > 0)
            #expect(landed + refused == 1200)
            #expect(landed > 0)
            #expect(Disk.names(folder + "/outside").isEmpty)
            try await client.end()
        }
    }
}
