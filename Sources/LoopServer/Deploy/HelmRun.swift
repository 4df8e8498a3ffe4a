internal import Glibc
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

    /// A release as it is; `nil` where there is none.
    func state(of release: String, _ helm: HelmCommand) async throws -> HelmState? {
        let output = try await Leashed.run(helm.status(release), leash: leash)
        if output.status.isSuccess { return (try? JSON(parsing: output.standardOutput)).flatMap { HelmState($0) } }
        let cause = HelmCommand.cause(output.errorText)
        if cause.contains("release: not found") { return nil }
        throw LoopFailure(failure: LoopEvent.Failure("helm status of release \(release) failed: \(cause)"))
    }
}

/// What helm prints as manifests.
enum HelmManifest {
    /// The objects in it.
    static func objects(of text: String, _ connection: ClusterConnection) async throws -> [JSON] {
        guard text.contains(where: { !$0.isWhitespace }) else { return [] }
        let folder = try SocketDirectory.create()
        // There may be Secrets in it.
        defer { folder.remove() }
        let path = "\(folder.path)/rendered.yaml"
        guard PrivateFile.write(Array(text.utf8), to: path) != nil else { throw SystemError.last("write \(path)") }
        return try await Manifests.objects(
            in: [path], kubectl: connection.context.kubectl, leash: connection.leash, project: folder.path)
    }
}
