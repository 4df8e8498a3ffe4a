internal import Glibc
internal import Reactor

/// kluctl's command lines, as argument arrays; the cluster is always named, never left to what a shell has chosen.
struct KluctlCommand: Sendable {
    /// The program's absolute path.
    let program: String
    /// The guarded context.
    let context: String
    /// The kubeconfig that has it; `nil` is the user's.
    let kubeconfig: String?

    /// kluctl for a cluster; `nil` where it is not installed.
    ///
    /// It is looked for in `path`, the process's `PATH` unless another is given.
    static func find(for context: KubeContext, path: String? = nil) -> KluctlCommand? {
        let folders = path ?? getenv("PATH").map { String(cString: $0) } ?? ""
        for folder in folders.split(separator: ":") where access("\(folder)/kluctl", X_OK) == 0 {
            return KluctlCommand(
                program: "\(folder)/kluctl", context: context.name, kubeconfig: context.kubectl.kubeconfig)
        }
        return nil
    }

    /// What a deployment would change.
    func diff(_ project: String, _ choice: Deployment.Kluctl?) -> [String] {
        [program, "diff"] + common(project, choice)
    }

    /// The deployment; `prunes` deletes what has left the project.
    func deploy(_ project: String, _ choice: Deployment.Kluctl?, prunes: Bool) -> [String] {
        [program, "deploy"] + common(project, choice) + ["--yes"] + (prunes ? ["--prune"] : [])
    }

    /// The end of everything that has the project's discriminator, or only the names of it.
    func delete(_ project: String, _ choice: Deployment.Kluctl?, dryRun: Bool) -> [String] {
        [program, "delete"] + common(project, choice) + [dryRun ? "--dry-run" : "--yes"]
    }

    /// Whether kluctl can prune, by what `diff` has printed: without a discriminator it applies everything and then fails.
    static func canPrune(_ printed: String) -> Bool { !printed.lowercased().contains("no discriminator") }

    /// What to say of a command that has failed: its last lines.
    static func failure(of command: String, _ output: Output) -> LoopFailure {
        let lines = (output.errorText + output.text).split(separator: "\n").map(String.init)
        return LoopFailure(
            failure: LoopEvent.Failure("kluctl \(command) failed: \(output.status)", details: lines.suffix(12)))
    }

    private func common(_ project: String, _ choice: Deployment.Kluctl?) -> [String] {
        let chosen =
            switch choice {
            case .target(let name): ["-t", name]
            case .discriminator(let name): ["--discriminator", name]
            case nil: [String]()
            }
        return ["--project-dir", project, "--context", context] + chosen
    }

    /// The variables that it runs with.
    var environment: [String: String]? {
        kubeconfig.map { ProcessEnvironment.inherited.merging(["KUBECONFIG": $0]) { _, own in own } }
    }
}
