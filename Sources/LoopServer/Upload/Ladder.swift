internal import Glibc
internal import JSON
internal import Reactor
internal import Synchronization
internal import Wire

/// Finds the best way into a container: the helper that is its process 1 in dev mode, one brought by shell or tar, one in an
/// ephemeral container, and at last `kubectl cp`.
final class Ladder: ContainerConnector {
    private let objects: any PodObjects
    private let exec: any ContainerExec
    private let commands: any ContainerCommands
    private let programs: Programs
    private let helperImage: String
    private let transport: Sync.Transport
    private let destinations: [String]
    /// Where the helper finds the root that destinations are below; empty for its own.
    private let root: String
    /// A private folder for what `kubectl cp` needs.
    private let scratch: String
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private struct State {
        var generation: UInt64 = 0
        /// The architectures of nodes.
        var architectures: [String: String] = [:]
        /// How many folders for `kubectl cp` were made.
        var serial = 0
        /// How often a rung failed in a way that may pass.
        var doubts: [ContainerInstance.ID: Int] = [:]
    }
    private let state = Mutex(State())

    /// The ladder of one service; `destinations` are further places where a helper may live.
    init(
        objects: any PodObjects, exec: any ContainerExec, commands: any ContainerCommands, programs: Programs,
        helperImage: String, transport: Sync.Transport, destinations: [String], root: String = "",
        scratch: String, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.objects = objects
        self.exec = exec
        self.commands = commands
        self.programs = programs
        self.helperImage = helperImage
        self.transport = transport
        self.destinations = destinations
        self.root = root
        self.scratch = scratch
        self.emit = emit
    }

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        if transport == .cp {
            // It is only good for a check: where nobody can say it, there is none.
            _ = try? await architecture(of: instance.node)
            return try copyAccess(instance)
        }
        var reasons: [String] = []
        if instance.isInDevMode,
            let access = try await attempt(.supervisor, instance, &reasons, { try await join(instance) })
        {
            return access
        }
        let architecture = try await architecture(of: instance.node)
        let program = try HelperProgram.load(architecture: architecture, from: programs)
        let upload = HelperUpload(
            exec: exec, pod: instance.pod, container: instance.container, program: program,
            generation: nextGeneration())
        for rung in [Rung.shell, .tar, .ephemeral] {
            let access = try await attempt(rung, instance, &reasons) {
                try await climb(rung, upload, instance)
            }
            if let access { return access }
        }
        guard transport == .automatic else { throw noWay(instance, reasons) }
        emit(
            .notice(
                "\(instance.pod): no helper there (\(reasons.joined(separator: "; "))): falling back to kubectl cp, which is"
                    + " slow and compares nothing"))
        return try copyAccess(instance)
    }

    /// Tries a rung; `nil`, with a reason more, where the next one is to be tried.
    private func attempt(
        _ rung: Rung, _ instance: ContainerInstance, _ reasons: inout [String],
        _ climb: () async throws -> any ContainerAccess
    ) async throws -> (any ContainerAccess)? {
        do {
            let access = try await climb()
            // Doubts are of failures in a row.
            state.withLock { $0.doubts[instance.id] = nil }
            return access
        } catch let failed as RungFailed {
            reasons.append("\(rung): \(failed)")
        } catch let end as ExecEnd where end.kind == .programMissing || end.kind == .forbidden {
            reasons.append("\(rung): \(end.message)")
        } catch let end as ExecEnd {
            guard case .exited = end.kind, isLasting(instance) else { throw end }
            reasons.append("\(rung): \(end.message)")
        } catch LinkError.disconnected(let reason) where rung != .ephemeral {
            // It was started and did not speak: an image that does not let it run.
            guard isLasting(instance) else { throw LinkError.disconnected(reason) }
            reasons.append("\(rung): \(reason)")
        }
        return nil
    }

    /// Whether what could be a container that is just ending, or a lost way, has come often enough to be the image's fault.
    ///
    /// The next rung may leave an ephemeral container in the pod, which can never be removed.
    private func isLasting(_ instance: ContainerInstance) -> Bool {
        state.withLock { state in
            state.doubts[instance.id, default: 0] += 1
            return state.doubts[instance.id, default: 0] > 2
        }
    }

    private enum Rung: String, CustomStringConvertible {
        case supervisor = "as process 1"
        case shell = "by shell"
        case tar = "by tar"
        case ephemeral = "by ephemeral container"

        var description: String { rawValue }
    }

    /// Speaks with the helper that is in a container in dev mode: nothing is sent, and nothing is removed at the end.
    private func join(_ instance: ContainerInstance) async throws -> any ContainerAccess {
        let stream = try await exec.start(
            [HelperProgram.supervisor, "serve"], pod: instance.pod, container: instance.container)
        do {
            let link = try await HelperLink.open(ExecChannel(stream), generation: nextGeneration())
            return LinkAccess(
                link, removesHelper: false, description: "helper as process 1",
                architecture: await known(instance.node))
        } catch {
            stream.close()
            guard case LinkError.versionMismatch(let theirs) = error else { throw error }
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(instance.pod): its helper speaks protocol \(theirs), this loopd \(WireProtocol.version)",
                    nextStep: "another loopd put it there: let its pod be made anew, or use that loopd"))
        }
    }

    private func climb(
        _ rung: Rung, _ upload: HelperUpload, _ instance: ContainerInstance
    ) async throws -> any ContainerAccess {
        let architecture = await known(instance.node)
        let places = UploadScript.places(destinations: destinations)
        let tell: @Sendable (String) -> Void = { [emit] in emit(.notice("\(instance.pod): \($0)")) }
        switch rung {
        case .supervisor: return try await join(instance)
        case .shell:
            let helper = try await upload.byShell(places: places)
            return LinkAccess(
                helper.link, root: root, removesHelper: true, description: "helper at \(helper.path)",
                architecture: architecture, tell: tell)
        case .tar:
            let helper = try await upload.byTar(places: places)
            return LinkAccess(
                helper.link, root: root, removesHelper: true, description: "helper at \(helper.path), by tar",
                architecture: architecture, tell: tell)
        case .ephemeral:
            let ephemeral = EphemeralUpload(
                objects: objects, exec: exec, pod: instance.pod, target: instance.container,
                containerID: Ladder.bareID(instance.id.containerID), image: helperImage, program: upload.program,
                generation: upload.generation)
            let (helper, root) = try await ephemeral.start()
            return LinkAccess(
                helper.link, root: root, removesHelper: true, description: "helper in an ephemeral container",
                architecture: architecture, target: (exec, instance), tell: tell)
        }
    }

    private func copyAccess(_ instance: ContainerInstance) throws -> any ContainerAccess {
        let number = state.withLock { state in
            state.serial += 1
            return state.serial
        }
        let folder = "\(scratch)/cp-\(number)"
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw SystemError.last("mkdir \(folder)") }
        return CopyAccess(
            commands: commands, instance: instance, folder: folder,
            architecture: learned(instance.node))
    }

    private func noWay(_ instance: ContainerInstance, _ reasons: [String]) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "\(instance.pod): no way into container \(instance.container)", details: reasons,
                nextStep:
                    "set cluster.helperImage to an image with a shell that the nodes can pull, or use \"via\": \"cp\""))
    }

    /// The architecture of a node where the cluster tells it: what is only guessed decides about no program.
    private func known(_ node: String) async -> String? {
        _ = try? await architecture(of: node)
        return learned(node)
    }

    private func learned(_ node: String) -> String? { state.withLock { $0.architectures[node] } }

    /// The architecture of a node, in Kubernetes' names; asked once.
    private func architecture(of node: String) async throws -> String {
        if let known = state.withLock({ $0.architectures[node] }) { return known }
        let platform: (architecture: String, system: String)
        do {
            platform = try await objects.node(node).nodePlatform
        } catch let error as KubeError where error.isForbidden || error.isNotFound {
            // Who may use one namespace only cannot look at nodes: the usual one, which is tried out before it is used.
            return "amd64"
        }
        guard platform.system == "linux" else {
            throw LoopFailure(
                failure: LoopEvent.Failure("node \(node) runs \(platform.system): loopd's helper runs on Linux only"))
        }
        state.withLock { $0.architectures[node] = platform.architecture }
        return platform.architecture
    }

    /// A number above every earlier one, also those of earlier runs: the wall clock in milliseconds.
    private func nextGeneration() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        let clock = UInt64(now.tv_sec) &* 1000 &+ UInt64(now.tv_nsec) / 1_000_000
        return state.withLock { state in
            state.generation = max(state.generation + 1, clock)
            return state.generation
        }
    }

    /// The id without the scheme of its runtime: `containerd://4f…` is `4f…`.
    static func bareID(_ id: String) -> String {
        guard let cut = id.firstIndex(of: "/") else { return id }
        return String(id[cut...].drop { $0 == "/" })
    }
}
