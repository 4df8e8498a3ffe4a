internal import JSON

/// Finds what builds images here: a pure decision on what is in the environment and on the disk.
struct EngineSearch {
    /// What a socket's file says when it is connected to.
    enum SocketState: Equatable {
        /// Something accepts.
        case answers
        /// The file is left from something that has ended.
        case stale
        /// This user may not.
        case denied
        /// There is no such file.
        case missing
    }

    var environment: [String: String]
    var userID: UInt32
    var isMac = false
    /// Whether a program is in `PATH`.
    var hasProgram: (String) -> Bool
    /// What a socket's file is, by its path.
    var socket: (String) -> SocketState
    /// The bytes of a file.
    var contents: (String) -> [UInt8]?

    static let dockerSocket = "/var/run/docker.sock"

    /// What was looked at and does not work.
    private struct Looked {
        var lines: [String] = []
        var isDenied = false
        /// A Podman machine that may only have to be started.
        var isMachineDown = false

        /// Whether the socket answers.
        mutating func at(_ path: String, is state: SocketState, isMachine: Bool = false) -> Bool {
            switch state {
            case .answers: return true
            case .stale: lines.append("\(path): nothing listens there any more")
            case .denied:
                lines.append("\(path): permission denied")
                isDenied = true
            case .missing: lines.append("\(path): not there")
            }
            if isMachine { isMachineDown = true }
            return false
        }

        /// What is worth a word when something else is taken.
        var passedOver: [String] { lines.filter { !$0.hasSuffix(": not there") && !$0.hasSuffix("not in PATH") } }
    }

    /// The engine: what `DOCKER_HOST` names, docker where it finds itself, Podman's sockets, then podman and buildah without
    /// one; `pinned` leaves only one program.
    func find(_ pinned: EngineBuild.Program? = nil) throws -> ContainerEngine {
        var looked = Looked()
        switch pinned {
        case .buildah:
            if hasProgram("buildah") { return ContainerEngine(.buildah) }
            throw missing(.buildah)
        case .podman:
            guard hasProgram("podman") else { throw missing(.podman) }
            if let engine = podman(&looked) { return engine }
        case .docker, nil:
            if pinned == .docker, !hasProgram("docker") { throw missing(.docker) }
            if let host = value("DOCKER_HOST") { return try named(host, isPinned: pinned == .docker) }
            if var engine = docker(&looked) ?? podmanSocket(&looked, program: pinned)
                ?? (pinned == nil ? daemonless(&looked) : nil)
            {
                engine.passedOver = looked.passedOver
                return engine
            }
        }
        throw nothing(looked, pinned)
    }

    // MARK: Docker

    /// The user has said where: anything else would be a surprise.
    private func named(_ host: String, isPinned: Bool) throws -> ContainerEngine {
        if host.hasPrefix("unix://") {
            let path = String(host.dropFirst("unix://".count))
            switch socket(path) {
            case .answers: break
            case .denied:
                throw failure(
                    "DOCKER_HOST is \(host), and this user may not connect to it", nextStep: EngineSearch.groupHint)
            case .stale, .missing:
                throw failure(
                    "DOCKER_HOST is \(host), and nothing listens there",
                    nextStep: path.contains("/machine/")
                        ? "podman machine start"
                        : "start the engine, or unset DOCKER_HOST so that loopd looks for another")
            }
        }
        if hasProgram("docker") { return ContainerEngine(.docker, address: host, environment: dockerVariables(host)) }
        if !isPinned, host.contains("podman"), hasProgram("podman") {
            return ContainerEngine(.podman, address: host, environment: ["CONTAINER_HOST": host])
        }
        throw failure(
            "DOCKER_HOST is \(host), and there is no docker in PATH to talk to it with",
            nextStep: "install docker's client: `apt-get install docker.io`, or https://docs.docker.com/engine/install")
    }

    /// Docker where it finds itself: `DOCKER_HOST` stays unset.
    private func docker(_ looked: inout Looked) -> ContainerEngine? {
        let context = currentContext
        let path = EngineSearch.dockerSocket
        guard hasProgram("docker") else {
            let state = socket(path)
            if state == .answers {
                looked.lines.append("\(path): there is no docker in PATH to talk to it with")
            } else {
                _ = looked.at(path, is: state)
            }
            return nil
        }
        if let context {
            guard let host = endpoint(of: context) else {
                return ContainerEngine(.docker, address: "context \(context)")
            }
            let file = host.hasPrefix("unix://") ? String(host.dropFirst("unix://".count)) : nil
            if file.map({ looked.at($0, is: socket($0)) }) ?? true { return ContainerEngine(.docker, address: host) }
        }
        guard looked.at(path, is: socket(path)) else { return nil }
        // A context that leads nowhere would win over the default socket.
        let variables = context == nil ? [:] : ["DOCKER_HOST": "unix://\(path)"]
        return ContainerEngine(
            .docker, address: "unix://\(path)", environment: variables, dockerHost: variables["DOCKER_HOST"])
    }

    /// The name of docker's current context, unless that is its default.
    private var currentContext: String? {
        var name = value("DOCKER_CONTEXT")
        if name == nil, let folder = dockerFolder, let bytes = contents("\(folder)/config.json") {
            name = (try? JSON(parsing: bytes))?["currentContext"]?.string
        }
        return name == "default" || name == "" ? nil : name
    }

    /// Where a context leads to, as docker keeps it.
    private func endpoint(of context: String) -> String? {
        guard let folder = dockerFolder else { return nil }
        let hash = SHA256Digest(of: Array(context.utf8)).hex
        guard let bytes = contents("\(folder)/contexts/meta/\(hash)/meta.json") else { return nil }
        return (try? JSON(parsing: bytes))?.at("Endpoints", "docker", "Host")?.string
    }

    private var dockerFolder: String? { value("DOCKER_CONFIG") ?? value("HOME").map { "\($0)/.docker" } }

    /// Podman's API does not speak BuildKit.
    private func dockerVariables(_ host: String) -> [String: String] {
        host.contains("podman") && value("DOCKER_BUILDKIT") == nil ? ["DOCKER_BUILDKIT": "0"] : [:]
    }

    // MARK: Podman and buildah

    private struct PodmanSocket {
        let path: String
        /// Whether the program alone has the same images.
        let isOwn: Bool
        var isMachine = false
    }

    /// Podman's sockets in their order, each once.
    private var podmanSockets: [PodmanSocket] {
        var sockets: [PodmanSocket] = []
        func add(_ path: String, isOwn: Bool, isMachine: Bool = false) {
            guard !sockets.contains(where: { $0.path == path }) else { return }
            sockets.append(PodmanSocket(path: path, isOwn: isOwn, isMachine: isMachine))
        }
        if let folder = value("XDG_RUNTIME_DIR") { add("\(folder)/podman/podman.sock", isOwn: true) }
        add("/run/user/\(userID)/podman/podman.sock", isOwn: true)
        add("/run/podman/podman.sock", isOwn: userID == 0)
        if isMac, let home = value("HOME") {
            add("\(home)/.local/share/containers/podman/machine/podman.sock", isOwn: true, isMachine: true)
        }
        return sockets
    }

    /// The first of Podman's sockets that answers, and the program for it.
    private func podmanSocket(_ looked: inout Looked, program: EngineBuild.Program? = nil) -> ContainerEngine? {
        for place in podmanSockets where looked.at(place.path, is: socket(place.path), isMachine: place.isMachine) {
            let host = "unix://\(place.path)"
            if program != .docker, hasProgram("podman") {
                // Its own images need no socket: a build without one ends with its program.
                return place.isOwn && !isMac
                    ? ContainerEngine(.podman, dockerHost: host)
                    : ContainerEngine(
                        .podman, address: host, environment: place.isMachine ? [:] : ["CONTAINER_HOST": host],
                        dockerHost: host)
            }
            if program != .podman, hasProgram("docker") {
                let variables = ["DOCKER_HOST": host].merging(dockerVariables(host)) { own, _ in own }
                return ContainerEngine(.docker, address: host, environment: variables, dockerHost: host)
            }
            looked.lines.append("\(place.path): there is neither podman nor docker in PATH to talk to it with")
        }
        return nil
    }

    /// Podman's program, wherever that finds its images.
    private func podman(_ looked: inout Looked) -> ContainerEngine? {
        if let host = value("CONTAINER_HOST") { return ContainerEngine(.podman, address: host) }
        guard isMac else { return ContainerEngine(.podman) }
        return podmanSocket(&looked, program: .podman)
    }

    /// Programs that build without a service.
    private func daemonless(_ looked: inout Looked) -> ContainerEngine? {
        guard !isMac else { return nil }
        for program in [EngineBuild.Program.podman, .buildah] {
            if hasProgram(program.rawValue) { return ContainerEngine(program) }
        }
        looked.lines.append("podman, buildah: not in PATH")
        return nil
    }

    // MARK: Failures

    static let groupHint =
        "join the group docker (`sudo usermod -aG docker $USER`, then log in again), or use rootless podman"

    private func missing(_ program: EngineBuild.Program) -> LoopFailure {
        failure(
            "there is no \(program.rawValue) in PATH, and loop.json wants it to build images",
            nextStep:
                "install it (`apt-get install \(program == .docker ? "docker.io" : program.rawValue)`), or leave out \"builder\""
        )
    }

    private func nothing(_ looked: Looked, _ pinned: EngineBuild.Program?) -> LoopFailure {
        let nextStep =
            if looked.isDenied {
                EngineSearch.groupHint
            } else if isMac, looked.isMachineDown, hasProgram("podman") {
                "podman machine start"
            } else if isMac {
                "start Docker Desktop, `colima start`, or `podman machine start`"
            } else if hasProgram("docker") {
                "start docker (`sudo systemctl start docker`), or set DOCKER_HOST"
            } else {
                "install one: `apt-get install podman` needs no service"
            }
        let what = pinned.map { "\($0.rawValue) does not run here" } ?? "nothing here builds images"
        let docker = hasProgram("docker") ? [] : ["docker: not in PATH"]
        return failure(what, details: ["DOCKER_HOST: not set"] + docker + looked.lines, nextStep: nextStep)
    }

    private func failure(_ summary: String, details: [String] = [], nextStep: String) -> LoopFailure {
        LoopFailure(failure: LoopEvent.Failure(summary, details: details, nextStep: nextStep))
    }

    /// A variable that is set and not empty.
    private func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
}
