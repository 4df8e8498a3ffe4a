internal import Synchronization

/// The loop for one `loop.json` on one cluster: what `watch`, `sync` and `status` do.
public struct Session: Sendable {
    /// What the command line chose.
    public struct Options: Equatable, Sendable {
        /// Names of services; empty is all of them.
        public var services: [String] = []
        /// Whether absent or changed manifests are applied first.
        public var deploy = true
        /// Whether the lease of another loopd is taken over.
        public var takeOver = false
        /// The services that run on this machine.
        public var host = HostChoice()
        /// Whether what was deployed is removed when `watch` ends.
        public var cleanup = false
        /// The folder for state that outlives the process: baselines, sockets.
        public var stateDirectory: String
        /// Where the nodes find images whose name has no registry, as host and port; `nil` where that is elsewhere.
        public var registry: String?
        /// The leash and the helpers.
        public var programs: Programs

        /// Everything at its default but the folders.
        public init(stateDirectory: String, programs: Programs) {
            self.stateDirectory = stateDirectory
            self.programs = programs
        }
    }

    private let configuration: Configuration
    private let options: Options

    /// A session; nothing happens before one of its calls.
    public init(_ configuration: Configuration, options: Options) {
        self.configuration = configuration
        self.options = options
    }

    /// How long its end may take on a cluster that is slow to answer: what it has put there is removed, which is worth more
    /// than a quick end.
    ///
    /// Each step has a limit of its own, and all of them together fit into this one.
    public var endPatience: Duration {
        let chosen = configuration.services.filter {
            options.services.isEmpty || options.services.contains($0.name)
        }
        func with(_ isMeant: (Service) -> Bool, _ seconds: Int) -> Duration {
            chosen.contains(where: isMeant) ? .seconds(seconds) : .zero
        }
        // Helpers and the lease, side by side over services, come last.
        var limit = Duration.seconds(4)
        limit += with({ $0.rules.contains { $0.image != nil } }, 4)
        limit += with({ !$0.forwards.isEmpty }, 3)
        // Its pods have their own service again, and then the way by which its program reached the cluster goes.
        limit += with(\.isOnHost, 6)
        // A helper pod goes after what it has to remove.
        limit += with({ ServicePlan.parts(of: $0, project: configuration.directory).contains { $0.part == .nodes } }, 3)
        // Dev mode is undone, and what it has left is cleared away.
        limit += with({ $0.dev != nil }, 8)
        // What was deleted is made anew, and then forgotten.
        limit += with({ if case .workload(let kind, _) = $0.target { !kind.rollsOut } else { false } }, 9)
        if options.cleanup { limit += SessionRun.cleanupPatience }
        return limit
    }

    /// How long its programs on this machine may take to end; zero without any.
    public var programGrace: Duration {
        configuration.services.compactMap { $0.isOnHost ? $0.host?.grace : nil }.max() ?? .zero
    }

    /// Watches and syncs until the task is cancelled (`interrupted`), or something makes it impossible to start.
    ///
    /// `report` is called in order, never twice at once. Whatever ends the loop was reported as `failed` before.
    public func watch(report: @escaping @Sendable (LoopEvent) -> Void) async -> Outcome {
        await run(report).run(once: false)
    }

    /// Makes the containers equal to the tree once.
    ///
    /// A pod that does not come up within a minute is a failure.
    public func sync(report: @escaping @Sendable (LoopEvent) -> Void) async -> Outcome {
        await run(report).run(once: true)
    }

    /// Builds and applies what the rules deploy, with the manifests of the services, once.
    ///
    /// What would change is reported as `diff` first; then `confirm` is asked, unless nothing changes. With `dryRun` that
    /// is all.
    public func deploy(
        dryRun: Bool, confirm: @escaping @Sendable () async -> Bool, report: @escaping @Sendable (LoopEvent) -> Void
    ) async -> Outcome {
        await run(report).deploy(dryRun: dryRun, confirm: confirm)
    }

    /// Removes what loopd has deployed for the services, and waits until it is gone.
    ///
    /// What goes is reported as `diff` first; then `confirm` is asked. With `dryRun` that is all.
    public func undeploy(
        dryRun: Bool, confirm: @escaping @Sendable () async -> Bool, report: @escaping @Sendable (LoopEvent) -> Void
    ) async -> Outcome {
        await run(report).undeploy(dryRun: dryRun, confirm: confirm)
    }

    /// Brings the one service that was chosen back to what it was before.
    ///
    /// What changes is reported as `diff` first; then `confirm` is asked. With `dryRun` that is all.
    public func rollback(
        dryRun: Bool, confirm: @escaping @Sendable () async -> Bool, report: @escaping @Sendable (LoopEvent) -> Void
    ) async -> Outcome {
        await run(report).rollback(dryRun: dryRun, confirm: confirm)
    }

    /// What the cluster holds now.
    ///
    /// A cluster that cannot be reached is in the report.
    public func status() async -> (StatusReport, Outcome) {
        await run { _ in }.status()
    }

    /// The variables of the one chosen service's container, as a process on this machine would get them; Secrets' values are
    /// among them.
    public func environment() async -> (EnvironmentReport, Outcome) {
        await run { _ in }.environment()
    }

    /// Takes workloads out of dev mode: those of the chosen services, or with `all` every one of the namespace.
    ///
    /// A cluster that cannot be reached is in the report.
    public func restore(all: Bool) async -> (RestoreReport, Outcome) {
        await run { _ in }.restore(all: all)
    }

    /// The run of one call.
    func run(_ report: @escaping @Sendable (LoopEvent) -> Void) -> SessionRun {
        // Lanes report from their own tasks; the reader gets one event at a time.
        let order = Mutex(())
        let ledger = AppliedLedger()
        let emit: @Sendable (LoopEvent) -> Void = { event in
            ledger.note(event)
            order.withLock { _ in report(event) }
        }
        return SessionRun(configuration: configuration, options: options, emit: emit, ledger: ledger)
    }
}
