internal import OCI
internal import Reactor

/// What went wrong in a build from a Dockerfile, from what its program printed: a pure function.
struct BuildFailure {
    /// The image's name, as people know it.
    let image: String
    let recipe: EngineBuild
    let engine: ContainerEngine
    /// What was built; `nil` where it could not be read.
    let dockerfile: Dockerfile?

    /// One line with the cause, the decisive lines of what was printed, and what to do.
    func explain(_ status: ExitStatus, _ printed: [String]) -> LoopEvent.Failure {
        let lines = printed.map(ProgramText.plain).filter { !$0.isEmpty }
        let log = BuildLog(lines)
        if let failure = unreachable(status, lines) ?? unsupported(lines) ?? syntax(lines) ?? base(log) ?? step(log) {
            return failure
        }
        let words = log.complaint.last ?? lines.last { !$0.hasPrefix("time=\"") }
        return LoopEvent.Failure(
            title(words.map { ProgramText.shortened(BuildFailure.bare($0), to: 200) } ?? "\(status)"),
            details: lines.suffix(8).map { ProgramText.shortened($0, to: 200) }, nextStep: spaceHint(lines))
    }

    private func title(_ cause: String) -> String { "image \(image): \(cause)" }

    /// The Dockerfile as people call it: by its place in the context.
    private var file: String {
        recipe.dockerfile.hasPrefix(recipe.context + "/")
            ? String(recipe.dockerfile.dropFirst(recipe.context.count + 1)) : recipe.dockerfile
    }

    private func place(_ line: Int?) -> String { line.map { "\(file):\($0)" } ?? file }

    // MARK: Before the first step

    private func unreachable(_ status: ExitStatus, _ lines: [String]) -> LoopEvent.Failure? {
        if status == .exited(127), lines.contains(where: { $0.hasPrefix("leash: ") }) {
            return LoopEvent.Failure(title("there is no \(engine.program.rawValue) in PATH"))
        }
        return EngineTrouble(lines, engine).map { LoopEvent.Failure(title($0.summary), nextStep: $0.nextStep) }
    }

    /// What docker does only with BuildKit.
    private func unsupported(_ lines: [String]) -> LoopEvent.Failure? {
        let what: String
        if lines.contains(where: { $0.contains("buildx component is missing or broken") }) {
            return LoopEvent.Failure(
                title("docker is told to use BuildKit (DOCKER_BUILDKIT), and its buildx component is not installed"),
                nextStep: "install docker-buildx-plugin (https://docs.docker.com/go/buildx), or unset DOCKER_BUILDKIT")
        } else if let flag = lines.firstNonNil({ $0.after("unknown flag: ") }) {
            what = "\(BuildFailure.feature(flag)): this \(engine.program.rawValue) cannot build with them"
        } else if lines.contains(where: { $0.contains("option requires BuildKit") }) {
            let log = BuildLog(lines)
            what = "\(located(log)): docker without BuildKit cannot mount anything into a RUN"
        } else {
            return nil
        }
        return LoopEvent.Failure(
            title(what),
            nextStep: engine.program == .docker
                ? "install docker-buildx-plugin (https://docs.docker.com/go/buildx), or \"builder\": \"podman\""
                : "install a newer \(engine.program.rawValue)")
    }

    private static func feature(_ flag: String) -> String {
        switch flag {
        case "--secret": "\"secrets\""
        case "--build-context": "\"contexts\""
        default: flag
        }
    }

    private func syntax(_ lines: [String]) -> LoopEvent.Failure? {
        for line in lines {
            if let match = line.firstMatch(of: /dockerfile parse error (?:on )?line (\d+): (.*)/) {
                return LoopEvent.Failure(title("\(place(Int(match.1))): \(match.2)"))
            }
            if let name = line.between("Unknown instruction: \"", "\"") {
                let number = dockerfile?.instructions.first { $0.keyword == name }?.line
                return LoopEvent.Failure(title("\(place(number)): unknown instruction: \(name)"))
            }
            if line.contains("cannot be empty") || line.hasPrefix("Error: no contents in ") {
                return LoopEvent.Failure(title("\(file) is empty"))
            }
            if line.contains("no build stage in current context") || line.contains("no FROM statement found") {
                return LoopEvent.Failure(title("\(file) has no FROM before its first instruction"))
            }
            let isTarget =
                line.contains("failed to reach build target") || line.contains("target stage")
                || line.contains("was not found in the provided Dockerfile")
            if isTarget, let target = recipe.target {
                let stages = dockerfile?.stages ?? []
                return LoopEvent.Failure(
                    title("\(file) has no stage \(target)"),
                    nextStep: stages.isEmpty ? nil : "its stages are: \(stages.joined(separator: ", "))")
            }
        }
        return nil
    }

    // MARK: Base images

    private func base(_ log: BuildLog) -> LoopEvent.Failure? {
        guard let step = log.step, step.uppercased().hasPrefix("FROM ") else { return nil }
        let words = step.split(separator: " ").dropFirst().filter { !$0.hasPrefix("--") }
        guard let shown = words.first.map(String.init) else { return nil }
        let bases = dockerfile?.bases(recipe.arguments) ?? []
        let full = ImageName.full(shown)
        let base = bases.first { ImageName.full($0.name).isImage(full) } ?? (bases.count == 1 ? bases[0] : nil)
        let name = base?.name ?? shown
        let said = log.complaint + log.said
        guard let trouble = RegistryTrouble(said) else {
            return LoopEvent.Failure(
                title("\(place(base?.line)): the base image \(name) cannot be had"), details: shortened(said, 4),
                nextStep: spaceHint(said))
        }
        let registry = ImageName(name).registry
        let host = registry.isEmpty ? "docker.io" : registry
        let isShort = said.contains { $0.contains("did not resolve to an alias") }
        let isUnsure = said.contains { $0.contains("repository does not exist or may require") }
        let reason =
            isShort
            ? "\(engine.program.rawValue) does not know which registry it is in"
            : isUnsure ? "\(host) does not have it, or wants a login" : trouble.words(host)
        let nextStep: String? =
            switch trouble {
            case _ where isShort: "write its whole name: FROM \(ImageName.full(name))"
            case .notFound: "check its name and tag"
            case .notListening where ImageName.isLoopback(host): "start the registry, or push the image to another one"
            case .unknownHost, .noAnswer, .notListening, .brokenOff: "go online, or build on an image that is here"
            default: trouble.nextStep(engine.program, host)
            }
        return LoopEvent.Failure(
            title("\(place(base?.line)): the base image \(name) cannot be pulled: \(reason)"), nextStep: nextStep)
    }

    // MARK: Steps

    private func step(_ log: BuildLog) -> LoopEvent.Failure? {
        guard log.step != nil else { return nil }
        let said = log.complaint + log.said
        if let hint = spaceHint(said) {
            return LoopEvent.Failure(title("\(located(log)): no space left on device"), nextStep: hint)
        }
        if let missing = missingSource(log) {
            return LoopEvent.Failure(
                title("\(located(log)): \(missing) is not in the build context, or .dockerignore leaves it out"),
                nextStep: "the context is \(recipe.context)")
        }
        if said.contains(where: {
            $0.contains("/bin/sh") && $0.contains("no such file or directory") && $0.contains("exec")
        }) {
            return LoopEvent.Failure(
                title("\(located(log)): there is no /bin/sh in the image to run it with"),
                nextStep: "RUN [\"/program\", \"argument\"] needs none")
        }
        if let code = said.firstNonNil(BuildFailure.exitCode) {
            return LoopEvent.Failure(title("\(located(log)): exit code \(code)"), details: shortened(log.said, 8))
        }
        let complaint = log.complaint.last.map(BuildFailure.bare) ?? "failed"
        return LoopEvent.Failure(
            title("\(located(log)): \(ProgramText.shortened(complaint, to: 200))"), details: shortened(log.said, 8))
    }

    /// `Dockerfile:7: RUN make`.
    private func located(_ log: BuildLog) -> String {
        let shown = log.step ?? ""
        let instruction = dockerfile?.instruction(shownAs: shown, number: log.number, stage: log.stage)
        let text = instruction?.text ?? shown.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        return "\(place(instruction?.line)): \(ProgramText.shortened(text, to: 80))"
    }

    /// What `COPY` or `ADD` did not find.
    private func missingSource(_ log: BuildLog) -> String? {
        guard let step = log.step?.uppercased(), step.hasPrefix("COPY") || step.hasPrefix("ADD") else { return nil }
        for line in log.complaint {
            if let name = line.between("copier: stat: \"/", "\"") ?? line.between(".dockerignore: stat ", ":") {
                return name
            }
            // BuildKit writes `"/name" not found` and, later, `"/name": not found`.
            if line.contains("not found"), let name = line.between("\"/", "\"") { return name }
            if line.contains("no source files were specified") { return "what it names" }
        }
        return nil
    }

    private static func exitCode(_ line: String) -> String? {
        for mark in ["returned a non-zero code: ", ": exit code: ", "\": exit status "] {
            if let code = line.after(mark)?.prefix(while: \.isNumber), !code.isEmpty { return String(code) }
        }
        return nil
    }

    /// What the builder says, without its own words around it.
    private static func bare(_ complaint: String) -> String {
        var text = complaint
        for mark in ["Error response from daemon: ", "failed to solve: ", "Error: ", "ERROR: "] {
            if let rest = text.after(mark) { text = rest }
        }
        if text.hasPrefix("building at STEP"), let rest = text.after("\": ") { text = rest }
        return text
    }

    private func shortened(_ lines: [String], _ count: Int) -> [String] {
        lines.suffix(count).map { ProgramText.shortened($0, to: 200) }
    }

    private func spaceHint(_ lines: [String]) -> String? {
        guard lines.contains(where: { $0.lowercased().contains("no space left on device") }) else { return nil }
        return EngineTrouble.spaceHint(engine.program)
    }
}

extension Dockerfile {
    /// The names of its stages.
    fileprivate var stages: [String] {
        instructions.filter { $0.keyword == "FROM" }.compactMap { instruction in
            let words = instruction.text.split(separator: " ")
            return words.count > 3 && words[words.count - 2].lowercased() == "as" ? words.last.map(String.init) : nil
        }
    }
}

extension String {
    /// Whether two full names mean the same image: without a tag it is `latest`.
    fileprivate func isImage(_ other: String) -> Bool {
        let (one, two) = (ImageName(self), ImageName(other))
        return one == two
    }
}

extension Sequence {
    /// The first value that is one.
    func firstNonNil<Value>(_ body: (Element) -> Value?) -> Value? {
        for element in self {
            if let value = body(element) { return value }
        }
        return nil
    }
}
