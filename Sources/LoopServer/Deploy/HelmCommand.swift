internal import Glibc
internal import JSON
internal import Reactor

/// helm's command lines, as argument arrays; the cluster is always named, never left to what a shell has chosen.
struct HelmCommand: Equatable, Sendable {
    /// The program's absolute path.
    let program: String
    /// The guarded context.
    let context: String
    /// The kubeconfig that has it; `nil` is the user's.
    let kubeconfig: String?
    let namespace: String

    /// helm for a cluster; `nil` where it is not installed.
    ///
    /// It is looked for in `path`, the process's `PATH` unless another is given.
    static func find(for context: KubeContext, namespace: String, path: String? = nil) -> HelmCommand? {
        let folders = path ?? getenv("PATH").map { String(cString: $0) } ?? ""
        for folder in folders.split(separator: ":") where access("\(folder)/helm", X_OK) == 0 {
            return HelmCommand(
                program: "\(folder)/helm", context: context.name, kubeconfig: context.kubectl.kubeconfig,
                namespace: namespace)
        }
        return nil
    }

    /// What to say where there is none.
    static func missing(_ release: String) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "release \(release) needs helm, and there is none in PATH",
                nextStep: "install Helm 3.13 or later (https://helm.sh)"))
    }

    private var cluster: [String] {
        (kubeconfig.map { ["--kubeconfig", $0] } ?? []) + ["--kube-context", context, "--namespace", namespace]
    }

    /// A release with its files where they are, after images were put into them.
    struct Inputs: Equatable, Sendable {
        var release: HelmRelease
        var valuesFiles: [String]
        /// Numbers and booleans; texts are in `texts`.
        var set: [String: JSON]
        /// The private files that hold the texts of `set`: what is in an argument list anybody on the machine may read.
        var texts: [String: String] = [:]

        /// As they stand in the file.
        init(_ release: HelmRelease) {
            self.release = release
            valuesFiles = release.valuesFiles
            set = release.set.filter { $0.value.string == nil }
        }

        fileprivate var arguments: [String] {
            valuesFiles.flatMap { ["--values", HelmCommand.listed($0)] }
                // Numbers and booleans as such, and a text that looks like one as a text.
                + set.sorted { $0.key < $1.key }.flatMap { ["--set-json", "\($0.key)=\($0.value.text)"] }
                + texts.sorted { $0.key < $1.key }.flatMap { key, file in
                    ["--set-file", "\(key)=\(HelmCommand.escaped(file))"]
                }
                + (release.version.map { ["--version", $0] } ?? [])
        }
    }

    /// `v3.21.4`.
    var version: [String] { [program, "version", "--template", "{{.Version}}"] }

    /// What an upgrade would apply, as the cluster's own version and kinds make it; as JSON.
    ///
    /// The values are reset: one that was taken out of the files would otherwise live on in the release.
    func rendering(_ inputs: Inputs) -> [String] {
        [
            program, "upgrade", inputs.release.name, inputs.release.chart, "--install", "--reset-values",
            "--dry-run=server", "--output", "json",
        ]
            + cluster + inputs.arguments
    }

    /// The same without the cluster, which does not know kinds that the chart itself brings.
    func template(_ inputs: Inputs) -> [String] {
        [program, "template", inputs.release.name, inputs.release.chart, "--skip-tests"] + cluster
            + inputs.arguments
    }

    /// The definitions in the chart's `crds` folder, which an upgrade leaves out.
    func definitions(_ release: HelmRelease) -> [String] {
        [program, "show", "crds", release.chart] + (release.version.map { ["--version", $0] } ?? [])
    }

    /// The upgrade, or the first installation.
    func upgrade(_ inputs: Inputs, postRenderer: [String], forcesConflicts: Bool) -> [String] {
        [
            program, "upgrade", inputs.release.name, inputs.release.chart, "--install", "--reset-values", "--output",
            "json",
            "--skip-crds",
        ]
            + (forcesConflicts ? ["--force-conflicts"] : []) + cluster + inputs.arguments + postRenderer
    }

    /// A release as it is now, or was in a revision, as JSON.
    func status(_ release: String, revision: Int? = nil) -> [String] {
        [program, "status", release, "--output", "json"] + (revision.map { ["--revision", "\($0)"] } ?? []) + cluster
    }

    /// What a release has applied.
    func manifest(_ release: String) -> [String] { [program, "get", "manifest", release] + cluster }

    /// A release's revisions, as JSON.
    func history(_ release: String) -> [String] { [program, "history", release, "--output", "json"] + cluster }

    /// Back to a revision.
    func rollback(_ release: String, to revision: Int, forcesConflicts: Bool) -> [String] {
        [program, "rollback", release, "\(revision)"] + (forcesConflicts ? ["--force-conflicts"] : []) + cluster
    }

    /// Removes a release.
    func uninstall(_ release: String) -> [String] { [program, "uninstall", release] + cluster }

    /// A path in `--set-file`, as what it is: commas and braces would make lists of it.
    static func escaped(_ value: String) -> String {
        var result = ""
        for character in value {
            if "\\,{}".contains(character) { result += "\\" }
            result.append(character)
        }
        return result
    }

    /// A path as one value of `--values`, which reads a line of comma-separated values.
    private static func listed(_ path: String) -> String { ClusterConnection.listed(path) }

    /// The variables that it runs with: helm's own for the cluster lose against its flags, and stay.
    var environment: [String: String] { ProcessEnvironment.inherited }

    // MARK: What it answers

    /// The major version in `v3.21.4`; `nil` where it is no version.
    static func major(_ text: String) -> Int? {
        Int(text.drop { !$0.isNumber }.prefix { $0.isNumber })
    }

    /// The line that says why helm has failed, without the values of Secrets.
    static func cause(_ text: String) -> String {
        let lines = text.split(separator: "\n").map(String.init)
        let line = lines.last { $0.hasPrefix("Error: ") } ?? lines.last { !$0.allSatisfy(\.isWhitespace) } ?? ""
        let cause = ["Error: ", "UPGRADE FAILED: ", "INSTALLATION FAILED: "].reduce(line) { $0.droppingPrefix($1) }
        guard cause.contains("Secret") else { return cause }
        return ManifestApply.withoutValues(ClusterConnection.reasons(cause).first ?? "")
    }

    /// What to do about a release that helm is not finished with; `nil` for any other.
    func remedy(_ release: String, status: String) -> String? {
        switch status {
        case "pending-upgrade", "pending-rollback":
            "if no other helm is at work: `helm rollback \(release) -n \(namespace)`"
        case "pending-install": "if no other helm is at work: `helm uninstall \(release) -n \(namespace)`"
        default: nil
        }
    }
}
