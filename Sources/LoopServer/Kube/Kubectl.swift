internal import Glibc
internal import JSON
internal import Reactor

/// The kubectl program, bound to one kubeconfig and context: both are always named, never left to what another shell chose.
struct Kubectl: Equatable, Sendable {
    /// The oldest kubectl that is good enough: 1.31 speaks exec over WebSocket to the cluster.
    static let oldestMinor = 31

    /// The absolute path of the program.
    let program: String
    /// The kubeconfig that was asked for; `nil` leaves it to `KUBECONFIG` and `~/.kube/config`.
    var kubeconfig: String?
    /// The context that was asked for; `nil` is the kubeconfig's current one.
    var context: String?

    /// A whole command line.
    func command(_ arguments: [String]) -> [String] {
        [program] + (kubeconfig.map { ["--kubeconfig", $0] } ?? []) + (context.map { ["--context", $0] } ?? [])
            + arguments
    }

    /// Looks for kubectl in `path` (the process's `PATH` unless another is given).
    static func find(path: String? = nil) throws(ClusterError) -> Kubectl {
        let folders = path ?? getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        for folder in folders.split(separator: ":") {
            let candidate = "\(folder)/kubectl"
            if access(candidate, X_OK) == 0 { return Kubectl(program: candidate) }
        }
        throw ClusterError(
            kind: .kubectlMissing, summary: "no kubectl in PATH",
            nextStep: "install kubectl 1.\(oldestMinor) or later (`make demo` does)")
    }

    /// Makes sure that the program is new enough, without asking the cluster.
    func checkVersion() async throws {
        let output = try await run([program, "version", "--client", "-o", "json"])
        let version = (try? JSON(parsing: output.standardOutput))?["clientVersion"]
        let text = version?["gitVersion"]?.string ?? "of an unknown version"
        // Vendors add signs: `32+`.
        let minor = (version?["minor"]?.string).flatMap { Int($0.prefix { $0.isNumber }) }
        let major = (version?["major"]?.string).flatMap { Int($0) }
        if let major, let minor, (major, minor) >= (1, Kubectl.oldestMinor) { return }
        throw ClusterError(
            kind: .kubectlTooOld, summary: "\(program) is \(text), older than v1.\(Kubectl.oldestMinor)",
            nextStep: "install kubectl 1.\(Kubectl.oldestMinor) or later")
    }

    func run(_ arguments: [String]) async throws -> Output {
        do {
            return try await Child.run(Launch(arguments))
        } catch let error as SystemError {
            throw ClusterError(
                kind: .kubectlMissing, summary: "\(program) does not start: \(error)",
                nextStep: "install kubectl 1.\(Kubectl.oldestMinor) or later")
        }
    }
}
