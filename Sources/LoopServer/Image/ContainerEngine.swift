/// A program that builds images here, and where it listens.
struct ContainerEngine: Equatable, Sendable {
    /// The program that is run.
    var program: EngineBuild.Program
    /// Where its service listens, such as `unix:///var/run/docker.sock`; `nil` where it works without one.
    var address: String?
    /// Variables that it needs on top of loopd's own environment.
    var environment: [String: String] = [:]
    /// What `DOCKER_HOST` has to be for docker to come to this engine, where that is not docker's own choice.
    var dockerHost: String?

    /// What people are told: `docker at unix:///var/run/docker.sock`.
    var title: String { program.rawValue + (address.map { " at \($0)" } ?? "") }
}
