import Glibc
import JSON
import Reactor
import Synchronization
import Testing
import Wire

@testable import LoopServer

/// The API's side of a pod, as a test wants it.
private final class PodDouble: PodObjects, ContainerCommands {
    private let state: Mutex<(pod: JSON, added: [JSON])>
    private let labels: JSON
    private let started: JSON
    private let isNodeForbidden: Bool

    init(pod: JSON = [:], labels: JSON = [:], started: JSON = ["running": [:]], isNodeForbidden: Bool = false) {
        state = Mutex((pod, []))
        self.labels = labels
        self.started = started
        self.isNodeForbidden = isNodeForbidden
    }

    var added: [JSON] { state.withLock(\.added) }

    func pod(_ name: String) async throws -> JSON { state.withLock(\.pod) }

    func node(_ name: String) async throws -> JSON {
        if isNodeForbidden { throw KubeError(code: 403, reason: "Forbidden", message: "nodes is forbidden") }
        return ["metadata": ["labels": labels]]
    }

    func addEphemeralContainer(_ container: JSON, to pod: String) async throws {
        state.withLock { state in
            state.added.append(container)
            state.pod = [
                "spec": ["ephemeralContainers": [container]],
                "status": ["ephemeralContainerStatuses": [["name": container["name"] ?? .null, "state": started]]],
            ]
        }
    }

    func wait(
        forPod name: String, limit: Duration, until isDone: @escaping @Sendable (JSON) -> Bool
    ) async throws -> JSON {
        let pod = state.withLock(\.pod)
        guard isDone(pod) else { throw RungFailed(description: "it never gets there") }
        return pod
    }

    func copy(_ folder: String, to target: String, pod: String, container: String) async throws {}

    func run(_ command: [String], pod: String, container: String) async throws -> Output {
        try await Child.run(Launch(["true"]))
    }
}

/// A helper of another time: it greets with a version of its own.
private struct ForeignHelper: ContainerExec {
    func start(_ command: [String], pod: String, container: String) async throws -> any ExecStream { Stream() }

    private struct Stream: ExecStream {
        func write(_ bytes: [UInt8]) async throws {}
        func close() {}

        func read() async throws -> ExecOutput {
            let welcome = Welcome(
                capabilities: [], architecture: [], uid: 0, gid: 0, pid: 1, digest: [], path: [], version: 99)
            return .standardOutput(Frame(.welcome(welcome)).encoded)
        }
    }
}

/// Refuses every exec the same way.
private struct RefusingExec: ContainerExec {
    let kind: ExecEnd.Kind

    func start(_ command: [String], pod: String, container: String) async throws -> any ExecStream {
        throw ExecEnd(kind: kind, message: "refused \(command[0])")
    }
}

// One after the other: the helper's folder below `/tmp` is the same for all.
@Suite("The ladder into a container", .serialized, .turn) struct LadderTests {
    let folder: ScratchTree

    init() throws {
        folder = try ScratchTree()
        try folder.folder("scratch")
    }

    private func ladder(
        _ pod: PodDouble, _ exec: any ContainerExec, _ transport: Sync.Transport = .automatic,
        helpers: [String: String]? = nil, log: EventLog = EventLog()
    ) throws -> Ladder {
        let helpers = try helpers ?? ["amd64": LocalContainer.helper]
        return Ladder(
            objects: pod, exec: exec, commands: pod, programs: Programs(leash: nil, helpers: helpers),
            helperImage: "image", transport: transport, destinations: [folder.path], scratch: folder.path + "/scratch"
        ) { log.add(LoopEvent($0)) }
    }

    @Test("the shell is the first way; a node that may not be looked at is taken for a usual one")
    func climbsByShell() async throws {
        let pod = PodDouble(isNodeForbidden: true)
        let access = try await ladder(pod, LocalExec()).connect(to: LaneFixture.instance())
        #expect(access.description.hasPrefix("helper at /"))
        #expect(!access.description.contains("tar"))
        await access.end()
    }

    /// A container in dev mode.
    private var devInstance: ContainerInstance {
        var instance = LaneFixture.instance()
        instance.isInDevMode = true
        return instance
    }

    @Test("in dev mode the helper that is there is the first way: nothing is sent, and no node has to be looked at")
    func joinsSupervisor() async throws {
        let helper = HelperProgram.supervisor
        let exec = LocalExec(programs: [helper: [try LocalContainer.helper]], missing: ["sh", "tar"])
        let access = try await ladder(PodDouble(isNodeForbidden: true), exec, helpers: [:]).connect(to: devInstance)
        #expect(access.description == "helper as process 1")
        // Nobody supervises beside the test.
        #expect(access.service == nil)
        await access.end()
    }

    @Test("a helper that is missing in dev mode is brought by the next way")
    func bringsMissingHelper() async throws {
        let access = try await ladder(PodDouble(), LocalExec(missing: [HelperProgram.supervisor])).connect(
            to: devInstance)
        #expect(access.description.hasPrefix("helper at /"))
        await access.end()
    }

    @Test("a helper of another protocol is one line, and no other way is tried")
    func namesVersions() async throws {
        do {
            _ = try await ladder(PodDouble(), ForeignHelper()).connect(to: devInstance)
            Issue.record("it found a way")
        } catch let failure as LoopFailure {
            let version = WireProtocol.version
            #expect(failure.failure.summary == "web-1: its helper speaks protocol 99, this loopd \(version)")
        }
    }

    @Test("tar comes after the shell")
    func climbsByTar() async throws {
        let access = try await ladder(PodDouble(), LocalExec(missing: ["sh"])).connect(to: LaneFixture.instance())
        #expect(access.description.hasSuffix("by tar"))
        await access.end()
    }

    @Test("where nothing else is left, kubectl cp, which says why")
    func fallsBack() async throws {
        let log = EventLog()
        let pod = PodDouble(started: ["waiting": ["reason": "ErrImagePull", "message": "no such image"]])
        let exec = LocalExec(missing: ["sh", "tar"])
        // A helper that is left from another test would do.
        try await removeLeftHelpers()
        let access = try await ladder(pod, exec, log: log).connect(to: LaneFixture.instance())
        #expect(access.description.hasPrefix("kubectl cp"))
        #expect(pod.added.count == 1)
        #expect(log.all.contains { if case .notice(let text) = $0 { text.contains("no such image") } else { false } })
        access.drop()
        #expect(ScratchTree.snapshot(folder.path + "/scratch").isEmpty)
    }

    @Test("a rule that wants exec gets no kubectl cp, but every reason")
    func namesReasons() async throws {
        let pod = PodDouble(started: ["waiting": ["reason": "ErrImagePull"]])
        do {
            _ = try await ladder(pod, RefusingExec(kind: .forbidden), .exec).connect(to: LaneFixture.instance())
            Issue.record("it found a way")
        } catch let failure as LoopFailure {
            #expect(failure.failure.details.count == 3)
            #expect(failure.failure.details[0].hasPrefix("by shell: "))
            #expect(failure.failure.details[1].hasPrefix("by tar: "))
            #expect(
                failure.failure.details[2]
                    == "by ephemeral container: ephemeral container from image image: ErrImagePull")
        }
    }

    @Test(
        "a container that cannot be entered now is tried again, not by another rung",
        arguments: [ExecEnd.Kind.containerUnavailable, .disconnected])
    func waits(kind: ExecEnd.Kind) async throws {
        let pod = PodDouble()
        await #expect(throws: ExecEnd.self) {
            try await ladder(pod, RefusingExec(kind: kind)).connect(to: LaneFixture.instance())
        }
        #expect(pod.added.isEmpty)
    }

    @Test("a failure that may pass climbs no further until it came three times: what is left in the pod stays there")
    func doubts() async throws {
        let pod = PodDouble(started: ["waiting": ["reason": "ErrImagePull"]])
        let ladder = try ladder(pod, RefusingExec(kind: .exited(126)))
        for _ in 0..<2 {
            await #expect(throws: ExecEnd.self) { try await ladder.connect(to: LaneFixture.instance()) }
            #expect(pod.added.isEmpty)
        }
        let access = try await ladder.connect(to: LaneFixture.instance())
        #expect(access.description.hasPrefix("kubectl cp"))
        access.drop()
        #expect(pod.added.count == 1)
    }

    @Test("an ephemeral container that waits for its image is waited for, not doubled")
    func addsOnlyOne() async throws {
        let pod = PodDouble(started: ["waiting": ["reason": "ImagePullBackOff"]])
        let ladder = try ladder(pod, RefusingExec(kind: .programMissing))
        for _ in 0..<3 { try await ladder.connect(to: LaneFixture.instance()).drop() }
        #expect(pod.added.count == 1)
    }

    @Test(
        "beside a container that has ended no ephemeral container is made",
        arguments: [
            ["name": "web", "containerID": "runc://run-1", "state": ["terminated": ["exitCode": 1]]],
            ["name": "web", "containerID": "runc://run-2", "state": ["running": [:]]],
        ] as [JSON])
    func sparesEnded(status: JSON) async throws {
        let pod = PodDouble(pod: ["status": ["containerStatuses": [status]]])
        do {
            _ = try await ladder(pod, RefusingExec(kind: .programMissing)).connect(to: LaneFixture.instance())
            Issue.record("it found a way")
        } catch let end as ExecEnd {
            #expect(end.kind == .containerUnavailable)
        }
        #expect(pod.added.isEmpty)
    }

    @Test(
        "what runtimes say of a container that ends is no word about the program",
        arguments: [
            (
                "exec failed: unable to start container process: error executing setns process: exit status 1",
                ExecEnd.Kind.containerUnavailable
            ),
            ("cannot exec in a stopped container", .containerUnavailable),
            ("failed to load task: no running task found: task 4f not found: not found", .containerUnavailable),
            ("exec failed: unable to start container process: exec: \"/tmp/x\": permission denied", .exited(126)),
            ("exec /tmp/x: exec format error", .exited(126)),
        ])
    func reads(message: String, kind: ExecEnd.Kind) {
        #expect(ExecEnd(ExecError.failed(message)).kind == kind)
    }

    @Test("a rule that wants kubectl cp gets it at once")
    func copies() async throws {
        let pod = PodDouble(labels: ["kubernetes.io/os": "windows"])
        let access = try await ladder(pod, RefusingExec(kind: .forbidden), .cp).connect(to: LaneFixture.instance())
        #expect(access.description.hasPrefix("kubectl cp"))
        access.drop()
    }

    @Test("Windows, and an architecture without a helper, are one line before anything is sent")
    func namesPlatforms() async throws {
        for (labels, words) in [
            (["kubernetes.io/os": "windows"] as JSON, "node node runs windows: loopd's helper runs on Linux only"),
            (["kubernetes.io/arch": "s390x"], "no helper for nodes of architecture s390x"),
        ] {
            do {
                _ = try await ladder(PodDouble(labels: labels), RefusingExec(kind: .forbidden))
                    .connect(to: LaneFixture.instance())
                Issue.record("it found a way")
            } catch let failure as LoopFailure {
                #expect(failure.failure.summary == words)
            }
        }
    }

    private func removeLeftHelpers() async throws {
        let program = try HelperProgram.built
        for place in UploadScript.places(destinations: [folder.path]) {
            unlink("\(place)/\(program.folder)/helper")
        }
    }

    @Test("an id without its runtime's scheme", arguments: [("containerd://4f", "4f"), ("4f", "4f"), ("", "")])
    func strips(id: String, bare: String) {
        #expect(Ladder.bareID(id) == bare)
    }
}
