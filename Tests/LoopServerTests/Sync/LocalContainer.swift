import Glibc
import Reactor
import Synchronization
import Testing

@testable import LoopServer

/// A folder that stands for a container, with the real helper as its child: everything but the cluster.
final class LocalContainer: ContainerConnector {
    private let helpers = Mutex<[Child]>([])
    private let generation = Atomic<UInt64>(1)
    /// The folder with the roots of all pods but the first, whose root is the machine's.
    private let others: String

    init(others: String) { self.others = others }

    /// The helper that the build made, beside the test bundle.
    static var helper: String {
        get throws {
            let folder = try #require(CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? Programs.executable)
            return folder[..<(try #require(folder.lastIndex(of: "/")))] + "/LoopAgent"
        }
    }

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        var launch = Launch([try LocalContainer.helper, "serve"])
        launch.standardInput = .pipe
        launch.standardError = .inherit
        let child = try await Child.spawn(launch)
        helpers.withLock { $0.append(child) }
        let number = generation.add(1, ordering: .relaxed).newValue
        let link = try await HelperLink.open(PipeChannel(child), generation: number)
        let uid = instance.id.podUID
        let root = uid == "uid-1" ? "" : "\(others)/\(uid)"
        if !root.isEmpty { mkdir(root, 0o755) }
        return LinkAccess(link, root: root, removesHelper: false, description: "a helper beside the test")
    }

    /// Kills whatever helpers run.
    func killHelpers() {
        for child in helpers.withLock({ $0 }) { child.signal(SIGKILL) }
    }
}

/// A child's pipes as a channel.
struct PipeChannel: HelperChannel {
    private let child: Child

    init(_ child: Child) { self.child = child }

    func send(_ bytes: [UInt8]) async throws { try await child.standardInput?.write(bytes) }
    func receive() async throws -> [UInt8] { try await child.standardOutput?.read() ?? [] }
    func close() {
        child.standardInput?.close()
        child.standardOutput?.close()
    }
}
