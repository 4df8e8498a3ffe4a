/// An engine that cannot be worked with, from what its program says.
struct EngineTrouble: Equatable, Sendable {
    let summary: String
    let nextStep: String

    /// Reads lines of what a program printed; `nil` where they are about something else.
    init?(_ lines: [String], _ engine: ContainerEngine) {
        for line in lines {
            let text = line.lowercased()
            if text.contains("permission denied while trying to connect to the docker") {
                summary = "this user may not use docker\(EngineTrouble.place(engine))"
                nextStep = EngineSearch.groupHint
                return
            }
            let isDown =
                text.contains("cannot connect to the docker daemon")
                || text.contains("failed to connect to the docker api")
                || text.contains("error during connect:") || text.contains("cannot connect to podman")
                || text.contains("unable to connect to podman")
            if isDown {
                summary = "\(engine.program.rawValue) does not answer\(EngineTrouble.place(engine))"
                nextStep =
                    if engine.address?.contains("/machine/") == true {
                        "podman machine start"
                    } else if engine.program == .podman || engine.address?.contains("podman") == true {
                        "start it: `systemctl --user start podman.socket`"
                    } else {
                        "start it: `sudo systemctl start docker`"
                    }
                return
            }
        }
        return nil
    }

    private static func place(_ engine: ContainerEngine) -> String { engine.address.map { " at \($0)" } ?? "" }

    /// How room is made.
    static func spaceHint(_ program: EngineBuild.Program) -> String {
        switch program {
        case .docker:
            "make room: `docker system df` shows what is there, `docker system prune` removes what nothing uses"
        case .podman:
            "make room: `podman system df` shows what is there, `podman system prune` removes what nothing uses"
        case .buildah:
            "make room: `buildah images` shows what is there, `buildah rmi --prune` removes what nothing uses"
        }
    }
}
