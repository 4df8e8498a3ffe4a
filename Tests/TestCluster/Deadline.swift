package import Reactor

/// Something that a test or the benchmark relies on did not work.
package struct Trouble: Error, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// Runs `body`, which waits for a condition, and gives up after `limit`.
///
/// `state` adds to the error what was there instead.
package func within<Result: Sendable>(
    _ limit: Duration, _ what: String, state: @escaping @Sendable () -> String = { "" },
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await atMost(limit, otherwise: Trouble("not within \(limit): \(what)\n\(state())"), body)
}

extension Child {
    /// Runs a program to its end, at most two minutes; an exit code that is not in `codes` is an error with what it said.
    @discardableResult
    package static func succeed(
        _ arguments: [String], input: [UInt8] = [], environment: [String: String]? = nil, directory: String? = nil,
        codes: Set<Int32> = [0]
    ) async throws -> Output {
        let launch = Launch(arguments, environment: environment, directory: directory)
        let output = try await within(.seconds(120), arguments.joined(separator: " ")) {
            try await Child.run(launch, input: input)
        }
        guard case .exited(let code) = output.status, codes.contains(code) else {
            throw Trouble(
                "\(arguments.joined(separator: " ")): \(output.status)\n\(output.errorText)\(output.text)")
        }
        return output
    }
}
