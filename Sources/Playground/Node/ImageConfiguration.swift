internal import JSON

/// What an image says about how its containers are started.
struct ImageConfiguration: Equatable, Sendable {
    var entrypoint: [String] = []
    var command: [String] = []
    var environment: [(name: String, value: String)] = []
    var user = ""
    var directory = ""
    var stopSignal = ""

    init() {}

    /// From the image's configuration blob.
    init(_ blob: JSON) {
        let config = blob["config"] ?? [:]
        func strings(_ key: String) -> [String] { config[key]?.array?.compactMap(\.string) ?? [] }
        entrypoint = strings("Entrypoint")
        command = strings("Cmd")
        environment = strings("Env").map { entry in
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        }
        user = config["User"]?.string ?? ""
        directory = config["WorkingDir"]?.string ?? ""
        stopSignal = config["StopSignal"]?.string ?? ""
    }

    static func == (left: ImageConfiguration, right: ImageConfiguration) -> Bool {
        left.entrypoint == right.entrypoint && left.command == right.command && left.user == right.user
            && left.directory == right.directory && left.stopSignal == right.stopSignal
            && left.environment.elementsEqual(right.environment) { $0 == $1 }
    }

    /// The command line of a container: its own `command` replaces both parts of the image's, its `args` only the second.
    func arguments(command own: [String]?, args: [String]?) -> [String] {
        if let own, !own.isEmpty { return own + (args ?? []) }
        if let args, !args.isEmpty { return entrypoint + args }
        return entrypoint + command
    }
}

/// An image on the node, ready for containers.
struct Image: Sendable {
    enum Content: Sendable {
        case host
        /// Unpacked layers' folders, the lowest first.
        case layers([String])
        /// Overlays are impossible here: one folder to copy.
        case merged(String)
    }
    /// As containers name it.
    var reference: String
    /// As `repository@sha256:…`.
    var id: String
    var configuration: ImageConfiguration
    var content: Content
    /// In bytes, as transferred.
    var size = 0

    var isHost: Bool { if case .host = content { true } else { false } }
}
