import Glibc
import Reactor
import Synchronization
import Testing

@testable import LoopServer

/// A container's programs as children of the test: `exec` without a cluster.
struct LocalExec: ContainerExec {
    /// Other programs for names: which `sh`, which `tar`.
    var programs: [String: [String]] = [:]
    /// Names that are not there.
    var missing: Set<String> = []
    /// What comes before every command: a mount namespace of its own.
    var wrapper: [String] = []

    func start(_ command: [String], pod: String, container: String) async throws -> any ExecStream {
        guard let name = command.first, !missing.contains(name) else {
            throw ExecEnd(kind: .programMissing, message: "there is no \(command.first ?? "")")
        }
        var launch = Launch(wrapper + (programs[name] ?? [name]) + command.dropFirst())
        launch.standardInput = .pipe
        launch.standardError = .null
        do {
            return ChildStream(try await Child.spawn(launch))
        } catch let error as SystemError where error.code == ENOENT {
            throw ExecEnd(kind: .programMissing, message: "\(error)")
        }
    }
}

private struct ChildStream: ExecStream {
    private let child: Child

    init(_ child: Child) { self.child = child }

    func write(_ bytes: [UInt8]) async throws {
        do {
            try await child.standardInput?.write(bytes)
        } catch {
            throw ExecEnd(kind: .disconnected, message: "\(error)")
        }
    }

    func read() async throws -> ExecOutput {
        if let bytes = try await child.standardOutput?.read(), !bytes.isEmpty { return .standardOutput(bytes) }
        let code = await child.wait().shellCode
        return .ended(ExecEnd(kind: .exited(code), message: "it ended with exit code \(code)"))
    }

    func close() {
        child.standardInput?.close()
        child.standardOutput?.close()
    }
}

/// A shell that scripts have to run in.
struct TestedShell: CustomTestStringConvertible, Sendable {
    let testDescription: String
    let command: [String]

    static let all = [
        TestedShell(testDescription: "dash", command: ["dash"]),
        TestedShell(testDescription: "bash", command: ["bash"]),
        TestedShell(testDescription: "busybox", command: ["busybox", "sh"]),
    ]
}

extension HelperProgram {
    /// The helper that the build made.
    static var built: HelperProgram {
        get throws {
            try load(
                architecture: "here", from: Programs(leash: nil, helpers: ["here": try LocalContainer.helper]))
        }
    }
}
