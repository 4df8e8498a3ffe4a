internal import JSON
internal import LoopServer

/// `loopd check`: everything that is wrong with a loop.json.
enum CheckCommand {
    static func run(_ invocation: Invocation, _ console: Console) -> Outcome {
        let file = invocation.values[.file] ?? Configuration.defaultFile
        var (configuration, problems) = Configuration.load(path: file)
        problems += configuration?.problemsOnDisk() ?? []
        let errors = problems.count { $0.severity == .error }
        let warnings = problems.count - errors
        if invocation.isJSON {
            var report = JSONObject()
            report["file"] = .string(configuration?.file ?? problems.first?.file ?? file)
            report["ok"] = .bool(errors == 0)
            report["errors"] = .integer(Int64(errors))
            report["warnings"] = .integer(Int64(warnings))
            report["problems"] = .array(problems.map(\.json))
            report["services"] = .array((configuration?.services ?? []).map { .string($0.name) })
            console.show(JSON.object(report).pretty())
        } else {
            console.show(problems.map { ProblemText.line($0, usesColour: console.usesColour) })
            console.show(summary(configuration, file, errors, warnings))
        }
        return errors == 0 ? .done : .usage
    }

    private static func summary(
        _ configuration: Configuration?, _ file: String, _ errors: Int, _ warnings: Int
    ) -> String {
        let counts = [(errors, "error"), (warnings, "warning")].filter { $0.0 > 0 }
        let found = counts.map { "\($0.0) \($0.1)\($0.0 == 1 ? "" : "s")" }.joined(separator: ", ")
        guard errors == 0, let configuration else { return found }
        let services = configuration.services.map(\.name).joined(separator: ", ")
        let cluster = configuration.cluster
        let place = cluster.provider == .playground ? "the playground" : cluster.context ?? "the current context"
        let good = "\(configuration.file) is good: \(services) on \(place), namespace \(configuration.namespace)"
        return found.isEmpty ? good : "\(found); otherwise \(good)"
    }
}

/// Problems on a terminal.
enum ProblemText {
    /// The problem's own line, with its severity in colour where that is wanted.
    static func line(_ problem: Problem, usesColour: Bool) -> String {
        guard usesColour else { return problem.description }
        return "\u{1B}[\(problem.severity == .error ? 31 : 33)m\(problem.description)\u{1B}[0m"
    }
}
