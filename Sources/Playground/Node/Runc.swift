internal import CLinux
internal import Glibc
internal import JSON
internal import Reactor

/// What runc answered to a command that failed, without its log's decoration.
struct RuncError: Error, CustomStringConvertible {
    let message: String
    var description: String { message }
}

/// The `runc` program, with its state below the playground's own directory.
struct Runc: Sendable {
    let program: String
    let layout: NodeLayout

    /// Starts a container whose bundle is ready and returns its first process.
    ///
    /// With `--detach`, runc is gone when the process runs: it costs no memory, and the process outlives the playground.
    func run(_ id: String, input: Launch.Stdio, output: Launch.Stdio, error: Launch.Stdio) async throws -> Int32 {
        let bundle = layout.container(id)
        let pidFile = "\(bundle)/pid"
        var launch = Launch(
            command(logInto: "\(bundle)/runc.log") + ["run", "--detach", "--bundle", bundle, "--pid-file", pidFile, id])
        launch.standardInput = input
        launch.standardOutput = output
        launch.standardError = error
        let runc = try await Child.spawn(launch)
        let status = await runc.wait()
        guard status.isSuccess, let pid = Runc.pid(in: pidFile) else {
            StrayReaper.start()
            throw RuncError(message: failure(in: "\(bundle)/runc.log", status))
        }
        return pid
    }

    /// Starts a further process in a running container.
    ///
    /// Its pipes are connected to it directly: no byte goes through runc.
    func exec(
        _ id: String, process: JSON, input: Launch.Stdio, consoleSocket: String? = nil
    ) async throws -> ExecProcess {
        let ticket = "\(layout.container(id))/exec-\(Identifier.random(bytes: 8))"
        defer { for suffix in [".json", ".pid", ".log"] { _ = unlink(ticket + suffix) } }
        try Disk.write(process.bytes, to: ticket + ".json", mode: 0o600)
        var launch = Launch(
            command(logInto: ticket + ".log")
                + ["exec", "--detach", "--process", ticket + ".json", "--pid-file", ticket + ".pid"]
                + (consoleSocket.map { ["--console-socket", $0] } ?? []) + [id])
        launch.standardInput = input
        if consoleSocket != nil {
            launch.standardOutput = .null
            launch.standardError = .null
        }
        let runc = try await Child.spawn(launch)
        let status = await runc.wait()
        guard status.isSuccess, let pid = Runc.pid(in: ticket + ".pid") else {
            StrayReaper.start()
            throw RuncError(message: failure(in: ticket + ".log", status))
        }
        // It cannot have been reaped yet, so a missing process is a kernel without pidfds.
        guard let process = ContainerProcess(pid: pid) else { throw SystemError.last("pidfd_open \(pid)") }
        return ExecProcess(
            process: process, standardInput: runc.standardInput, standardOutput: runc.standardOutput,
            standardError: runc.standardError)
    }

    /// Kills whatever still runs in the container, and removes its cgroups and runc's record of it.
    ///
    /// A cancelled task does so, too: a pod that goes while its container starts must leave nothing of it.
    func delete(_ id: String) async {
        await Task { await deleteUncancelled(id) }.value
    }

    private func deleteUncancelled(_ id: String) async {
        let record = "\(layout.runc)/\(id)"
        // A cgroup cannot go before its last process, and another runc may just be taking one there: then it fails.
        for _ in 0..<50 {
            // A container that is already gone is what was asked for.
            _ = try? await Child.run(Launch(command(logInto: "/dev/null") + ["delete", "--force", id]))
            guard Disk.exists("\(record)/state.json") else { break }
            try? await Task.sleep(for: .milliseconds(100))
        }
        // A runc that did not get as far as to write its record leaves a folder that no runc knows.
        if !Disk.exists("\(record)/state.json") { Disk.removeTree(record) }
    }

    private func command(logInto log: String) -> [String] {
        [program, "--root", layout.runc, "--log", log, "--log-format", "json"]
    }

    private static func pid(in file: String) -> Int32? {
        Disk.text(file).flatMap { Int32($0.prefix { $0.isNumber }) }
    }

    /// The last error in runc's log, less the part of it that names its own command.
    private func failure(in log: String, _ status: ExitStatus) -> String {
        let lines = (Disk.text(log) ?? "").split(separator: "\n")
        let messages = lines.compactMap { line -> String? in
            guard let entry = try? JSON(parsing: String(line)), entry["level"]?.string == "error" else { return nil }
            return entry["msg"]?.string
        }
        return messages.last ?? "runc ended with \(status)"
    }
}

/// A process that `exec` started in a container, and the ends of its pipes.
struct ExecProcess: Sendable {
    let process: ContainerProcess
    let standardInput: Stream?
    let standardOutput: Stream?
    let standardError: Stream?
}

/// Random names.
enum Identifier {
    /// Lower-case hexadecimal digits of so many random bytes.
    static func random(bytes count: Int) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var generator = SystemRandomNumberGenerator()
        var text: [UInt8] = []
        for _ in 0..<count {
            let byte = UInt8.random(in: 0...255, using: &generator)
            text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: text, as: UTF8.self)
    }
}
