internal import JSON
internal import Reactor
internal import Synchronization

/// What a program on this machine finds around it: the environment of a pod, and ways into the cluster.
actor HostSurroundings {
    /// Where the environment is taken from.
    struct Example: Sendable {
        /// A pod, or the template of one.
        let pod: JSON
        let container: String
        /// Whether it is a pod whose container runs.
        let isRunning: Bool

        fileprivate var uid: String? { pod.at("metadata", "uid")?.string }

        /// What stands for the pod of a service that has none: a container that is told nothing but the Services.
        fileprivate static let none = Example(
            pod: ["spec": ["containers": [["name": "host"]]]], container: "host", isRunning: false)
    }

    private let service: Service
    private let host: Host
    private let connection: ClusterConnection
    private let namespace: String
    /// The images that its variables may name.
    private let images: @Sendable () async -> ManifestImages
    private let egress: Egress
    private let example = Wish<String?>(nil)
    private var newest: Example?
    /// What leads the program into the cluster, once that listens.
    private var ways: [String: String]?
    private var gathered: HostEnvironment?
    /// The pod that it was taken from.
    private var uid: String?
    private var renewing: Task<Void, Never>?
    private var refreshing: Task<Void, Never>?
    private var told: Set<String> = []
    private let emit: @Sendable (LoopEvent.Kind) -> Void

    init(
        _ service: Service, _ host: Host, _ connection: ClusterConnection, namespace: String, route: any ClusterRoute,
        images: @escaping @Sendable () async -> ManifestImages, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.service = service
        self.host = host
        self.connection = connection
        self.namespace = namespace
        self.images = images
        self.emit = emit
        egress = Egress(names: ClusterNames(connection.client, namespace: namespace), route: route, emit: emit)
    }

    /// Notes what the service's pods are like now.
    func know(_ example: Example) {
        newest = example
        self.example.value = "\(example.uid ?? "") \(example.isRunning)"
        guard let gathered, example.isRunning, uid != example.uid else { return }
        uid = example.uid
        // Tokens end with their pod: the program that runs goes on with those of the next one.
        refreshing = Task { [emit] in
            do {
                try await gathered.refresh(pod: example.pod)
            } catch {
                emit(.detail("the environment is still that of an earlier pod: \(error)"))
            }
        }
    }

    /// How long a start waits for a pod whose variables it has: one that cannot run is no reason to wait for ever.
    private static let patience = Duration.seconds(20)

    /// The whole environment of the next program.
    ///
    /// Waits until there is a pod to take it from, and reads it anew where that is another one than before. Throws
    /// `LoopFailure`, and `CancellationError`.
    func environment() async throws -> [String: String] {
        let ways = try await self.ways()
        let example = try await awaitExample()
        if let environment = gathered {
            if uid != example?.uid { try await environment.refresh(pod: example?.pod) }
        } else {
            let source = example ?? .none
            let request = HostEnvironment.Request(
                client: connection.client, context: connection.context, namespace: namespace,
                pod: source.pod, container: source.container,
                identity: host.identity, own: ways, environment: try await imaged())
            let environment = try await HostEnvironment.gather(request)
            gathered = environment
            renewing = Task { [emit] in await environment.keepFresh { emit(.failed($0)) } }
        }
        uid = example?.uid
        guard let environment = gathered else { throw CancellationError() }
        for notice in environment.notices where told.insert(notice).inserted { emit(.notice(notice)) }
        return HostSurroundings.joined(egress.rewritten(environment.variables))
    }

    /// Stops leading into the cluster, and removes what the program found.
    func end() async {
        for task in [renewing, refreshing] {
            task?.cancel()
            await task?.value
        }
        await egress.end()
        gathered?.remove()
        gathered = nil
    }

    private func ways() async throws -> [String: String] {
        if let ways { return ways }
        let proxy = try await egress.start()
        let needs = try await egress.needs(host.needs)
        let ways = proxy.merging(needs) { _, need in need }
        self.ways = ways
        return ways
    }

    private func awaitExample() async throws -> Example? {
        guard service.target != nil else { return nil }
        let deadline = ContinuousClock.now + HostSurroundings.patience
        while true {
            if let newest, newest.isRunning { return newest }
            let seen = example.value
            let isNews: Void? = await atMost(max(.zero, deadline - .now)) { [example] in
                await example.untilChanged(from: seen)
            }
            try Task.checkCancellation()
            guard isNews == nil else { continue }
            guard let newest else {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "nobody knows the variables of \(service.name): its workload is not there",
                        nextStep: "the next change tries again"))
            }
            emit(
                .notice("no pod runs: the variables are those that one would have, as far as they are known without it")
            )
            return newest
        }
    }

    /// `host.env` with the images that it names.
    private func imaged() async throws -> [String: String] {
        let known = await images()
        var result = host.environment
        for (name, text) in host.environment {
            let replaced = try known.expanded(text, in: "host.env.\(name) of \(service.name)")
            guard replaced.missing.isEmpty else {
                let names = replaced.missing.sorted().joined(separator: ", ")
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "\"\(name)\" names the image \(names), which has not been built yet",
                        nextStep: "the next change tries again"))
            }
            result[name] = replaced.value
        }
        return result
    }

    /// The variables of the pod on top of this machine's own.
    ///
    /// Those that say where things lie on this machine stay: the container has its own disk.
    private static func joined(_ pod: [String: String]) -> [String: String] {
        let own = ProcessEnvironment.inherited
        let result = own.merging(pod) { _, theirs in theirs }
        let kept = own.filter { name, _ in
            ["PATH", "HOME", "TMPDIR", "SHELL", "USER", "PWD"].contains(name) || name.hasPrefix("LD_")
        }
        return result.merging(kept) { _, ours in ours }
    }
}
