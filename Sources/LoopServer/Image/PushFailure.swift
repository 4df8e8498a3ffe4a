internal import OCI
internal import Reactor

/// Why an engine did not push an image, from what it printed: a pure function.
struct PushFailure {
    /// The image's name, as people know it.
    let image: String
    let reference: String
    let engine: ContainerEngine

    /// How often it is worth being tried, from what one attempt has printed.
    func attempts(_ printed: [String]) -> Int {
        guard let trouble = RegistryTrouble(complaint(printed)), trouble.isPassing else { return 1 }
        if engine.program == .docker { return 4 }
        // The others have tried to connect for some seconds already.
        return trouble == .brokenOff ? 3 : 1
    }

    /// One line with the cause, and what to do.
    func explain(_ status: ExitStatus, _ printed: [String]) -> LoopEvent.Failure {
        let lines = complaint(printed)
        if let trouble = EngineTrouble(lines, engine) {
            return LoopEvent.Failure("image \(image): \(trouble.summary)", nextStep: trouble.nextStep)
        }
        let registry = ImageName(reference).registry
        let host = registry.isEmpty ? "docker.io" : registry
        let title = "image \(image) cannot be pushed to \(host)"
        if lines.contains(where: { $0.lowercased().contains("no space left on device") }) {
            return LoopEvent.Failure(
                "\(title): no space left on device", details: shown(lines),
                nextStep: EngineTrouble.spaceHint(engine.program))
        }
        guard let trouble = RegistryTrouble(lines) else {
            return LoopEvent.Failure("\(title): \(status)", details: shown(lines))
        }
        let nextStep: String? =
            switch trouble {
            case .notListening, .noAnswer, .brokenOff:
                "start the registry, or name another one: \"registry\" in loop.json"
            case .unknownHost, .noRegistry: "is \"registry\" in loop.json right?"
            case .readOnly: "let it take images, or name another one: \"registry\" in loop.json"
            default: trouble.nextStep(engine.program, host)
            }
        let reason = trouble == .notFound ? "it has no such repository" : trouble.words(host)
        return LoopEvent.Failure("\(title): \(reason)", details: shown(lines.suffix(1)), nextStep: nextStep)
    }

    /// The lines about the failure itself, at the end of what was printed.
    private func complaint(_ printed: [String]) -> [String] {
        let lines = printed.map(ProgramText.plain).filter { line in
            !line.isEmpty && !line.hasPrefix("time=\"") && !line.hasPrefix("Copying ")
                && !line.hasPrefix("Getting image ")
                && !line.hasPrefix("The push refers to ")
                && line.wholeMatch(of: /[0-9a-f]{12}: .*/) == nil
        }
        return lines.suffix(3)
    }

    private func shown(_ lines: some Sequence<String>) -> [String] {
        lines.map { ProgramText.shortened($0, to: 300) }
    }
}
