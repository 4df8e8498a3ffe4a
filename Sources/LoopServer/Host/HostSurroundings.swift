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
    private let client: KubeClient
    private let context: KubeContext
    private let namespace: String
    /// The images that its variables may name.
    private let images: @Sendable () async -> ManifestImages
    /// `host.env` with the images of the newest start; `nil` until that has its variables.
    private var given: [String: String]?
    private let egress: Egress
    private let example = Wish<String?>(nil)
    private var newest: Example?
    /// What leads the program into the cluster, once that listens.
    private var ways: (proxy: [String: String], needs: [String: String])?
    private var opening: Task<Void, Never>?
    private var openingFailure: (any Error)?
    private let openings = Wish(0)
    private var gathered: HostEnvironment?
    /// The pod that it was taken from.
    private var uid: String?
    private var renewing: Task<Void, Never>?
    private var refreshing: Task<Void, Never>?
    /// The example whose pod was waited for in vain.
    private var unheard: String?
    private var told: Set<String> = []
    private let emit: @Sendable (LoopEvent.Kind) -> Void

    init(
        _ service: Service, _ host: Host, _ client: KubeClient, _ context: KubeContext, namespace: String,
        route: any ClusterRoute,
        images: @escaping @Sendable () async -> ManifestImages, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.service = service
        self.host = host
        self.client = client
        self.context = context
        self.namespace = namespace
        self.images = images
        self.emit = emit
        egress = Egress(names: ClusterNames(client, namespace: namespace), route: route, emit: emit)
    }

    /// Notes what the service's pods are like now.
    func know(_ example: Example) {
        newest = example
        self.example.value = "\(example.uid ?? "") \(example.isRunning)"
        guard gathered != nil, example.isRunning, uid != example.uid, refreshing == nil else { return }
        // Tokens end with their pod: the program that runs goes on with those of the next one.
        refreshing = Task { await self.followPod() }
    }

    private func followPod() async {
        var backoff = Backoff(first: .milliseconds(200), limit: .seconds(30))
        var isTold = false
        while !Task.isCancelled, let gathered, let newest, newest.isRunning, newest.uid != uid {
            do {
                try await gathered.refresh(pod: newest.pod)
                uid = newest.uid
                renew()
            } catch {
                if !isTold, !Task.isCancelled { emit(.failed(HostSurroundings.failure(error))) }
                isTold = true
                // The cluster does not tell when it could answer again.
                try? await Task.sleep(for: backoff.next())
            }
        }
        refreshing = nil
    }

    /// How long a start waits for a pod whose variables it has: one that cannot run is no reason to wait for ever.
    private static let patience = Duration.seconds(20)

    /// The whole environment of the next program, as the cluster has it now.
    ///
    /// Waits for a pod to take it from at first. Throws `LoopFailure`, and `CancellationError`.
    func environment() async throws -> [String: String] {
        // First the pod: what its namespace is to hold besides has been applied by then, too.
        let example = try await awaitExample()
        let ways = try await self.open()
        if let environment = gathered {
            do {
                let imaged = try await awaitImages()
                try await environment.refresh(pod: example?.pod, environment: imaged)
                given = imaged
                uid = example?.uid
                renew()
            } catch {
                try Task.checkCancellation()
                let failure = HostSurroundings.failure(error)
                emit(.notice("the variables are those of the start before: \(failure.summary)"))
            }
        } else {
            let imaged = try await awaitImages()
            let request = HostEnvironment.Request(
                client: client, context: context, namespace: namespace,
                pod: (example ?? Example.none).pod, container: (example ?? Example.none).container,
                identity: host.identity, services: ways.needs,
                own: HostSurroundings.kept(of: ProcessEnvironment.inherited).merging(ways.proxy) { $1 },
                environment: imaged)
            gathered = try await HostEnvironment.gather(request)
            given = imaged
            uid = example?.uid
            renew()
        }
        guard let environment = gathered else { throw CancellationError() }
        for notice in environment.notices where told.insert(notice).inserted { emit(.notice(notice)) }
        var variables = egress.rewritten(environment.variables)
        // What is in no pod finds the API by its kubeconfig.
        if example == nil { variables = variables.filter { !$0.key.hasPrefix("KUBERNETES_") } }
        return ProcessEnvironment.inherited.merging(variables) { $1 }
    }

    /// Stops leading into the cluster, and removes what the program found.
    func end() async {
        for task in [opening, renewing, refreshing] {
            task?.cancel()
            await task?.value
        }
        await egress.end()
        gathered?.remove()
        gathered = nil
    }

    /// The ways into the cluster, which stay for all starts; a start that is cancelled leaves their opening alone.
    private func open() async throws -> (proxy: [String: String], needs: [String: String]) {
        if let ways { return ways }
        if opening == nil {
            openingFailure = nil
            opening = Task {
                do {
                    let proxy = try await egress.start()
                    ways = (proxy, try await egress.needs(host.needs))
                } catch {
                    openingFailure = error
                }
                opening = nil
                openings.value += 1
            }
        }
        await openings.untilChanged(from: openings.value)
        try Task.checkCancellation()
        if let ways { return ways }
        throw openingFailure ?? CancellationError()
    }

    private func awaitExample() async throws -> Example? {
        guard service.target != nil else { return nil }
        // What is known already does for a start that cannot wait for a pod.
        if gathered != nil || example.value != nil && example.value == unheard { return newest }
        var deadline: ContinuousClock.Instant?
        while true {
            if let newest, newest.isRunning { return newest }
            let seen = example.value
            // That the workload is not there is told by who follows it; it may come at any time.
            if newest != nil, deadline == nil { deadline = .now + HostSurroundings.patience }
            let limit = deadline.map { max(.zero, $0 - .now) } ?? .seconds(3600)
            let isNews: Void? = await atMost(limit) { [example] in await example.untilChanged(from: seen) }
            try Task.checkCancellation()
            guard isNews == nil, let newest else { continue }
            unheard = seen
            emit(
                .notice("no pod runs: the variables are those that one would have, as far as they are known without it")
            )
            return newest
        }
    }

    /// Whether the program's variables name one of these images, and the newest start has not got what they are now.
    func lacks(_ images: Set<String>) async -> Bool {
        guard let now = try? await imaged(), !now.used.isDisjoint(with: images) else { return false }
        return now.value != given
    }

    /// `host.env` with the images that it names.
    ///
    /// Where one of them has not been built yet this waits until the task is cancelled: whoever builds it asks
    /// `lacks`, and starts the program anew.
    private func awaitImages() async throws -> [String: String] {
        given = nil
        let now = try await imaged()
        guard now.missing.isEmpty else {
            emit(.notice(ManifestImages.words("the program", waitsFor: now.missing)))
            await Gate().pass()
            throw CancellationError()
        }
        return now.value
    }

    /// `host.env` with the images that there are now.
    private func imaged() async throws -> ManifestImages.Replaced<[String: String]> {
        let known = await images()
        var result = ManifestImages.Replaced(value: host.environment)
        for (name, text) in host.environment {
            let replaced = try known.expanded(text, in: "host.env.\(name) of \(service.name)")
            result.value[name] = replaced.value
            result.used.formUnion(replaced.used)
            result.missing.formUnion(replaced.missing)
        }
        return result
    }

    private func renew() {
        renewing?.cancel()
        guard let gathered else { return }
        renewing = Task { [emit] in await gathered.keepFresh { emit(.failed($0)) } }
    }

    private static func failure(_ error: any Error) -> LoopEvent.Failure {
        (error as? LoopFailure)?.failure ?? LoopEvent.Failure("the environment of the pod could not be read: \(error)")
    }

    /// Variables of this machine that say where things lie: they stay, because the container has its own disk.
    static func kept(of own: [String: String]) -> [String: String] {
        own.filter { name, _ in
            ["PATH", "HOME", "TMPDIR", "SHELL", "USER", "PWD"].contains(name) || name.hasPrefix("LD_")
        }
    }
}
