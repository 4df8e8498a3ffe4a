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
}
