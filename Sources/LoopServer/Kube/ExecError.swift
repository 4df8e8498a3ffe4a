internal import HTTP
internal import JSON
internal import Reactor

/// Why a program could not be started in a container, or its connection did not last.
enum ExecError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The container has no such program.
    case commandNotFound(String)
    /// The pod has no container of that name.
    case containerNotFound(String)
    /// The container is not created yet, or is between two runs.
    case containerNotRunning(String)
    case podNotFound(String)
    /// The server's sentence: who may not do what.
    case forbidden(String)
    /// The server, or something between, speaks none of the exec protocols over WebSocket.
    case protocolNotSupported(String)
    /// The connection ended before the program did; the program may still run.
    case connectionLost(String)
    case failed(String)

    var description: String {
        switch self {
        case .commandNotFound(let command): "the container has no program \(command)"
        case .containerNotFound(let message): message
        case .containerNotRunning(let name): "container \"\(name)\" does not run"
        case .podNotFound(let pod): "pod \(pod) is not there"
        case .forbidden(let message): message
        case .protocolNotSupported(let answer): "exec over WebSocket is not possible: \(answer)"
        case .connectionLost(let reason): "the exec connection ended: \(reason)"
        case .failed(let message): message
        }
    }

    /// Reads the answer to a request that was not upgraded.
    init(_ refusal: UpgradeRefused, pod: String) {
        let error = KubeError(refusal.response, body: refusal.body, attempt: "")
        let isStatus = !error.reason.isEmpty
        if let absence = ExecError(absence: error.message, pod: pod) {
            self = absence
            return
        }
        switch error.code {
        case 404 where isStatus: self = .podNotFound(pod)
        case 403 where isStatus: self = .forbidden(error.message)
        // The API server refuses an unknown sub-protocol with a bare 403; proxies that know no WebSocket answer otherwise.
        case 400 where !isStatus, 403, 404, 405, 426, 501:
            self = .protocolNotSupported("\(refusal.response.status) \(refusal.response.reason)")
        // A login that has run out is renewed for the next request; a server or node that starts is asked again.
        case 401, 408, 429, 500...: self = .connectionLost(error.message)
        default: self = .failed(error.message)
        }
    }

    /// Reads the `Status` of a program that did not start; `nil` where it did, and ended.
    init?(status: JSON, command: String, pod: String) {
        guard status["status"]?.string != "Success", status["reason"]?.string != "NonZeroExitCode" else { return nil }
        let message = status["message"]?.string ?? "exec failed without a message"
        // Kubernetes 1.29 to 1.35 accepts the WebSocket before it asks the node, whose refusal then comes as a status.
        if let absence = ExecError(absence: message, pod: pod) {
            self = absence
        } else if ExecError.saysNotFound(message) {
            self = .commandNotFound(command)
        } else if !message.contains("error executing command in container: ") || ExecError.saysNotNow(message) {
            // That says nothing of the program.
            self = .connectionLost(message)
        } else {
            // Each layer puts its own words before the cause.
            let cause = message.split(separator: "OCI runtime exec failed: ").last.map(String.init) ?? message
            self = .failed(cause)
        }
    }

    /// Reads what the API server, the node and its runtime say of a pod or container that cannot be entered now.
    private init?(absence message: String, pod: String) {
        if message.contains(" is not valid for pod ") {
            self = .containerNotFound(message)
        } else if let start = message.firstRange(of: "container not found (\"")?.upperBound {
            self = .containerNotRunning(String(message[start...].prefix { $0 != "\"" }))
        } else if message.contains("pod does not exist") {
            self = .podNotFound(pod)
        } else {
            return nil
        }
    }

    /// Whether the node does not reach its runtime, or the container has just ended, in the words of containerd and CRI-O.
    private static func saysNotNow(_ message: String) -> Bool {
        [
            "code = Unavailable", "code = DeadlineExceeded", "is in CONTAINER_EXITED state",
            "is not created or running", "cannot exec in a stopped container", "not found: not found",
        ].contains(where: message.contains)
    }

    private static func saysNotFound(_ message: String) -> Bool {
        message.contains("executable file not found in $PATH")
            || (message.contains("unable to start container process")
                && message.contains(": no such file or directory"))
    }
}

/// How a program in a container ended.
struct ExecResult: Equatable, Sendable {
    let exitCode: Int32

    /// From the `Status` that ends an exec.
    init?(status: JSON) {
        if status["status"]?.string == "Success" {
            exitCode = 0
            return
        }
        let causes = status.at("details", "causes")?.array ?? []
        guard status["reason"]?.string == "NonZeroExitCode",
            let cause = causes.first(where: { $0["reason"]?.string == "ExitCode" })?["message"]?.string,
            let code = Int32(cause)
        else { return nil }
        exitCode = code
    }
}
