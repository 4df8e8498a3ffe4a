import Glibc
import Reactor
import Synchronization
import Testing

@testable import LoopServer

/// A folder that stands for a container, with the real helper as its child: everything but the cluster.
final class LocalContainer: ContainerConnector {
    private let helpers = Mutex<[Child]>([])
    private let supervisor = Mutex<(child: Child, state: String)?>(nil)
    private let generation = Atomic<UInt64>(1)
    /// The folder with the roots of all pods but the first, whose root is the machine's.
    private let others: String

    /// How long a helper may take to leave; `nil` is as in the product.
    private let patience: Duration?

    init(others: String, patience: Duration? = nil) {
        self.others = others
        self.patience = patience
    }

    deinit { killSupervisor() }

    /// Starts the helper as the container's first process in dev mode, with `command` as its service; helpers that come
    /// later find it.
    func supervise(_ command: [String], state: String) async throws {
        mkdir(state, 0o755)
        // What an earlier one left there is no sign of this one.
        unlink("\(state)/s")
        var launch = Launch([try LocalContainer.helper, "supervise", "--state", state, "--"] + command)
        launch.standardOutput = .null
        launch.standardError = .inherit
        let child = try await Child.spawn(launch)
        supervisor.withLock { $0 = (child, state) }
        // It listens before it starts the service.
        while access("\(state)/s", F_OK) != 0 { try await Task.sleep(for: .milliseconds(2)) }
    }

    /// Kills the first process: what it supervises dies with it.
    func killSupervisor() {
        supervisor.withLock { supervisor in
            guard let supervisor else { return }
            // A helper that comes later waits for the next one.
            unlink("\(supervisor.state)/s")
            supervisor.child.signal(SIGKILL)
        }
    }

    /// Waits for the end of the first process, as a kubelet does.
    func supervisorEnd() async -> Reactor.ExitStatus? { await supervisor.withLock({ $0?.child })?.wait() }

    /// The helper that the build made, beside the test bundle.
    static var helper: String {
        get throws {
            let folder = try #require(CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? Programs.executable)
            return folder[..<(try #require(folder.lastIndex(of: "/")))] + "/LoopAgent"
        }
    }

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        let state = supervisor.withLock { $0?.state }
        if let state {
            while access("\(state)/s", F_OK) != 0 { try await Task.sleep(for: .milliseconds(2)) }
        }
        var launch = Launch([try LocalContainer.helper, "serve"] + (state.map { ["--state", $0] } ?? []))
        launch.standardInput = .pipe
        launch.standardError = .inherit
        let child = try await Child.spawn(launch)
        helpers.withLock { $0.append(child) }
        let number = generation.add(1, ordering: .relaxed).newValue
        let link = try await HelperLink.open(PipeChannel(child), generation: number)
        let uid = instance.id.podUID
        let root = uid == "uid-1" ? "" : "\(others)/\(uid)"
        if !root.isEmpty { mkdir(root, 0o755) }
        // A busy machine keeps nobody from beating so slowly.
        return LinkAccess(
            link, root: root, removesHelper: false, description: "a helper beside the test", heartbeat: 60,
            patience: patience)
    }

    /// Kills whatever helpers run.
    func killHelpers() { signalHelpers(SIGKILL) }

    /// Sends a signal to whatever helpers run.
    func signalHelpers(_ signal: Int32) {
        for child in helpers.withLock({ $0 }) { child.signal(signal) }
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
