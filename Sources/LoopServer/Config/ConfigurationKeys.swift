/// Every key of `loop.json`, section by section: what the reader accepts and what `loop.schema.json` has to describe.
struct ConfigurationKeys: Sendable {
    /// The section's name in messages and in the schema's `$defs`.
    let section: String
    /// Keys that mean something.
    let known: [String]

    static let root = ConfigurationKeys(
        section: "loop.json",
        known: ["$schema", "version", "project", "cluster", "registry", "watch", "builds", "services"])
    static let cluster = ConfigurationKeys(
        section: "cluster",
        known: ["provider", "context", "namespace", "kubeconfig", "allowContexts", "helperImage"])
    static let registry = ConfigurationKeys(
        section: "registry", known: ["push", "pull"])
    static let watch = ConfigurationKeys(
        section: "watch", known: ["debounce", "maxWait", "ignore", "poll"])
    static let service = ConfigurationKeys(
        section: "service",
        known: [
            "root", "workload", "selector", "container", "manifests", "dependsOn", "rules", "recreate", "dev", "host",
            "forward",
        ])
    static let dev = ConfigurationKeys(
        section: "dev", known: ["command", "args", "env", "workingDir"])
    static let host = ConfigurationKeys(
        section: "host",
        known: [
            "command", "dir", "build", "watch", "env", "ports", "needs", "identity", "replicas", "fallback", "wait",
            "grace", "debug",
        ])
    static let port = ConfigurationKeys(section: "port", known: ["container", "host"])
    static let rule = ConfigurationKeys(
        section: "rule", known: ["watch", "sync", "build", "sideload", "image", "deploy", "then"])
    static let sync = ConfigurationKeys(
        section: "sync", known: ["to", "from", "mirror", "via"])
    static let step = ConfigurationKeys(
        section: "step", known: ["exec", "restart"])
    static let build = ConfigurationKeys(
        section: "build", known: ["run", "dir", "env", "watch"])
    static let sideload = ConfigurationKeys(
        section: "sideload", known: ["from", "to", "on", "nix", "profile", "copyTo"])
    static let nix = ConfigurationKeys(
        section: "nix", known: ["flake", "file", "attribute", "args"])
    static let deploy = ConfigurationKeys(
        section: "deploy", known: ["nix", "kluctl", "manifests", "kustomize", "helm"])
    static let kluctl = ConfigurationKeys(
        section: "kluctl", known: ["target", "discriminator"])
    static let helm = ConfigurationKeys(
        section: "helm", known: ["chart", "release", "valuesFiles", "set", "version"])
    static let image = ConfigurationKeys(
        section: "image",
        known: ["name", "builder", "container", "alias"] + ImageFamily.allCases.flatMap(\.keys))
    static let secret = ConfigurationKeys(
        section: "secret", known: ["file", "env"])
    static let files = ConfigurationKeys(
        section: "files", known: ["from", "to"])
    static let config = ConfigurationKeys(
        section: "config", known: ["entrypoint", "cmd", "env", "user", "workingDir"])

    /// All sections with keys of their own.
    static let sections = [
        root, cluster, watch, build, service, dev, host, port, rule, sync, sideload, nix, deploy, kluctl, helm, step,
        registry, image, secret, files, config,
    ]
    /// Providers that are planned.
    static let laterProviders = ["k3d", "colima"]

    /// What to say about a key that this section does not have.
    func hint(for key: String) -> String? {
        if let near = NearestName.of(key, among: known) { return "did you mean \"\(near)\"?" }
        if let home = ConfigurationKeys.sections.first(where: { $0.known.contains(key) }) {
            return "\"\(key)\" belongs in \(home.section)"
        }
        return "known here: " + known.joined(separator: ", ")
    }
}
