internal import JSON
internal import Reactor

/// helm as a program that runs.
struct HelmRun: Sendable {
    private let leash: String

    init(_ leash: String) { self.leash = leash }

    /// What a command prints; throws `LoopFailure` with the line that says why it has failed.
    func run(_ command: [String], about release: String, environment: [String: String]? = nil) async throws -> String {
        let output = try await Leashed.run(command, environment: environment, leash: leash)
        if output.status.isSuccess { return output.text }
        let cause = HelmCommand.cause(output.errorText)
        let isOld = cause.contains("invalid argument \"server\" for \"--dry-run\"")
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "helm \(command.dropFirst().first ?? "") of release \(release) failed: "
                    + (cause.isEmpty ? "\(output.status)" : cause),
                nextStep: isOld ? "install Helm 3.13 or later" : "mend the chart or its values"))
    }

    /// A release as it is, or was in a revision; `nil` where there is none.
    func state(of release: String, revision: Int? = nil, _ helm: HelmCommand) async throws -> HelmState? {
        let output = try await Leashed.run(helm.status(release, revision: revision), leash: leash)
        if output.status.isSuccess { return (try? JSON(parsing: output.standardOutput)).flatMap { HelmState($0) } }
        let cause = HelmCommand.cause(output.errorText)
        if cause.contains("release: not found") { return nil }
        throw LoopFailure(failure: LoopEvent.Failure("helm status of release \(release) failed: \(cause)"))
    }
}
