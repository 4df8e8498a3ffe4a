import Glibc
import Reactor
import Synchronization
import Testing
import Watcher
import Wire

@testable import LoopServer

/// A lane that brings closures from a folder that stands for Nix's store into one that stands for a container.
private final class ClosureFixture {
    let machine: ScratchTree
    let container: ScratchTree
    let local: LocalContainer
    let hooks = Hooks()
    let events = EventLog()
    let lane: ServiceLane
    private let store: NixStore
    static let pod = LaneFixture.instance(2)
    /// A pod on a node of another architecture.
    static let foreign = LaneFixture.instance(3)

    /// Where the container's files are on this disk.
    var root: String { container.path + "/uid-2" }

    init(container: ScratchTree? = nil, machine: ScratchTree? = nil, profile: String? = "/nix/var/profiles/app") throws
    {
        self.machine = try machine ?? ScratchTree()
        self.container = try container ?? ScratchTree()
        local = LocalContainer(others: self.container.path)
        store = NixStore(environment: ["NIX_REMOTE": self.machine.path])
        var service = Service(name: "app", root: self.machine.path)
        service.rules = [
            Rule(
                watch: [try Glob("**")],
                action: .closure(Closure(Installable(.flake(".#app"), in: "/"), profile: profile)),
                then: [.exec(["true"])])
        ]
        let plan = ServicePlan(service, project: self.machine.path)
        let log = events
        lane = ServiceLane(
            plan, tree: LocalTree(root: self.machine.path),
            connector: MixedNodes(
                own: HookedContainer(local, hooks), other: HookedContainer(local, Hooks(architecture: "s390x"))),
            pods: PodsDouble(),
            ignore: try IgnoreRules(root: self.machine.path, patterns: []),
            journal: Journal(path: nil, destinations: plan.destinations), emit: { log.add($0) })
    }

    /// Puts a store path into the machine's store: a folder as Nix makes it, with a file and a link.
    func add(_ name: String, _ text: String) throws {
        let folder = "nix/store/\(name)"
        try machine.write("\(folder)/bin/run", text, mode: 0o555)
        try machine.write("\(folder)/text", "of \(name)", mode: 0o444)
        try #require(symlink("run", "\(machine.path)/\(folder)/bin/link") == 0)
        for part in ["\(folder)/bin/run", "\(folder)/text"] {
            var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
            try #require(utimensat(AT_FDCWD, "\(machine.path)/\(part)", &times, 0) == 0)
        }
        for part in ["\(folder)/bin", folder] { try #require(chmod("\(machine.path)/\(part)", 0o555) == 0) }
    }

    /// Takes a closure as Nix has built it.
    func take(_ names: [String], output: String, for system: String? = nil) async throws {
        let contents = try await ClosureContents.read(
            StoreClosure(output: output, names: Set(names)), in: store, known: await lane.knownStorePaths)
        let now = monotonicNow()
        #expect(await lane.takeClosure(contents, of: 0, for: system, firstEvent: now, settled: now))
        await lane.untilConverged()
    }

    func start(_ instances: [ContainerInstance] = [ClosureFixture.pod]) async {
        await lane.setInstances(instances)
        await lane.untilConverged()
    }

    func difference(_ names: [String], in pod: Int = 2) -> [String] {
        names.flatMap { name in
            let wanted = ScratchTree.snapshot("\(machine.path)/nix/store/\(name)")
            let present = ScratchTree.snapshot("\(container.path)/uid-\(pod)/nix/store/\(name)")
            return wanted == present && !wanted.isEmpty ? [] : ["\(name): \(wanted) is not \(present)"]
        }
    }

    var profile: String? { link("\(root)/nix/var/profiles/app") }

    var staged: [String] { hooks.calls.compactMap { if case .stage(let path) = $0 { path } else { nil } } }
    var steps: Int { hooks.calls.count { if case .run = $0 { true } else { false } } }
}

/// Containers on a node of this machine's kind, and one on another.
private struct MixedNodes: ContainerConnector {
    let own: HookedContainer
    let other: HookedContainer

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        try await (instance == ClosureFixture.foreign ? other : own).connect(to: instance)
    }
}

private func link(_ path: String) -> String? {
    var target = [CChar](repeating: 0, count: 4096)
    let count = readlink(path, &target, target.count)
    return count < 0 ? nil : String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

@Suite("Closures on their way into containers", .turn) struct ClosureTests {
    private static let dependencies = (0..<199).map { "h\($0)-dependency" }

    @Test("of two hundred store paths with one changed, only that one travels; the profile follows")
    func one() async throws {
        let fixture = try ClosureFixture()
        for name in ClosureTests.dependencies { try fixture.add(name, "a dependency") }
        try fixture.add("a1-app", "one")
        try fixture.add("a2-app", "two!")
        await fixture.start()
        let first = ClosureTests.dependencies + ["a1-app"]
        try await fixture.take(first, output: "a1-app")
        #expect(fixture.difference(first) == [])
        #expect(fixture.profile == "/nix/store/a1-app")

        let before = fixture.staged.count
        try await fixture.take(ClosureTests.dependencies + ["a2-app"], output: "a2-app")
        #expect(Set(fixture.staged[before...]) == ["a2-app/bin/run", "a2-app/text"])
        let landed = try #require(fixture.events.landed.last)
        #expect(landed.paths == ["a2-app", "/nix/var/profiles/app"])
        #expect(landed.bytesSent == Int64("two!".utf8.count + "of a2-app".utf8.count))
        #expect(fixture.profile == "/nix/store/a2-app")
        #expect(fixture.difference(["a2-app"]) == [])

        // Back to what the container still has: nothing travels but the link.
        let staged = fixture.staged.count
        try await fixture.take(first, output: "a1-app")
        #expect(fixture.staged.count == staged)
        #expect(fixture.profile == "/nix/store/a1-app")
        #expect(fixture.steps == 3)
        await fixture.lane.end()
    }

    @Test("store paths keep modes and times, folders too")
    func modes() async throws {
        let fixture = try ClosureFixture()
        try fixture.add("a1-app", "one")
        await fixture.start()
        try await fixture.take(["a1-app"], output: "a1-app")
        for (path, mode) in [("", 0o555), ("/bin", 0o555), ("/bin/run", 0o555), ("/text", 0o444)] as [(String, mode_t)]
        {
            var status = stat()
            try #require(stat("\(fixture.root)/nix/store/a1-app\(path)", &status) == 0)
            #expect(status.st_mode & 0o777 == mode, "\(path)")
            if status.st_mode & S_IFMT == S_IFREG { #expect(status.st_mtim.tv_sec == 1) }
        }
        await fixture.lane.end()
    }

    @Test("the same output again sends nothing and runs no step")
    func same() async throws {
        let fixture = try ClosureFixture()
        try fixture.add("a1-app", "one")
        await fixture.start()
        try await fixture.take(["a1-app"], output: "a1-app")
        let calls = fixture.hooks.calls.count
        try await fixture.take(["a1-app"], output: "a1-app")
        #expect(fixture.hooks.calls.count == calls)
        await fixture.lane.end()
    }

    @Test("what the image has already is not sent, and of half a store path only the other half")
    func present() async throws {
        let container = try ScratchTree()
        let machine = try ScratchTree()
        let earlier = try ClosureFixture(container: container, machine: machine)
        try earlier.add("d1-dependency", "whole")
        try earlier.add("d2-dependency", "half")
        try earlier.add("a1-app", "one")
        await earlier.start()
        try await earlier.take(["d1-dependency", "d2-dependency"], output: "d2-dependency")
        await earlier.lane.end()
        let missing = "\(earlier.root)/nix/store/d2-dependency/text"
        try #require(chmod(earlier.root + "/nix/store/d2-dependency", 0o755) == 0 && unlink(missing) == 0)

        // Known before the container is connected, and after.
        for isKnown in [true, false] {
            let fixture = try ClosureFixture(container: container, machine: machine)
            if !isKnown { await fixture.start() }
            let names = isKnown ? ["d1-dependency", "d2-dependency"] : ["d1-dependency", "d2-dependency", "a1-app"]
            let contents = try await ClosureContents.read(
                StoreClosure(output: names[names.count - 1], names: Set(names)),
                in: NixStore(environment: ["NIX_REMOTE": machine.path]), known: [])
            await fixture.lane.takeClosure(contents, of: 0, firstEvent: 0, settled: 0)
            if isKnown { await fixture.start() }
            await fixture.lane.untilConverged()
            #expect(Set(fixture.staged) == (isKnown ? ["d2-dependency/text"] : ["a1-app/bin/run", "a1-app/text"]))
            #expect(fixture.difference(names) == [])
            await fixture.lane.end()
        }
    }

    @Test("a helper that is killed in the middle: the next way brings what is missing, and the profile waits for it")
    func killed() async throws {
        let fixture = try ClosureFixture()
        for name in ClosureTests.dependencies.prefix(20) { try fixture.add(name, "a dependency") }
        try fixture.add("a1-app", "one")
        let names = ClosureTests.dependencies.prefix(20) + ["a1-app"]
        let kill = Once()
        let broken = Mutex<[String]>([])
        let (local, root) = (fixture.local, fixture.root)
        fixture.hooks.before { call in
            switch call {
            case .stage where kill.take(): local.killHelpers()
            case .commit(let paths) where paths == ["app"]:
                let missing = names.filter { access("\(root)/nix/store/\($0)/bin/run", X_OK) != 0 }
                broken.withLock { $0 += missing }
            default: break
            }
        }
        await fixture.start()
        try await fixture.take(Array(names), output: "a1-app")
        #expect(!kill.take())
        #expect(fixture.difference(Array(names)) == [])
        #expect(fixture.profile == "/nix/store/a1-app")
        #expect(broken.withLock { $0 } == [])
        await fixture.lane.end()
    }

    @Test("a file that cannot land: the profile stays with the old closure and no step runs, until it can")
    func refused() async throws {
        let fixture = try ClosureFixture()
        try fixture.add("a1-app", "one")
        try fixture.add("a2-app", "two")
        try fixture.add("a3-app", "three")
        await fixture.start()
        try await fixture.take(["a1-app"], output: "a1-app")
        let isFull = Atomic<Bool>(true)
        fixture.hooks.before { call in
            guard case .stage("a2-app/text") = call, isFull.load(ordering: .relaxed) else { return }
            throw LinkError.refused(
                Failure(
                    .stage, code: ENOSPC, path: Array("a2-app/text".utf8), uid: 0,
                    text: Array("No space left on device".utf8)))
        }
        try await fixture.take(["a1-app", "a2-app"], output: "a2-app")
        #expect(fixture.profile == "/nix/store/a1-app")
        #expect(fixture.steps == 1)
        #expect(fixture.events.skipped.contains { $0.contains("No space left on device") })
        isFull.store(false, ordering: .relaxed)
        try await fixture.take(["a2-app", "a3-app"], output: "a3-app")
        #expect(fixture.difference(["a2-app", "a3-app"]) == [])
        #expect(fixture.profile == "/nix/store/a3-app")
        #expect(fixture.steps == 2)
        await fixture.lane.end()
    }

    @Test("files that the store's optimisation has given another inode or change time are still brought")
    func optimised() async throws {
        let fixture = try ClosureFixture()
        for name in ["a1-app", "d1-dependency"] { try fixture.add(name, "the same") }
        await fixture.start()
        try await fixture.take(["a1-app", "d1-dependency"], output: "a1-app")
        // A second name changes the change time, and the other file becomes the same inode.
        let store = "\(fixture.machine.path)/nix/store"
        let (kept, merged) = ("\(store)/a1-app/bin/run", "\(store)/d1-dependency/bin/run")
        try #require(chmod("\(store)/d1-dependency/bin", 0o755) == 0 && unlink(merged) == 0)
        try #require(Glibc.link(kept, merged) == 0 && chmod("\(store)/d1-dependency/bin", 0o555) == 0)
        await fixture.start([ClosureFixture.pod, LaneFixture.instance(4)])
        #expect(fixture.difference(["a1-app", "d1-dependency"], in: 4) == [])
        #expect(link("\(fixture.container.path)/uid-4/nix/var/profiles/app") == "/nix/store/a1-app")
        #expect(fixture.events.failed.isEmpty)
        await fixture.lane.end()
    }

    @Test("a file that has left the store is said once, and the next build brings it")
    func collected() async throws {
        let fixture = try ClosureFixture()
        try fixture.add("a1-app", "one")
        try await fixture.takeUnheard(["a1-app"], output: "a1-app")
        let folder = "\(fixture.machine.path)/nix/store/a1-app"
        try #require(chmod(folder, 0o755) == 0 && unlink("\(folder)/text") == 0 && chmod(folder, 0o555) == 0)
        await fixture.start()
        #expect(
            fixture.events.failed.map(\.summary) == ["/nix/store/a1-app is not in the store any more, or not as it was"]
        )
        #expect(fixture.profile == nil)
        #expect(fixture.steps == 0)
        try #require(chmod(folder, 0o755) == 0 && chmod("\(folder)/bin", 0o755) == 0)
        try #require(unlink("\(folder)/bin/link") == 0)
        try fixture.add("a1-app", "one")
        try await fixture.take(["a1-app"], output: "a1-app")
        #expect(fixture.difference(["a1-app"]) == [])
        #expect(fixture.profile == "/nix/store/a1-app")
        #expect(fixture.events.failed.count == 1)
        await fixture.lane.end()
    }

    @Test("a closure that was read beside what is not known any more is read again")
    func overtaken() async throws {
        let fixture = try ClosureFixture()
        for name in ["a1-app", "d1-dependency"] { try fixture.add(name, name) }
        let contents = try await ClosureContents.read(
            StoreClosure(output: "a1-app", names: ["a1-app", "d1-dependency"]),
            in: NixStore(environment: ["NIX_REMOTE": fixture.machine.path]), known: ["d1-dependency"])
        #expect(await !fixture.lane.takeClosure(contents, of: 0, firstEvent: 0, settled: 0))
        #expect(await fixture.lane.knownStorePaths.isEmpty)
        await fixture.lane.end()
    }

    @Test("a closure for other nodes is withheld from a pod that could not run it, and the others get it")
    func mixed() async throws {
        let fixture = try ClosureFixture()
        try fixture.add("a1-app", "one")
        // Large files travel before their batch.
        try fixture.machine.write("nix/store/d1-large/data", [UInt8](repeating: 7, count: 9 << 20), mode: 0o444)
        await fixture.start([ClosureFixture.pod, ClosureFixture.foreign])
        for name in ["a1-app", "a2-app"] {
            if name == "a2-app" { try fixture.add(name, "two") }
            try await fixture.take([name, "d1-large"], output: name, for: NixSystem.native)
            #expect(fixture.difference([name, "d1-large"]) == [])
            #expect(fixture.profile == "/nix/store/\(name)")
        }
        #expect(ScratchTree.snapshot("\(fixture.container.path)/uid-3/nix/store").isEmpty)
        #expect(link("\(fixture.container.path)/uid-3/nix/var/profiles/app") == nil)
        #expect(
            fixture.events.failed.map(\.summary) == [
                "pod web-3 is on an s390x node, the closure is for \(NixSystem.native)"
            ])
        #expect(await !fixture.lane.isWhole)
        #expect(fixture.steps == 2)
        await fixture.lane.end()
    }

    @Test("a container that comes later gets the newest closure only")
    func later() async throws {
        let fixture = try ClosureFixture(profile: nil)
        for name in ["a1-app", "a2-app", "d1-dependency"] { try fixture.add(name, name) }
        try await fixture.takeUnheard(["a1-app", "d1-dependency"], output: "a1-app")
        try await fixture.takeUnheard(["a2-app", "d1-dependency"], output: "a2-app")
        await fixture.start()
        #expect(fixture.difference(["a2-app", "d1-dependency"]) == [])
        #expect(access("\(fixture.root)/nix/store/a1-app", F_OK) != 0)
        await fixture.lane.end()
    }
}

extension ClosureFixture {
    /// Takes a closure while there is no container.
    fileprivate func takeUnheard(_ names: [String], output: String) async throws {
        let contents = try await ClosureContents.read(
            StoreClosure(output: output, names: Set(names)),
            in: NixStore(environment: ["NIX_REMOTE": machine.path]), known: await lane.knownStorePaths)
        await lane.takeClosure(contents, of: 0, firstEvent: 0, settled: 0)
    }
}
