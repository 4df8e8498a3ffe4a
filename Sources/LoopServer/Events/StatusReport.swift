/// What `loopd status` shows.
public struct StatusReport: ClusterReport, Equatable {
    /// One pod of a service.
    public struct Pod: Equatable, Sendable {
        /// The pod's name.
        public var name: String
        /// `Running`, `Pending`, `Terminating`, … as `kubectl get` shows it.
        public var phase: String
        /// Whether the container is ready.
        public var isReady: Bool
        /// How often the container was restarted.
        public var restarts: Int
        /// Why it is not running or not ready, from its status.
        public var reason: String?

        /// A pod by its parts.
        public init(name: String, phase: String, isReady: Bool, restarts: Int = 0, reason: String? = nil) {
            self.name = name
            self.phase = phase
            self.isReady = isReady
            self.restarts = restarts
            self.reason = reason
        }
    }

    /// That a workload is in dev mode.
    public struct DevMode: Equatable, Sendable {
        /// The container that the helper runs.
        public var container: String
        /// Since when.
        public var since: Timestamp
        /// Who brought it there: `alice@laptop`.
        public var holder: String
        /// What of it somebody has taken back.
        public var lost: [String]

        /// A dev mode by its parts.
        public init(container: String, since: Timestamp, holder: String, lost: [String] = []) {
            self.container = container
            self.since = since
            self.holder = holder
            self.lost = lost
        }
    }

    /// One service of `loop.json`.
    public struct Entry: Equatable, Sendable {
        /// The service's name.
        public var service: String
        /// What it syncs into: `deployment/web`.
        public var target: String
        /// Its pods.
        public var pods: [Pod]
        /// Which loopd holds the lease: `alice@laptop, process 4711`.
        public var holder: String?
        /// Why there is nothing to show: the workload is missing.
        public var problem: String?
        /// Its dev mode; `nil` where it is not in it.
        public var devMode: DevMode?

        /// A service by its parts.
        public init(service: String, target: String, pods: [Pod] = [], holder: String? = nil, problem: String? = nil) {
            self.service = service
            self.target = target
            self.pods = pods
            self.holder = holder
            self.problem = problem
        }
    }

    /// The kubeconfig's context.
    public var context: String
    /// The namespace.
    public var namespace: String
    /// Whether the cluster answered; `nil` when it did, else what it said.
    public var unreachable: String?
    /// The services in the order of the file.
    public var services: [Entry]

    /// A report about nothing yet.
    public init(context: String, namespace: String, unreachable: String?) {
        self.init(context: context, namespace: namespace, unreachable: unreachable, services: [])
    }

    /// A report by its parts.
    public init(context: String, namespace: String, unreachable: String? = nil, services: [Entry]) {
        self.context = context
        self.namespace = namespace
        self.unreachable = unreachable
        self.services = services
    }
}
