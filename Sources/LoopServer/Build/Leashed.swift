internal import Reactor

/// Programs that run to their end and do not outlive loopd, whatever loopd dies of.
enum Leashed {
    /// Runs a program on a leash.
    static func run(
        _ command: [String], in directory: String? = nil, environment: [String: String]? = nil, leash: String
    ) async throws -> Output {
        var launch = Launch([leash, "--"] + command, environment: environment, directory: directory)
        // The leash ends the program when its own input ends.
        launch.standardInput = .pipe
        return try await Child.run(launch)
    }

    /// Runs a program on a leash and hands on what it prints, as it prints it; with `hasAnswer` only what it prints as errors
    /// is lines.
    ///
    /// `isGroupOnly` lets live what the program starts as a daemon. When the task is cancelled the program and all that it has
    /// started are ended, and `CancellationError` is thrown once they have.
    static func follow(
        _ command: [String], in directory: String? = nil, environment: [String: String]? = nil, leash: String,
        hasAnswer: Bool = false, isGroupOnly: Bool = false, each: (PrintedPiece) -> Void
    ) async throws -> ExitStatus {
        let options = (isGroupOnly ? ["--group"] : []) + ["--grace-ms", "2000", "--"]
        var launch = Launch([leash] + options + command, environment: environment, directory: directory)
        launch.standardInput = .pipe
        let child = try await Child.spawn(launch)
        let status = await withTaskCancellationHandler {
            await child.print(hasAnswer: hasAnswer, each)
            return await child.wait()
        } onCancel: {
            child.standardInput?.close()
        }
        child.standardInput?.close()
        try Task.checkCancellation()
        return status
    }
}
