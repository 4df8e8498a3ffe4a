internal import JSON

/// The sub-protocols of exec over WebSocket: each message begins with the number of its channel.
enum ChannelProtocol: String, CaseIterable {
    /// As version 4, and the client can close stdin (channel 255).
    case v5 = "v5.channel.k8s.io"
    case v4 = "v4.channel.k8s.io"

    static let stdin: UInt8 = 0
    static let stdout: UInt8 = 1
    static let stderr: UInt8 = 2
    static let status: UInt8 = 3
    static let resize: UInt8 = 4
    static let close: UInt8 = 255

    /// The first of the client's that is spoken here.
    static func negotiate(_ offered: [String]) -> ChannelProtocol? {
        offered.lazy.compactMap { ChannelProtocol(rawValue: $0) }.first
    }
}

/// The last message of an exec, as a real cluster words it: version 5 passes through the API server, which rewraps it.
enum ExecStatus {
    static func ended(_ exit: ContainerExit, _ arguments: [String], _ version: ChannelProtocol) -> JSON {
        var status: JSON = version == .v5 ? ["metadata": [:]] : [:]
        guard exit.code != 0 else {
            status["status"] = "Success"
            return status
        }
        let code = exit.code
        let cause =
            version == .v5
            ? "command terminated with exit code \(code)"
            : "error executing command [\(arguments.joined(separator: " "))], exit code \(code)"
        status["status"] = "Failure"
        status["message"] = .string("command terminated with non-zero exit code: \(cause)")
        status["reason"] = "NonZeroExitCode"
        status["details"] = ["causes": [["reason": "ExitCode", "message": .string("\(code)")]]]
        return status
    }

    /// The command could not be started; `id` stands for the exec's own.
    static func failed(_ cause: String, id: String, _ version: ChannelProtocol) -> JSON {
        let inner =
            "error executing command in container: failed to exec in container: failed to start exec \"\(id)\": "
            + "OCI runtime exec failed: \(cause)"
        let message = "Internal error occurred: \(inner)"
        var status: JSON = version == .v5 ? ["metadata": [:]] : [:]
        status["status"] = "Failure"
        status["message"] = .string(version == .v5 ? "Internal error occurred: \(message)" : message)
        status["reason"] = "InternalError"
        status["details"] = ["causes": [["message": .string(version == .v5 ? message : inner)]]]
        status["code"] = 500
        return status
    }
}
