internal import OCI
internal import Reactor

/// Starts what registries need (`curl`, `docker-credential-…`) so that it does not outlive loopd.
struct LeashedPrograms: ProgramRunner {
    let leash: String

    func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output {
        // Standard input is the program's: it lives as long as somebody here listens to its errors.
        var launch = Launch([leash, "--hold-fd", "2", "--"] + arguments)
        // Read as empty, rather than as the leash's own.
        launch.standardInput = .null
        return try await Child.run(launch, input: input, limit: limit)
    }
}
