import Glibc
import Synchronization
import Testing
import Watcher
import Wire

@testable import LoopServer

@Suite("The way onto a node", .turn) struct NodeAccessTests {
    @Test("pods are told of what they would find changed, and of what may have been; not of times and empty folders")
    func landings() async throws {
        let folder = try ScratchTree()
        let landings = Mutex(0)
        let helper = try await LocalContainer(others: folder.path).connect(to: LaneFixture.instance())
        let access = NodeAccess(helper, pod: "loopd-node-web-1") { landings.withLock { $0 += 1 } }
        #expect(access.description.hasSuffix("in pod loopd-node-web-1"))
        _ = try await access.open(
            Destination(path: folder.path, mirror: false, isListedWhole: false), number: 0)
        func commit(_ operation: FileOperation) async throws -> Int {
            _ = try await access.commit(destination: 0, [operation])
            return landings.withLock { $0 }
        }
        let path = RelativePath("share").bytes
        #expect(try await commit(.makeFolder(path: path, mode: 0o755)) == 0)
        #expect(try await commit(.touch(path: path, mode: 0o755, modified: 1)) == 0)
        #expect(try await commit(.link(path: RelativePath("tool").bytes, target: path)) == 1)
        #expect(try await commit(.remove(path: path, recursive: false)) == 2)
        // A failed operation has changed nothing.
        #expect(try await commit(.place(stage: 7, path: path, mode: 0o644, modified: 1)) == 2)
        access.drop()
        await #expect(throws: LinkError.self) {
            try await access.commit(destination: 0, [.remove(path: path, recursive: false)])
        }
        #expect(landings.withLock { $0 } == 3)
    }

    @Test("a slow helper has taken its staging folder away when the way has ended: its pod goes next")
    func slowEnd() async throws {
        let folder = try ScratchTree()
        let container = LocalContainer(others: folder.path, patience: .seconds(240))
        let access = NodeAccess(try await container.connect(to: LaneFixture.instance()), pod: "loopd-node-web-1") {}
        try folder.folder("out")
        _ = try await access.open(
            Destination(path: "\(folder.path)/out", mirror: false, isListedWhole: false), number: 0)
        let source = try ScratchTree()
        try source.write("a", "x")
        let tree = LocalTree(root: source.path)
        let file = try LocalFile(RelativePath("a"), in: tree, expected: try #require(tree.entry(RelativePath("a"))))
        _ = try await access.stage(destination: 0, stage: 1, path: RelativePath("a"), from: file) { _ in }
        #expect(ScratchTree.snapshot(folder.path) != ["out": "folder"])
        container.signalHelpers(SIGSTOP)
        let waking = Task {
            // Longer than a helper gets whose container stays.
            try await Task.sleep(for: .seconds(1))
            container.signalHelpers(SIGCONT)
        }
        await access.end()
        #expect(ScratchTree.snapshot(folder.path) == ["out": "folder"])
        try await waking.value
    }
}
