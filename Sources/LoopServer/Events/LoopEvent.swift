/// Something that a person, or a program that reads `--output json`, wants to know about the loop.
///
/// File names are shown, not used: bytes that are not UTF-8 are already replaced. The renderers make control characters
/// visible, so that a name cannot write to the terminal.
public struct LoopEvent: Equatable, Sendable {
    /// When it happened.
    public var time: Timestamp
    /// The service it is about; `nil` is all of them.
    public var service: String?
    /// What happened.
    public var kind: Kind

    /// An event; the time is now unless it is given.
    public init(_ kind: Kind, service: String? = nil, time: Timestamp = .now()) {
        self.time = time
        self.service = service
        self.kind = kind
    }

    /// What happened.
    public enum Kind: Equatable, Sendable {
        /// The loop starts on a cluster.
        case started(project: String, context: String, namespace: String)
        /// Every folder is watched.
        case watching(folders: Int, milliseconds: Double)
        /// What a deployment is about to change, line by line.
        case diff(lines: [String])
        /// Manifests were applied, or found unchanged.
        case deployed(objects: [String], milliseconds: Double)
        /// What was deployed is gone.
        case removed(objects: [String], milliseconds: Double)
        /// A service is back at what it was before.
        case rolledBack(to: String, milliseconds: Double)
        /// A container of a workload gets another image; `by` is who had taken that back before, as a field manager's name.
        case rollingOut(workload: String, container: String, image: String, by: String?)
        /// Workloads that were applied, or got another image, run; the time is from the change to the last ready pod.
        case rolledOut(workloads: [String], milliseconds: Double)
        /// The service's containers are reached.
        case connected(pods: [String], container: String, way: String)
        /// Paths in the container that differ and are not loopd's to touch; at most a few, and how many there are.
        case leftAlone(paths: [String], total: Int)
        /// A batch is in the containers, and everywhere.
        case landed(Landed)
        /// One file of a batch did not land, the others did.
        case skipped(path: String, reason: String)
        /// A file below the service's root changed that no rule takes.
        case unmatched(path: String)
        /// A transfer that takes long enough to be watched; shown on terminals only.
        case progress(done: Int64, total: Int64, path: String?)
        /// Output of a `then` step, without its line end.
        case output(pod: String, line: String)
        /// A `then` step is done in one pod.
        case executed(pod: String, command: [String], exitCode: Int32, milliseconds: Double)
        /// The service's process was restarted in place, in one pod; the time is from the request to the new process.
        case restarted(pod: String, pid: UInt32, milliseconds: Double)
        /// The service's process got a signal, in one pod.
        case signalled(pod: String, signal: String, milliseconds: Double)
        /// A pod was deleted, so that its controller makes another one.
        case podDeleted(pod: String, milliseconds: Double)
        /// A build starts; `again` when a newer change ended the one before.
        case building(name: String, again: Bool)
        /// Output of a build, without its line end.
        case buildOutput(line: String)
        /// A build has succeeded.
        case built(name: String, milliseconds: Double)
        /// An image is where the nodes find it; the time is from the start of its build.
        case imageBuilt(ImageBuilt)
        /// The service's program runs on this machine; `again` when it took another one's place.
        case hostStarted(pid: Int32, command: [String], again: Bool)
        /// Output of the service's program on this machine, without its line end.
        case hostOutput(line: String)
        /// The service's program on this machine listens; the time is from the change on disk that led to it, or from its
        /// start.
        case hostReady(ports: [UInt16], milliseconds: Double)
        /// The service's program on this machine has ended by itself.
        case hostEnded(status: String, isSuccess: Bool, milliseconds: Double)
        /// Connections to these ports of the pods come to this machine, or with no pod, to the pods' own service again.
        case intercepting(pods: [String], ports: [HostPort])
        /// A port of this machine leads into the cluster; `target` is the pod's port or a name of the cluster.
        case forwarding(local: String, target: String)
        /// The workload came into dev mode, or out of it.
        case devMode(DevModeChange)
        /// The set of pods changed: what came and what went.
        case podsChanged(added: [String], removed: [String])
        /// Something did not work; the loop goes on.
        case failed(Failure)
        /// Something worth a line that is not a failure.
        case notice(String)
        /// Only with `--verbose`.
        case detail(String)
        /// The loop is over.
        case stopped
    }

    /// An image that the nodes can run.
    public struct ImageBuilt: Equatable, Sendable {
        /// As manifests name it.
        public var image: String
        /// As pods name it: with the tag of its content.
        public var reference: String
        /// How many bytes travelled; `nil` where only the program knows that has pushed it.
        public var bytesSent: Int64?
        /// Whether it was there already.
        public var isUnchanged: Bool
        /// How long it took in all.
        public var milliseconds: Double

        /// An image by its parts.
        public init(
            _ image: String, reference: String, bytesSent: Int64? = nil, isUnchanged: Bool, milliseconds: Double
        ) {
            self.image = image
            self.reference = reference
            self.bytesSent = bytesSent
            self.isUnchanged = isUnchanged
            self.milliseconds = milliseconds
        }
    }

    /// What became of a workload's dev mode.
    public struct DevModeChange: Equatable, Sendable {
        /// What happened.
        public enum What: String, Sendable {
            /// Its pods run with the helper; the time is that of the rollout.
            case entered
            /// An earlier session had left it there, and that fits.
            case takenUp
            /// Somebody took it back, and it was entered again.
            case reverted
            /// It is as it was before.
            case restored
        }

        /// What happened.
        public var what: What
        /// The container that the helper runs.
        public var container: String
        /// Who took it back, as the field manager's name.
        public var by: String?
        /// How long the rollout took.
        public var milliseconds: Double?
        /// Fields that somebody else has changed, and that stay.
        public var kept: [String]

        /// A change by its parts.
        public init(
            _ what: What, container: String, by: String? = nil, milliseconds: Double? = nil, kept: [String] = []
        ) {
            self.what = what
            self.container = container
            self.by = by
            self.milliseconds = milliseconds
            self.kept = kept
        }
    }

    /// A batch that is in the containers.
    public struct Landed: Equatable, Sendable {
        /// How many files (links and folders too) were written.
        public var files: Int
        /// How many were deleted.
        public var deleted: Int
        /// How many bytes the files have.
        public var bytes: Int64
        /// How many of them travelled to one pod: of large files only the blocks that it lacked.
        public var bytesSent: Int64
        /// In how many pods, or on how many nodes, it landed.
        public var pods: Int
        /// Whether it landed on nodes, not in pods.
        public var isOnNodes = false
        /// Some of the paths, for `--verbose` and for programs.
        public var paths: [String]
        /// From the first change on disk to the last pod's acknowledgement.
        public var milliseconds: Double
        /// How long each part took.
        public var legs: Legs
        /// Whether this is the comparison after a connection, not a save.
        public var isInitial: Bool

        /// A batch by its parts.
        public init(
            files: Int, deleted: Int = 0, bytes: Int64 = 0, bytesSent: Int64? = nil, pods: Int, paths: [String] = [],
            milliseconds: Double,
            legs: Legs = Legs(), isInitial: Bool = false
        ) {
            self.files = files
            self.deleted = deleted
            self.bytes = bytes
            self.bytesSent = bytesSent ?? bytes
            self.pods = pods
            self.paths = paths
            self.milliseconds = milliseconds
            self.legs = legs
            self.isInitial = isInitial
        }
    }

    /// The parts of a batch's time, in milliseconds.
    public struct Legs: Equatable, Sendable {
        /// From the first change to the decision that the batch is complete.
        public var detect: Double
        /// From there until all contents are staged in every pod.
        public var stage: Double
        /// From there until every pod has acknowledged.
        public var commit: Double

        /// Three durations in milliseconds.
        public init(detect: Double = 0, stage: Double = 0, commit: Double = 0) {
            self.detect = detect
            self.stage = stage
            self.commit = commit
        }
    }

    /// Something that did not work.
    public struct Failure: Equatable, Sendable {
        /// What did not work, on what, in one line.
        public var summary: String
        /// What the system answered; each one line.
        public var details: [String]
        /// What to do next.
        public var nextStep: String?

        /// A failure by its parts.
        public init(_ summary: String, details: [String] = [], nextStep: String? = nil) {
            self.summary = summary
            self.details = details
            self.nextStep = nextStep
        }
    }
}
