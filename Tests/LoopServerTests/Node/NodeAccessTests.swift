import Synchronization
import Testing
import Watcher
import Wire

@testable import LoopServer

@Suite("The way onto a node", .timeLimit(.minutes(1))) struct NodeAccessTests {
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
}
