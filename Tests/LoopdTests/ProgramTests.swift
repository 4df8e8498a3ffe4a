import Glibc
import JSON
import Reactor
import Testing

@testable import loopd

/// The built programs, beside the test bundle.
enum Built {
    static let project = String(#filePath.dropLast("Tests/LoopdTests/ProgramTests.swift".count))
    static let loopd = "\(folder)/loopd"

    /// On Linux the test bundle is a program, and SwiftPM puts it beside the others.
    private static let folder: String = {
        guard let path = realpath("/proc/self/exe", nil) else { return "." }
        defer { free(path) }
        let text = String(cString: path)
        return String(text[..<(text.lastIndex(of: "/") ?? text.startIndex)])
    }()

    /// Runs loopd in a folder with an environment of its own.
    static func run(_ arguments: [String], in folder: String, state: String = "/nonexistent/state") async throws
        -> Output
    {
        var launch = Launch([loopd] + arguments, directory: folder)
        launch.environment = [
            "PATH": getenv("PATH").map { String(cString: $0) } ?? "", "HOME": folder, "LOOPD_STATE_DIR": state,
        ]
        return try await Child.run(launch)
    }
}

@Suite("loopd as a user runs it")
struct ProgramTests {
    private func withFolder(_ text: String?, _ body: (String) async throws -> Void) async throws {
        var template = Array("/tmp/loopd-program-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        let folder = String(cString: made)
        defer {
            unlink("\(folder)/loop.json")
            rmdir(folder)
        }
        if let text {
            let file = try #require(fopen("\(folder)/loop.json", "w"))
            fputs(text, file)
            fclose(file)
        }
        try await body(folder)
    }

    @Test(
        "help and version are on standard output, with exit code 0",
        arguments: [[], ["help"], ["--help"], ["help", "watch"], ["version"], ["--version"]])
    func information(arguments: [String]) async throws {
        let output = try await Built.run(arguments, in: "/")
        #expect(output.status == .exited(0))
        #expect(output.text.contains("loopd"))
        #expect(output.standardError.isEmpty)
    }

    @Test("every option and example of a command's help is one that the command takes", arguments: Command.shown)
    func helpExamples(command: Command) async throws {
        for (example, _) in command.examples where example.hasPrefix("loopd ") {
            let words = example.prefix { $0 != "|" }.split(separator: " ").dropFirst().map(String.init)
            #expect(throws: Never.self, "\(example)") { try Invocation(parsing: words) }
        }
        let text = try await Built.run(["help", command.rawValue], in: "/").text
        for line in text.split(separator: "\n") { #expect(!line.hasSuffix(" "), "\(line)") }
    }

    @Test("standard output that is closed is no file of loopd's: nothing is written into what it opens next")
    func closedOutput() async throws {
        try await withFolder("{services: {web: {manifests: ['x']}}}") { folder in
            var launch = Launch(["sh", "-c", "exec \"$0\" check <&- >&- 2>&-", Built.loopd], directory: folder)
            launch.environment = ["HOME": folder, "LOOPD_STATE_DIR": "/nonexistent"]
            let output = try await Child.run(launch)
            #expect(output.status == .exited(2))
            let file = try #require(fopen("\(folder)/loop.json", "r"))
            defer { fclose(file) }
            #expect(getc(file) == Int32(UInt8(ascii: "{")))
        }
    }

    @Test("in a folder below the project, the loop.json above is named")
    func above() async throws {
        try await withFolder("{services: {web: {manifests: ['x']}}}") { folder in
            mkdir("\(folder)/a", 0o755)
            mkdir("\(folder)/a/b", 0o755)
            defer { for name in ["a/b", "a"] { rmdir("\(folder)/\(name)") } }
            let output = try await Built.run(["watch"], in: "\(folder)/a/b")
            #expect(output.status == .exited(2))
            #expect(output.errorText == "loop.json: $: no such file (there is one above: --file ../..)\n")
        }
    }

    @Test("bad usage is two lines on standard error, with exit code 2")
    func usage() async throws {
        let output = try await Built.run(["wacth"], in: "/")
        #expect(output.status == .exited(2))
        #expect(output.standardOutput.isEmpty)
        #expect(output.errorText == "loopd: unknown command \"wacth\"\n  → did you mean \"watch\"?\n")
    }

    @Test(
        "without a loop.json, every command that needs one says so, with exit code 2",
        arguments: ["watch", "sync", "status", "check"])
    func missing(command: String) async throws {
        try await withFolder(nil) { folder in
            let output = try await Built.run([command], in: folder)
            #expect(output.status == .exited(2))
            #expect((output.text + output.errorText).hasPrefix("loop.json: $: no such file"))
        }
    }

    @Test("check prints every problem and its place, with exit code 2")
    func check() async throws {
        try await withFolder("{\"servces\": {},\n \"version\": \"x\"}") { folder in
            let output = try await Built.run(["check"], in: folder)
            #expect(output.status == .exited(2))
            #expect(
                output.text == """
                    loop.json:1:1: $: "services" is missing (name at least one service)
                    loop.json:1:2: $.servces: unknown key "servces" (did you mean "services"?)
                    loop.json:2:13: $.version: a whole number from 1 should be here
                    3 errors

                    """)
            let json = try await Built.run(["check", "--output", "json"], in: folder)
            #expect(json.status == .exited(2))
            let report = try JSON(parsing: json.standardOutput)
            #expect(report["ok"] == false)
            #expect(report["errors"] == 3)
            #expect(report["problems"]?[1]?["line"] == 1)
            #expect(report["problems"]?[1]?["column"] == 2)
            #expect(report["problems"]?[1]?["path"] == "$.servces")
            #expect(report["problems"]?[1]?["hint"] == "did you mean \"services\"?")
        }
    }

    @Test("a pattern that matches nothing is a warning, and no failure")
    func warning() async throws {
        let text = "{services: {web: {workload: 'deployment/web', rules: [{watch: ['x/**'], sync: {to: '/x'}}]}}}"
        try await withFolder(text) { folder in
            let output = try await Built.run(["check"], in: folder)
            #expect(output.status == .exited(0))
            #expect(
                output.text.hasPrefix(
                    "loop.json:1:64: $.services.web.rules[0].watch[0]: warning: \"x/**\" matches no file"))
        }
    }

    @Test("this project's own loop.json is good")
    func ownFile() async throws {
        let output = try await Built.run(["check"], in: Built.project)
        #expect(output.status == .exited(0))
        #expect(output.text == "loop.json is good: hello on the playground, namespace hello\n")
    }

    @Test("an unknown service is refused with the nearest one")
    func unknownService() async throws {
        try await withFolder("{services: {web: {manifests: ['x']}, api: {manifests: ['x']}}}") { folder in
            let output = try await Built.run(["watch", "wbe"], in: folder)
            #expect(output.status == .exited(2))
            #expect(output.errorText == "loopd: loop.json has no service \"wbe\"\n  → did you mean \"web\"?\n")
        }
    }

    @Test("env of a service that loop.json does not name says which one is meant, and knows forms of its own")
    func envOfService() async throws {
        try await withFolder("{services: {web: {manifests: ['x']}, api: {manifests: ['x']}}}") { folder in
            let output = try await Built.run(["env", "wbe"], in: folder)
            #expect(output.status == .exited(2))
            #expect(output.errorText == "loopd: loop.json has no service \"wbe\"\n  → did you mean \"web\"?\n")
            let form = try await Built.run(["env", "--output", "text"], in: folder)
            #expect(form.status == .exited(2))
            #expect(
                form.errorText == "loopd: --output cannot be \"text\"\n  → one of: shell, json, dotenv\n")
        }
    }

    @Test("env leads to an existing cluster as the file says, for a shell and as JSON")
    func env() async throws {
        try await withFolder(
            "{cluster: {context: 'kind-a', kubeconfig: 'my config'}, services: {web: {manifests: ['x']}}, project: 'p'}"
        ) { folder in
            let output = try await Built.run(["env"], in: folder)
            #expect(output.status == .exited(0))
            let path = try await Child.run(Launch(["realpath", folder])).text.split(separator: "\n").first ?? ""
            // What builds images is this machine's.
            let cluster = output.text.split(separator: "\n").filter {
                !$0.contains("LOOPD_ENGINE") && !$0.contains("DOCKER_HOST")
            }
            #expect(
                cluster.joined(separator: "\n") + "\n"
                    == "export KUBECONFIG='\(path)/my config'\nexport LOOPD_CONTEXT=kind-a\nexport LOOPD_NAMESPACE=p\n")
            let json = try await Built.run(["env", "-o", "json", "-n", "other"], in: folder)
            #expect(try JSON(parsing: json.standardOutput)["LOOPD_NAMESPACE"] == "other")
        }
    }

    @Test("env leads docker to Podman's images where podman builds them, and not where docker finds them itself")
    func engine() async throws {
        let text = "{cluster: {context: 'kind-a', kubeconfig: 'k'}, services: {web: {manifests: ['x']}}, project: 'p'}"
        try await withFolder(text) { folder in
            for path in ["bin", "run", "run/podman"] { try #require(mkdir("\(folder)/\(path)", 0o755) == 0) }
            defer { for path in ["run/podman", "run", "bin"] { rmdir("\(folder)/\(path)") } }
            // Stands for podman and docker, which are not started.
            try #require(symlink("/bin/true", "\(folder)/bin/podman") == 0)
            defer { unlink("\(folder)/bin/podman") }
            let socket = try Listening(at: "\(folder)/run/podman/podman.sock")
            defer { socket.close() }
            var launch = Launch([Built.loopd, "env"], directory: folder)
            launch.environment = ["PATH": "\(folder)/bin", "HOME": folder, "XDG_RUNTIME_DIR": "\(folder)/run"]
            let host = "unix://\(folder)/run/podman/podman.sock"
            let podman = try await Child.run(launch)
            #expect(podman.text.hasSuffix("export LOOPD_ENGINE=podman\nexport DOCKER_HOST=\(host)\n"), "\(podman.text)")

            try #require(rename("\(folder)/bin/podman", "\(folder)/bin/docker") == 0)
            defer { unlink("\(folder)/bin/docker") }
            launch.environment?["DOCKER_HOST"] = host
            let docker = try await Child.run(launch)
            #expect(docker.text.hasSuffix("export LOOPD_ENGINE=docker\n"), "\(docker.text)")
        }
    }

    @Test(
        "env and status of a playground that does not run say how to start it, with exit code 3",
        arguments: ["env", "status"])
    func stopped(command: String) async throws {
        let output = try await Built.run([command], in: Built.project)
        #expect(output.status == .exited(3))
        #expect((output.text + output.errorText).contains("loopd up"))
    }

    @Test(
        "docs/events.md has every key that a command prints as JSON",
        arguments: [["check"], ["env"], ["version"], ["down"]])
    func documentedKeys(arguments: [String]) async throws {
        let text = "{cluster: {context: 'a', kubeconfig: 'b'}, services: {web: {manifests: ['x']}}, project: 'p'}"
        try await withFolder(text) { folder in
            let output = try await Built.run(arguments + ["-o", "json"], in: folder, state: "\(folder)/state")
            let report = try JSON(parsing: output.standardOutput)
            let page = try await Child.run(Launch(["cat", "\(Built.project)docs/events.md"])).text
            func expect(_ object: JSON, in start: String) {
                let row = page.split(separator: "\n").first { $0.hasPrefix(start) } ?? ""
                let keys = object.object.map { Array($0.keys) } ?? []
                #expect(!keys.isEmpty)
                for key in keys { #expect(row.contains("`\(key)`"), "\(start): \(key)") }
            }
            expect(report, in: "| `\(arguments[0])` |")
            for problem in report["problems"]?.array ?? [] { expect(problem, in: "| `\(arguments[0])`, each of") }
        }
    }

    @Test("down where nothing runs is done, and leaves no folder")
    func down() async throws {
        try await withFolder(nil) { folder in
            let output = try await Built.run(["down"], in: folder, state: "\(folder)/state")
            #expect(output.status == .exited(0))
            #expect(output.text == "the playground does not run\n")
            #expect(access("\(folder)/state", F_OK) != 0)
        }
    }

    @Test("completion scripts are good in their shells", arguments: Command.shells)
    func completion(shell: String) async throws {
        let script = try await Built.run(["completion", shell], in: "/")
        #expect(script.status == .exited(0))
        let check = Launch(shell == "fish" ? ["fish", "--no-execute"] : [shell, "-n"])
        do {
            let output = try await Child.run(check, input: script.standardOutput)
            #expect(output.status == .exited(0), "\(output.errorText)")
        } catch let error as SystemError where error.code == ENOENT {
            // `make test` installs every shell; without it, the ones that are there are checked.
            print("\(shell) is not installed")
        }
    }

    @Test("bash completes commands, options and the services of the loop.json here")
    func bashCompletion() async throws {
        try await withFolder("{services: {web: {manifests: ['x']}, api: {manifests: ['x']}}}") { folder in
            let script = """
                PATH="\(Built.loopd.dropLast("/loopd".count)):$PATH"
                source <(loopd completion bash)
                complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _loopd; echo "${COMPREPLY[*]}"; }
                complete_words loopd wa
                complete_words loopd watch w
                complete_words loopd watch --no-
                complete_words loopd check --output j
                """
            let output = try await Child.run(Launch(["bash", "-c", script], directory: folder))
            #expect(output.text == "watch\nweb\n--no-deploy --no-color\njson\n", "\(output.errorText)")
        }
    }
}

/// A Unix socket that something accepts on.
private struct Listening {
    private let descriptor: Int32
    private let path: String

    init(at path: String) throws {
        self.path = path
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(descriptor, 8) == 0)
    }

    func close() {
        Glibc.close(descriptor)
        unlink(path)
    }
}
