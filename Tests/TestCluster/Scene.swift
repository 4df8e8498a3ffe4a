internal import Glibc
package import JSON
package import Reactor
internal import Synchronization

/// One test's own namespace and project, with the loopds that it starts; nothing of them is left afterwards.
package final class Scene: Sendable {
    package let cluster: Cluster
    package let namespace: String
    package let project: Project
    /// What `LOOPD_STATE_DIR` is for its loopds.
    package let stateDirectory: String
    private let started = Mutex<[Loopd]>([])
    private let watch = Mutex<PodWatch?>(nil)

    private init(_ cluster: Cluster) throws {
        self.cluster = cluster
        namespace = "loopd-e2e-\(String(UInt32.random(in: .min ... .max), radix: 36))"
        project = try Project()
        stateDirectory = try temporaryFolder("loopd-state")
    }

    /// Runs `body` in a scene of its own.
    package static func run(_ body: (Scene) async throws -> Void) async throws {
        let scene = try Scene(try await Cluster.shared())
        do {
            try await body(scene)
        } catch {
            await scene.close()
            throw error
        }
        await scene.close()
    }

    private func close() async {
        watch.withLock { $0 = nil }
        for loopd in started.withLock({ $0 }) { await loopd.child.terminate(grace: .seconds(2)) }
        _ = try? await kubectl(
            ["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"], codes: [0, 1], scoped: false)
        Disk.remove(stateDirectory)
    }

    // MARK: The cluster

    /// Runs `kubectl`, in the scene's namespace unless told otherwise.
    @discardableResult
    package func kubectl(
        _ arguments: [String], input: [UInt8] = [], codes: Set<Int32> = [0], scoped: Bool = true
    ) async throws -> Output {
        try await cluster.kubectl((scoped ? ["-n", namespace] : []) + arguments, input: input, codes: codes)
    }

    /// Applies a workload in the namespace, which is made where it is missing, and waits until it is rolled out.
    package func deploy(_ workload: Workload, wait: Bool = true) async throws {
        let manifest = try await workload.manifest(on: cluster)
        let space: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(namespace)]]
        try await kubectl(["apply", "-f", "-"], input: space.bytes + manifest.bytes)
        guard wait else { return }
        let reference = "\(workload.kind.lowercased())/\(workload.name)"
        try await kubectl(["rollout", "status", reference, "--timeout=90s"])
    }

    /// The namespace's pods, followed from the first call on.
    package func pods() async throws -> PodWatch {
        if let running = watch.withLock({ $0 }) { return running }
        let new = try await PodWatch.start(cluster, namespace: namespace)
        watch.withLock { $0 = new }
        return new
    }

    /// The pods that run, as soon as there are `count`.
    package func running(_ count: Int = 1) async throws -> [Pod] {
        let all = try await pods().until("\(count) running pods") { $0.count { $0.isRunning } == count }
        return all.filter(\.isRunning)
    }

    /// Runs a program in a container and returns what it printed.
    ///
    /// kubectl 1.32 can read an answer before it has made the streams for it, and then drops it: such a call is made again.
    @discardableResult
    package func exec(_ pod: String, _ arguments: [String], codes: Set<Int32> = [0]) async throws -> Output {
        while true {
            let output = try await kubectl(["exec", pod, "--"] + arguments, codes: codes.union([1]))
            if output.errorText.contains("Unknown stream id") {
                try Task.checkCancellation()
                continue
            }
            guard output.status == .exited(1), !codes.contains(1) else { return output }
            throw Trouble("exec \(arguments.joined(separator: " ")) in \(pod): \(output.errorText)\(output.text)")
        }
    }

    /// A file in a container; `nil` where there is none.
    package func text(_ path: String, in pod: String) async throws -> String? {
        let output = try await exec(pod, ["/probe", "show", path], codes: [0, 1])
        return output.status.isSuccess ? output.text : nil
    }

    package func tree(_ folder: String, in pod: String) async throws -> Tree {
        Tree(try await exec(pod, ["/probe", "tree", folder]).text)
    }

    /// Waits until a folder in a container holds what the project's has; what neither wrote may be left out.
    ///
    /// loopd's own folders are: `.loopd…`, where the helper and what is staged are on a volume of their own.
    package func untilEqual(
        _ local: String, _ remote: String, in pod: String, limit: Duration = .seconds(120),
        leavingOut isLeftOut: @escaping @Sendable (String) -> Bool = { _ in false },
        comparing difference: @escaping @Sendable (Tree, Tree) -> [String] = { $0.difference(from: $1) }
    ) async throws {
        let last = Mutex<[String]>([])
        let state: @Sendable () -> String = {
            let loopds = self.started.withLock { $0 }
            return (last.withLock { $0 }.prefix(20) + loopds.map(\.transcript)).joined(separator: "\n")
        }
        try await within(limit, "\(local) equals \(remote) in \(pod)", state: state) { [self] in
            while true {
                let mine = try await project.tree(local).filtered { !isLeftOut($0) }
                let its = try await tree(remote, in: pod).filtered { !isLeftOut($0) && !$0.hasPrefix(".loopd") }
                let found = difference(mine, its)
                if found.isEmpty { return }
                last.withLock { $0 = found }
                // Each look takes a kubectl of its own: this loop is no busier than one.
                try Task.checkCancellation()
            }
        }
    }

    // MARK: loopd

    /// A `loop.json` that leads to the scene's namespace.
    package func configuration(_ services: JSON, merging more: JSON = [:]) -> JSON {
        let base: JSON = [
            "version": 1, "project": "e2e",
            "cluster": [
                "provider": "existing", "kubeconfig": .string(cluster.kubeconfig),
                "context": .string(cluster.context), "allowContexts": [.string(cluster.context)],
                "namespace": .string(namespace),
            ],
            "services": services,
        ]
        return base.merged(with: more)
    }

    /// Writes a `loop.json` with one service that syncs `app/**` to `/srv/app`.
    package func configure(
        _ workload: String = "deployment/app", to: String = "/srv/app", rule: JSON = [:], merging more: JSON = [:]
    ) throws {
        let base: JSON = ["watch": ["app/**"], "sync": ["to": .string(to)]]
        try project.configure(
            configuration(
                ["app": ["workload": .string(workload), "rules": [base.merged(with: rule)]]], merging: more))
        try project.folder("app")
    }

    /// Starts loopd in the project's folder.
    package func loopd(_ arguments: String..., environment: [String: String] = [:]) async throws -> Loopd {
        try await loopd(arguments, environment: environment)
    }

    /// Starts loopd in the project's folder.
    package func loopd(_ arguments: [String], environment: [String: String] = [:]) async throws -> Loopd {
        let loopd = try await Loopd.start(
            arguments, in: project.path, stateDirectory: stateDirectory, environment: environment)
        started.withLock { $0.append(loopd) }
        return loopd
    }

    /// Starts `loopd watch` and waits until it is connected to `count` containers, all of them compared.
    package func watching(_ count: Int = 1, _ arguments: String...) async throws -> Loopd {
        let loopd = try await Loopd.start(["watch"] + arguments, in: project.path, stateDirectory: stateDirectory)
        started.withLock { $0.append(loopd) }
        var place = 0
        var connected = 0
        while connected < count {
            let event = try await loopd.event("connected", from: place, limit: .seconds(60))
            place = (loopd.log.events().firstIndex(of: event) ?? place) + 1
            connected += event["pods"]?.array?.count ?? 0
        }
        return loopd
    }
}

extension Loopd {
    /// Waits until loopd is connected to a pod, from a place in its log on.
    package func connected(to pod: String, from place: Int) async throws {
        do {
            _ = try await event("connected", from: place) { $0["pods"]?.array?.contains(.string(pod)) == true }
        } catch {
            throw Trouble("\(pod): \(error)")
        }
    }
}
