internal import JSON
internal import Reactor

/// Reads and changes pods, as far as the ladder needs it.
protocol PodObjects: Sendable {
    func pod(_ name: String) async throws -> JSON
    func node(_ name: String) async throws -> JSON
    /// Adds an ephemeral container by a strategic merge patch of the pod's `ephemeralcontainers`.
    func addEphemeralContainer(_ container: JSON, to pod: String) async throws
    /// Waits until `isDone` says so of the pod, following it by watching.
    func wait(forPod name: String, limit: Duration, until isDone: @escaping @Sendable (JSON) -> Bool) async throws
        -> JSON
}

/// Brings the helper beside a container that has neither shell nor tar: an ephemeral container in its process namespace,
/// with its user, that works through `/proc/<pid>/root`.
///
/// Ephemeral containers cannot be removed, so the one from before is used again while it runs or can still start.
struct EphemeralUpload: Sendable {
    let objects: any PodObjects
    let exec: any ContainerExec
    let pod: String
    let target: String
    /// The container's id without its scheme: how its processes are found.
    let containerID: String
    /// An image that nodes can pull and that has a shell.
    let image: String
    let program: HelperProgram
    let generation: UInt64

    private static let prefix = "loopd-"
    /// What a container runs that only has to be there, because the helper comes by exec; it ends at once when told to.
    static let waiting = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]

    /// Starts the helper there and returns it with the target's root as the helper sees it.
    func start() async throws -> (helper: StartedHelper, root: String) {
        let name = try await runningContainer()
        let upload = HelperUpload(exec: exec, pod: pod, container: name, program: program, generation: generation)
        let process = try await targetProcess(in: name)
        let helper = try await upload.byShell(places: UploadScript.places(destinations: []))
        return (helper, "/proc/\(process)/root")
    }

    /// The name of a running ephemeral container of ours for this target, made if there is none.
    private func runningContainer() async throws -> String {
        let present = try await objects.pod(pod)
        // Beside a container that has ended it could not run, and would stay in the pod all the same.
        if let reason = ending(in: present) { throw ExecEnd(kind: .containerUnavailable, message: reason) }
        let ours = EphemeralUpload.ours(in: present, for: target)
        if let running = ours.first(where: { EphemeralUpload.hasStarted($0.name, in: present) }) { return running.name }
        // One that waits for this image will start as soon as the image is there: another one would only wait as well.
        let waiting = ours.last { $0.image == image && !EphemeralUpload.hasEnded($0.name, in: present) }
        guard waiting != nil || ours.count < EphemeralUpload.most else {
            throw RungFailed(
                description: "\(ours.count) ephemeral containers of loopd's have ended in this pod; delete the pod")
        }
        let name: String
        if let waiting {
            name = waiting.name
        } else {
            let taken = Set((present.at("spec", "ephemeralContainers")?.array ?? []).compactMap { $0["name"]?.string })
            name = (1...).lazy.map { "\(EphemeralUpload.prefix)\($0)" }.first { !taken.contains($0) } ?? "loopd-1"
            try await objects.addEphemeralContainer(container(named: name, pod: present), to: pod)
        }
        let started = try await objects.wait(forPod: pod, limit: .seconds(60)) { pod in
            EphemeralUpload.hasStarted(name, in: pod) || EphemeralUpload.hasEnded(name, in: pod)
                || EphemeralUpload.isStuck(name, in: pod)
        }
        let state = EphemeralUpload.status(of: name, in: started)?["state"]
        guard state?["running"] == nil else { return name }
        let why =
            state?.at("waiting", "message")?.string ?? state?.at("waiting", "reason")?.string
            ?? state?.at("terminated", "reason")?.string ?? "it did not start"
        throw RungFailed(description: "ephemeral container from image \(image): \(why)")
    }

    /// Why the target's run that this is about is over; `nil` where it is not, as far as the pod says.
    private func ending(in pod: JSON) -> String? {
        guard let status = EphemeralUpload.targetStatus(of: target, in: pod), let state = status["state"] else {
            return nil
        }
        let isSame = Ladder.bareID(status["containerID"]?.string ?? "") == containerID
        return isSame && state["running"] != nil ? nil : "container \"\(target)\" does not run"
    }

    private func container(named name: String, pod: JSON) -> JSON {
        let user = EphemeralUpload.user(of: target, in: pod)
        var context: JSON = [:]
        let wanted = EphemeralUpload.securityContext(of: target, in: pod)
        for key in ["capabilities", "allowPrivilegeEscalation", "seccompProfile", "runAsNonRoot"] {
            if let value = wanted?[key] { context[key] = value }
        }
        if let uid = user?.uid { context["runAsUser"] = .integer(uid) }
        if let gid = user?.gid { context["runAsGroup"] = .integer(gid) }
        return [
            "name": .string(name), "image": .string(image), "targetContainerName": .string(target),
            "imagePullPolicy": "IfNotPresent", "securityContext": context,
            "command": .array(EphemeralUpload.waiting.map(JSON.string)),
        ]
    }

    /// The target's first process, found by the container's id in the control groups of every process that can be seen.
    ///
    /// It need not be process 1: pods can share one process namespace.
    private func targetProcess(in name: String) async throws -> Int {
        let script = """
            for p in /proc/[0-9]*; do
              while read -r line; do
                case $line in *"$1"*) echo "${p#/proc/}"; break;; esac
              done <"$p/cgroup"
            done 2>/dev/null
            """
        let (code, output) = try await exec.run(["sh", "-c", script, "loopd", containerID], pod: pod, container: name)
        guard code == 0 else {
            throw RungFailed(description: "the shell of image \(image) fails with exit code \(code)")
        }
        guard let process = output.split(separator: "\n").compactMap({ Int($0) }).min() else {
            throw RungFailed(description: "no process of container \(target) can be seen from the ephemeral container")
        }
        return process
    }

    /// How many of ours a pod gets: each restart of the target ends one.
    private static let most = 30

    private static func status(of name: String, in pod: JSON) -> JSON? {
        pod.at("status", "ephemeralContainerStatuses")?.array?.first { $0["name"]?.string == name }
    }

    private static func hasStarted(_ name: String, in pod: JSON) -> Bool {
        status(of: name, in: pod)?.at("state", "running") != nil
    }

    private static func hasEnded(_ name: String, in pod: JSON) -> Bool {
        status(of: name, in: pod)?.at("state", "terminated") != nil
    }

    /// Whether it waits for what may never come.
    private static func isStuck(_ name: String, in pod: JSON) -> Bool {
        let reason = status(of: name, in: pod)?.at("state", "waiting", "reason")?.string ?? ""
        return reason.hasPrefix("ErrImage")
            || ["ImagePullBackOff", "CreateContainerError", "InvalidImageName"].contains(reason)
    }

    /// The ephemeral containers of ours for `target`, in the order they were made.
    static func ours(in pod: JSON, for target: String) -> [(name: String, image: String)] {
        (pod.at("spec", "ephemeralContainers")?.array ?? []).compactMap { container in
            guard container["targetContainerName"]?.string == target, let name = container["name"]?.string,
                name.hasPrefix(prefix)
            else { return nil }
            return (name, container["image"]?.string ?? "")
        }
    }

    /// Who the target runs as: what the node says, else what the spec says.
    static func user(of container: String, in pod: JSON) -> (uid: Int64?, gid: Int64?)? {
        let status = targetStatus(of: container, in: pod)
        if let linux = status?.at("user", "linux") { return (linux["uid"]?.integer, linux["gid"]?.integer) }
        let own = securityContext(of: container, in: pod)
        let common = pod.at("spec", "securityContext")
        return (
            own?["runAsUser"]?.integer ?? common?["runAsUser"]?.integer,
            own?["runAsGroup"]?.integer ?? common?["runAsGroup"]?.integer
        )
    }

    private static func securityContext(of container: String, in pod: JSON) -> JSON? {
        named(container, in: pod["spec"], ["containers", "initContainers"])?["securityContext"]
    }

    private static func targetStatus(of container: String, in pod: JSON) -> JSON? {
        named(container, in: pod["status"], ["containerStatuses", "initContainerStatuses"])
    }

    /// The container of a name, which may be a sidecar among the init containers.
    private static func named(_ name: String, in part: JSON?, _ keys: [String]) -> JSON? {
        keys.lazy.flatMap { part?[$0]?.array ?? [] }.first { $0["name"]?.string == name }
    }
}
