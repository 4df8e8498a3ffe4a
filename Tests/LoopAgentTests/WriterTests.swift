import Glibc
import Reactor
import Testing
import Wire

@Suite("One writer per destination")
struct WriterTests {
    @Test("a newer generation takes over, and the older one's commit is refused by its number")
    func newerWins() async throws {
        try await withFolder { folder in
            let old = try await HelperClient.connect(generation: 5)
            let its = try await old.open(folder + "/app", generation: 5)
            _ = try await old.stage(1, "a", [UInt8]("old"), in: its.destination)
            let new = try await HelperClient.connect(generation: 6)
            let mine = try await new.open(folder + "/app", generation: 6)
            #expect(try await new.put("a", "new", in: mine.destination, generation: 6).code == 0)
            do {
                _ = try await old.commit(
                    [.place(stage: 1, path: [UInt8]("a"), mode: 0o644, modified: 0)], in: its.destination,
                    generation: 5)
                Issue.record("the older generation's commit was accepted")
            } catch let error as Unexpected {
                guard case .failure(let failure)? = error.message else { throw error }
                #expect(failure.code == ESTALE)
                #expect(failure.text.text.contains("generation 6 writes here now, this is generation 5"))
            }
            try await old.end()
            #expect(Disk.text(folder + "/app/a") == "new")
            // The older one's end must not take the newer one's staging place away.
            #expect(try await new.put("b", "still", in: mine.destination, generation: 6).code == 0)
            try await new.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test("an older generation cannot open what a newer one writes")
    func olderIsRefused() async throws {
        try await withFolder { folder in
            let new = try await HelperClient.connect(generation: 9)
            _ = try await new.open(folder + "/app", generation: 9)
            let old = try await HelperClient.connect(generation: 8)
            do {
                _ = try await old.open(folder + "/app", generation: 8)
                Issue.record("an older generation was let in")
            } catch let error as Unexpected {
                guard case .failure(let failure)? = error.message else { throw error }
                #expect(failure.code == ESTALE)
                #expect(failure.text.text.contains("generation 9"))
            }
            try await old.end()
            try await new.end()
        }
    }

    @Test("of two sessions with one generation the later one writes")
    func laterSessionWins() async throws {
        try await withFolder { folder in
            let first = try await HelperClient.connect()
            let its = try await first.open(folder + "/app")
            let second = try await HelperClient.connect()
            let mine = try await second.open(folder + "/app")
            #expect(try await second.put("a", "second", in: mine.destination).code == 0)
            await #expect(throws: Unexpected.self) {
                _ = try await first.commit([.link(path: [UInt8]("l"), target: [UInt8]("a"))], in: its.destination)
            }
            try await first.end()
            try await second.end()
            #expect(Disk.names(folder + "/app") == ["a"])
        }
    }

    @Test("what a killed helper left staged is removed at the next open, and no file is torn")
    func killed() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/a", "whole")
            let victim = try await HelperClient.connect(generation: 1)
            let its = try await victim.open(folder + "/app", generation: 1)
            _ = try await victim.stage(1, "b", [UInt8]("staged"), in: its.destination)
            // Half of a content, then the end.
            let stream = await victim.newStream()
            try await victim.send(
                .stage(Stage(destination: its.destination, stage: 2, sizeHint: 8, path: [UInt8]("a"))), on: stream)
            try await victim.send(.data([UInt8]("half")), on: stream)
            try await victim.send(.ping(1))
            _ = await victim.receive(on: 0)
            victim.child.signal(SIGKILL)
            _ = await victim.child.wait()
            #expect(Disk.text(folder + "/app/a") == "whole")
            #expect(Disk.names(its.staging.text).count == 3)
            let next = try await HelperClient.connect(generation: 2)
            let mine = try await next.open(folder + "/app", generation: 2)
            #expect(Disk.names(mine.staging.text) == ["lock"])
            try await next.end()
            #expect(Disk.names(folder) == ["app"])
            #expect(Disk.text(folder + "/app/a") == "whole")
        }
    }

    @Test("a killed writer whose clock was ahead does not keep later ones out")
    func clockAhead() async throws {
        try await withFolder { folder in
            let ahead = try await HelperClient.connect(generation: 9)
            _ = try await ahead.open(folder + "/app", generation: 9)
            ahead.child.signal(SIGKILL)
            _ = await ahead.child.wait()
            let next = try await HelperClient.connect(generation: 8)
            let mine = try await next.open(folder + "/app", generation: 8)
            #expect(try await next.put("a", "x", in: mine.destination, generation: 8).code == 0)
            try await next.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test(
        "what another user's killed helper left does not keep this one out",
        .enabled(if: geteuid() == 0, "needs root"), arguments: [true, false])
    func otherUsersPlace(_ isInside: Bool) async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            chmod(folder + "/app", 0o777)
            chmod(folder, isInside ? 0o755 : 0o777)
            let helper = folder + "/LoopAgent"
            Disk.write(helper, try #require(Disk.bytes(Built.helper)), mode: 0o755)
            func user(_ id: Int) -> [String] { ["setpriv", "--reuid=\(id)", "--regid=\(id)", "--clear-groups"] }
            let victim = try await HelperClient.connect(wrapper: user(12345), helper: helper)
            let its = try await victim.open(folder + "/app")
            victim.child.signal(SIGKILL)
            _ = await victim.child.wait()
            let next = try await HelperClient.connect(generation: 2, wrapper: user(23456), helper: helper)
            let mine = try await next.open(folder + "/app", generation: 2)
            #expect(mine.obstacle == 0)
            #expect(mine.staging != its.staging)
            #expect(try await next.put("a", "x", in: mine.destination, generation: 2).code == 0)
            #expect(try await next.list(List(destination: mine.destination)).entries.map(\.path.text) == ["a"])
            try await next.end()
            #expect(!Disk.exists(mine.staging.text))
        }
    }

    @Test("two rules with one destination share a session without disturbing each other")
    func twice() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let one = try await client.open(folder + "/app")
            let two = try await client.open(folder + "/app")
            _ = try await client.stage(1, "a", [UInt8]("one"), in: one.destination)
            _ = try await client.stage(1, "b", [UInt8]("two"), in: two.destination)
            for (opened, name) in [(one, "a"), (two, "b")] {
                let results = try await client.commit(
                    [.place(stage: 1, path: [UInt8](name), mode: 0o644, modified: 0)], in: opened.destination)
                #expect(results.map(\.code) == [0])
            }
            try await client.close(one.destination)
            #expect(try await client.put("c", "three", in: two.destination).code == 0)
            try await client.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }
}
