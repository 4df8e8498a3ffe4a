public import Reactor

/// Starts the programs that this module needs: `curl`, `docker-credential-…`.
///
/// They get what is secret through their standard input.
public protocol ProgramRunner: Sendable {
    /// Runs a program to its end and collects at most `limit` bytes of each output.
    ///
    /// A cancelled task ends it. Throws `SystemError` with `ENOENT` where the program does not exist; one that a
    /// launcher does not find ends with code 127.
    func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output
}

/// Starts programs as plain children of this process.
public struct DirectRunner: ProgramRunner {
    /// The whole environment; `nil` is the parent's.
    public var environment: [String: String]?

    /// A runner with an environment.
    public init(environment: [String: String]? = nil) {
        self.environment = environment
    }

    /// Runs a program in a process group of its own.
    public func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output {
        try await Child.run(Launch(arguments, environment: environment), input: input, limit: limit)
    }
}
