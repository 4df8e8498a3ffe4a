/// Finds logins where `docker login` and `podman login` leave them.
public struct CredentialStore: Sendable {
    /// Variables that say where the files are: `DOCKER_CONFIG`, `REGISTRY_AUTH_FILE`, `XDG_RUNTIME_DIR`, `HOME`.
    let environment: [String: String]
    let programs: any ProgramRunner

    /// The logins of an environment.
    public init(environment: [String: String], programs: any ProgramRunner = DirectRunner()) {
        self.environment = environment
        self.programs = programs
    }

    /// The login for a registry, the most special one for a repository of it; `nil` where there is none.
    public func credentials(for registry: String, repository: String = "") async -> Credentials? { nil }
}
