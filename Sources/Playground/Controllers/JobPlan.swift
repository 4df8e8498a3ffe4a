internal import JSON

/// What a Job's pods have come to, and what has to be done about it: a pure function of the Job, its pods and the time.
struct JobPlan {
    /// The finalizer that keeps a pod until its end is counted.
    static let finalizer: JSON = "batch.kubernetes.io/job-tracking"

    /// How a Job ends.
    struct Ending: Equatable {
        let isSuccess: Bool
        let reason: String
        let message: String
    }

    /// Uids of pods whose end is counted, and whose finalizer may still be there.
    private(set) var uncounted: (succeeded: [String], failed: [String]) = ([], [])
    private(set) var succeeded: Int
    private(set) var failed: Int
    /// Pods that have neither ended nor are being deleted.
    let active: [JSON]
    let terminating: Int
    private let job: JSON
    private let pods: [JSON]
    private let now: Timestamp

    init(_ job: JSON, _ pods: [JSON], now: Timestamp) {
        (self.job, self.pods, self.now) = (job, pods, now)
        let status = job["status"]
        func uids(_ key: String) -> [String] {
            (status?.at("uncountedTerminatedPods", key)?.array ?? []).compactMap(\.string)
        }
        uncounted = (uids("succeeded"), uids("failed"))
        succeeded = Int(status?["succeeded"]?.integer ?? 0)
        failed = Int(status?["failed"]?.integer ?? 0)
        active = pods.filter(PodState.isActive)
        terminating = pods.count { !Self.hasEnded($0) && $0.at("metadata", "deletionTimestamp") != nil }
        let known = Set(uncounted.succeeded + uncounted.failed)
        for pod in pods where Self.isTracked(pod) {
            let uid = pod.at("metadata", "uid")?.string ?? ""
            guard !known.contains(uid) else { continue }
            if pod.at("status", "phase") == "Succeeded" {
                uncounted.succeeded.append(uid)
                succeeded += 1
            } else if pod.at("status", "phase") == "Failed" || pod.at("metadata", "deletionTimestamp") != nil {
                // Whoever deletes a pod that runs has made it fail.
                uncounted.failed.append(uid)
                failed += 1
            }
        }
    }

    static func isTracked(_ pod: JSON) -> Bool {
        (pod.at("metadata", "finalizers")?.array ?? []).contains(finalizer)
    }

    private static func hasEnded(_ pod: JSON) -> Bool {
        ["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "")
    }

    static func condition(_ type: String, of job: JSON) -> Bool {
        (job.at("status", "conditions")?.array ?? []).contains { $0["type"] == .string(type) && $0["status"] == "True" }
    }

    static func isFinished(_ job: JSON) -> Bool { condition("Complete", of: job) || condition("Failed", of: job) }

    var isSuspended: Bool { job.at("spec", "suspend") == true }
    private var isLeaving: Bool { job.at("metadata", "deletionTimestamp") != nil }
    private var parallelism: Int { Int(job.at("spec", "parallelism")?.integer ?? 1) }
    private var completions: Int? { job.at("spec", "completions")?.integer.map { Int($0) } }
    private var backoffLimit: Int { Int(job.at("spec", "backoffLimit")?.integer ?? 6) }

    /// How it ends now; `nil` while it goes on.
    var ending: Ending? {
        if failed > backoffLimit || hasRestartedTooOften {
            return Ending(
                isSuccess: false, reason: "BackoffLimitExceeded",
                message: "Job has reached the specified backoff limit")
        }
        if let deadline = remainingTime, deadline <= 0 {
            return Ending(
                isSuccess: false, reason: "DeadlineExceeded",
                message: "Job was active longer than specified deadline")
        }
        let isComplete = completions.map { succeeded >= $0 } ?? (succeeded > 0 && active.isEmpty)
        guard isComplete, !isSuspended else { return nil }
        return Ending(
            isSuccess: true, reason: "CompletionsReached", message: "Reached expected number of succeeded pods")
    }

    /// Pods that start their containers again count each restart.
    private var hasRestartedTooOften: Bool {
        guard job.at("spec", "template", "spec", "restartPolicy") == "OnFailure" else { return false }
        let restarts = active.reduce(0) { sum, pod in
            let statuses =
                (pod.at("status", "containerStatuses")?.array ?? [])
                + (pod.at("status", "initContainerStatuses")?.array ?? [])
            return sum + statuses.reduce(0) { $0 + Int(Int32(clamping: $1["restartCount"]?.integer ?? 0)) }
        }
        return backoffLimit == 0 ? restarts > 0 : restarts >= backoffLimit
    }

    /// The seconds until its deadline; `nil` where it has none, or has not started.
    var remainingTime: Int? {
        guard let limit = job.at("spec", "activeDeadlineSeconds")?.integer, !isSuspended,
            let start = job.at("status", "startTime")?.string.flatMap({ Timestamp($0) })
        else { return nil }
        return start.seconds + Int(Int32(clamping: limit)) - now.seconds
    }

    /// How many pods there should be at work.
    private var wanted: Int {
        if isSuspended { return 0 }
        guard let completions else { return succeeded > 0 ? min(active.count, parallelism) : parallelism }
        return min(max(0, completions - succeeded), parallelism)
    }

    /// How many pods are missing; none while it is being deleted.
    var missing: Int { isLeaving ? 0 : max(0, wanted - active.count) }

    /// The pods that are too many.
    var surplus: [JSON] {
        isLeaving ? [] : Array(PodState.leastNeeded(active).prefix(max(0, active.count - wanted)))
    }

    /// The seconds that a new pod still has to wait after those that have failed: 10, 20, 40, at most ten minutes.
    var backoff: Int {
        guard failed > 0 else { return 0 }
        let ends = pods.filter { $0.at("status", "phase") == "Failed" }.flatMap { pod in
            (pod.at("status", "containerStatuses")?.array ?? []).compactMap {
                $0.at("state", "terminated", "finishedAt")?.string.flatMap { Timestamp($0)?.seconds }
            }
        }
        guard let last = ends.max() else { return 0 }
        return max(0, last + min(10 << min(failed - 1, 6), 600) - now.seconds)
    }
}
