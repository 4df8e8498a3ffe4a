internal import Glibc
internal import Reactor

/// One run of a program on this machine, on its leash.
struct HostProgram: Sendable {
    /// The leash: it ends when the program and all that it has started have ended.
    let leash: Child
    /// The program's own process.
    let pid: Int32

    /// Starts `command`; returns once it is executed.
    ///
    /// Throws `LoopFailure` where it cannot be, and `CancellationError` when the task is cancelled meanwhile.
    static func start(
        _ command: [String], in directory: String, environment: [String: String], leash: String, grace: Duration
    ) async throws -> HostProgram {
        let options = ["--hold-fd", "3", "--report", "--grace-ms", "\(grace.milliseconds)", "--"]
        var launch = Launch([leash] + options + command, environment: environment, directory: directory)
        launch.hasChannel = true
        // Always a pipe: there are programs that end when their standard input does, as `/dev/null` does at once.
        launch.standardInput = .pipe
        let child: Child
        do {
            child = try await Child.spawn(launch)
        } catch {
            guard let failure = HostStartFailure.folder(directory, for: command) else { throw error }
            throw LoopFailure(failure: failure)
        }
        do {
            let pid = try await number(from: child)
            guard pid <= 0 else { return HostProgram(leash: child, pid: pid) }
            throw LoopFailure(failure: HostStartFailure.failure(-pid, command, in: directory))
        } catch {
            child.channel?.close()
            _ = await child.wait()
            throw error
        }
    }

    /// Asks the program and all that it has started to end; what is left after the grace is killed.
    func end() { leash.channel?.close() }

    /// Closes what is left on this side.
    func close() {
        leash.channel?.close()
        leash.standardInput?.close()
    }

    private static func number(from child: Child) async throws -> Int32 {
        var bytes: [UInt8] = []
        while bytes.count < 4, let more = try await child.channel?.read(upTo: 4 - bytes.count), !more.isEmpty {
            bytes += more
        }
        guard bytes.count == 4 else { throw SystemError(code: EPIPE, attempt: "hear from the leash") }
        return bytes.withUnsafeBytes { $0.loadUnaligned(as: Int32.self) }
    }
}

extension Duration {
    fileprivate var milliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}

/// Why a program could not be started, in words.
enum HostStartFailure {
    /// The failure where there is no such folder to run in.
    static func folder(_ directory: String, for command: [String]) -> LoopEvent.Failure? {
        if isFolder(directory) { return nil }
        return LoopEvent.Failure(
            "there is no folder \(directory) to run \(command.first ?? "") in", nextStep: corrected("dir"))
    }

    /// `code` is what the kernel answered.
    static func failure(_ code: Int32, _ command: [String], in directory: String) -> LoopEvent.Failure {
        let name = command.first ?? ""
        let relative = name.hasPrefix("./") ? String(name.dropFirst(2)) : name
        let path = name.hasPrefix("/") ? name : "\(directory)/\(relative)"
        switch code {
        case ENOENT where name.contains("/") && access(path, F_OK) == 0:
            return LoopEvent.Failure(
                "\(name) is there, but not what runs it: \(interpreter(of: path) ?? "its loader")",
                nextStep: "install that")
        case ENOENT:
            return LoopEvent.Failure(
                "there is no program \"\(name)\"", nextStep: "install it, or \(corrected("command"))")
        case EACCES where name.contains("/") && !isFolder(path):
            return LoopEvent.Failure(
                "\(name) is not executable", nextStep: "chmod +x \(path)")
        default:
            return LoopEvent.Failure(
                "\(name) cannot be started: \(String(cString: strerror(code)))", nextStep: corrected("command"))
        }
    }

    private static func corrected(_ key: String) -> String {
        "correct \"\(key)\" in the \"host\" section of loop.json"
    }

    private static func isFolder(_ path: String) -> Bool {
        var about = stat()
        return stat(path, &about) == 0 && about.st_mode & S_IFMT == S_IFDIR
    }

    /// What the first line of a script names.
    private static func interpreter(of path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(file, &bytes, bytes.count)
        let line = bytes.prefix(max(0, count)).prefix { $0 != 0x0A }
        guard line.starts(with: "#!".utf8) else { return nil }
        let words = String(decoding: line.dropFirst(2), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        return words.first.map(String.init)
    }
}
