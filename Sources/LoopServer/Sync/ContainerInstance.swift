/// One run of one container: a restarted container is another instance, because its file system is new.
struct ContainerInstance: Hashable, Sendable {
    /// The pod's uid and the container's id.
    struct ID: Hashable, Sendable, CustomStringConvertible {
        let podUID: String
        let containerID: String

        var description: String { "\(podUID)/\(containerID)" }
    }

    let id: ID
    let namespace: String
    let pod: String
    let container: String
    /// The node that it runs on.
    let node: String
    /// Whether loopd's helper is its process 1, which starts the service.
    var isInDevMode = false
    /// How long its process gets to end by itself.
    var gracePeriod = Duration.seconds(30)
    /// Whether something makes the pod anew when it is deleted.
    var hasController = true
    /// Where files lie that belong directly into `/`, where nothing else can be written there; `nil` is `/` itself.
    var root: String?

    /// A destination as this container has it.
    func placed(_ destination: Destination) -> Destination {
        guard destination.path == "/", let root else { return destination }
        return Destination(path: root, mirror: destination.mirror, isListedWhole: destination.isListedWhole)
    }

    static func == (left: ContainerInstance, right: ContainerInstance) -> Bool { left.id == right.id }

    func hash(into hasher: inout Hasher) { hasher.combine(id) }
}

/// Finds a way into containers.
protocol ContainerConnector: Sendable {
    /// Opens the best way into a running container. Throws when there is none; the lane tries again as long as the
    /// container runs.
    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess
}
