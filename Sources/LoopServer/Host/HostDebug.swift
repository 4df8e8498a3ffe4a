internal import Glibc

/// How a program is started so that a debugger can follow it from its first line on.
struct HostDebug: Equatable, Sendable {
    /// The program and its arguments.
    var command: [String]
    /// Its whole environment.
    var environment: [String: String]
    /// The port on loopback where it waits for a debugger; `nil` where one is attached to the process instead, or the
    /// configuration has said how.
    var port: UInt16?
    /// What to tell people before it starts.
    var lines: [String] = []
    /// Whether people are told how to attach a debugger to the process.
    var isAttached = false

    /// What `--debug` makes of a program.
    ///
    /// `override` is the configuration's `debug`, which wins. `hasDebugpy` is asked whether a Python can debug.
    static func apply(
        _ command: [String], _ environment: [String: String], override: [String]? = nil,
        hasDebugpy: (_ python: String) async -> Bool
    ) async -> HostDebug {
        if let override { return HostDebug(command: override, environment: environment) }
        var debug = HostDebug(command: command, environment: environment)
        guard let program = command.first else { return debug }
        let name = program.split(separator: "/").last.map(String.init) ?? program
        // As an argument where the runtime takes one: a variable would reach each child, and each would want the same
        // port.
        switch name {
        case "node", "nodemon", "tsx":
            debug.command.insert(inspect, at: 1)
            debug.wait(at: 9229)
        case "npm", "npx", "pnpm":
            // NODE_OPTIONS of what npm starts, and not of npm itself, which is a program of node's, too.
            debug.append(inspect, to: "npm_config_node_options", from: "NODE_OPTIONS")
            debug.wait(at: 9229)
        case "java":
            debug.command.insert(agent, at: 1)
            debug.wait(at: 5005)
        case "gradle", "gradlew":
            debug.command.append("--debug-jvm")
            debug.wait(at: 5005)
        case "mvn", "mvnw":
            if command.contains(where: { $0.hasSuffix("spring-boot:run") }) {
                debug.command.append("-Dspring-boot.run.jvmArguments=\(agent)")
            } else {
                debug.append(agent, to: "MAVEN_OPTS")
            }
            debug.wait(at: 5005)
        case _ where isPython(name):
            guard await hasDebugpy(program) else {
                debug.lines = ["--debug: \(name) has no debugpy: \(program) -m pip install debugpy"]
                return debug
            }
            let module = ["-m", "debugpy", "--listen", "127.0.0.1:5678", "--wait-for-client"]
            debug.command.insert(contentsOf: module, at: pythonProgram(in: command))
            debug.wait(at: 5678)
        default: debug.isAttached = true
        }
        return debug
    }

    /// How a debugger is attached to a process.
    static func attachment(to pid: Int32, path: String) -> String {
        let found = ["gdb", "lldb"].filter { name in
            path.split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
        }
        let commands = (found.isEmpty ? ["gdb", "lldb"] : found).map { "\($0) -p \(pid)" }
        return
            "--debug: attach with \(commands.joined(separator: " or ")); \"debug\" in the \"host\" section of "
            + "loop.json names a command that waits for a debugger"
    }

    private static let inspect = "--inspect-brk=127.0.0.1:9229"
    private static let agent = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=y,address=127.0.0.1:5005"

    private mutating func wait(at port: UInt16) {
        self.port = port
        lines = ["--debug: the program waits for a debugger at 127.0.0.1:\(port)"]
    }

    private mutating func append(_ option: String, to variable: String, from other: String? = nil) {
        let present = [variable, other ?? variable].compactMap { environment[$0] }.first { !$0.isEmpty }
        environment[variable] = present.map { "\($0) \(option)" } ?? option
    }

    /// `python`, `python3`, `python3.12`.
    private static func isPython(_ name: String) -> Bool {
        name.hasPrefix("python") && name.dropFirst("python".count).allSatisfy { $0.isNumber || $0 == "." }
    }

    /// Where Python's own options end: at a file, `-m` or `-c`.
    private static func pythonProgram(in command: [String]) -> Int {
        var index = 1
        while index < command.count {
            let word = command[index]
            guard word.hasPrefix("-"), word != "-", word != "-m", word != "-c" else { return index }
            index += ["-W", "-X"].contains(word) ? 2 : 1
        }
        return index
    }
}
