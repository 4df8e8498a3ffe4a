import Testing

@testable import loopd

@Suite("The command line")
struct InvocationTests {
    static let good: [(words: String, invocation: Invocation)] = [
        ("", Invocation(command: .help)), ("help", Invocation(command: .help)),
        ("help watch", Invocation(command: .help, arguments: ["watch"])), ("-h", Invocation(command: .help)),
        ("watch -h", Invocation(command: .help, arguments: ["watch"])),
        ("--help sync", Invocation(command: .help, arguments: ["sync"])),
        ("version", Invocation(command: .version)), ("--version", Invocation(command: .version)),
        ("up", Invocation(command: .up)), ("watch", Invocation(command: .watch)),
        ("watch web api", Invocation(command: .watch, arguments: ["web", "api"])),
        ("watch -- --web", Invocation(command: .watch, arguments: ["--web"])),
        ("-v watch", Invocation(command: .watch, flags: [.verbose])),
        (
            "watch web -f a/loop.json --context kind-a --namespace=dev --kubeconfig k -o json -v --no-color --no-deploy --take-over",
            Invocation(
                command: .watch, arguments: ["web"],
                values: [
                    .file: "a/loop.json", .context: "kind-a", .namespace: "dev", .kubeconfig: "k", .output: "json",
                ],
                flags: [.verbose, .noColor, .noDeploy, .takeOver])
        ),
        ("check --file=a=b", Invocation(command: .check, values: [.file: "a=b"])),
        ("check -f a -f b", Invocation(command: .check, values: [.file: "b"])),
        (
            "watch web --host api --host=gateway",
            Invocation(command: .watch, arguments: ["web"], values: [.host: "api,gateway"])
        ),
        (
            "run web --replica one --fallback=pod --debug -- npm run --watch",
            Invocation(
                command: .run, arguments: ["web"], program: ["npm", "run", "--watch"],
                values: [.replica: "one", .fallback: "pod"], flags: [.debug])
        ),
        ("completion zsh", Invocation(command: .completion, arguments: ["zsh"])),
        ("playground-serve", Invocation(command: .playgroundServe)),
    ]

    @Test("what makes sense is understood", arguments: good)
    func understands(words: String, invocation: Invocation) throws {
        #expect(try Invocation(parsing: words.split(separator: " ").map(String.init)) == invocation)
    }

    static let bad: [(words: String, message: String, hint: String)] = [
        ("wacth", "unknown command \"wacth\"", "did you mean \"watch\"?"),
        ("frobnicate", "unknown command \"frobnicate\"", "see \"loopd help\""),
        ("playground-serv", "unknown command \"playground-serv\"", "see \"loopd help\""),
        ("watch --contxt a", "unknown option --contxt", "did you mean --context?"),
        ("watch --xyz", "unknown option --xyz", "see \"loopd help watch\""),
        ("watch -x", "unknown option -x", "see \"loopd help watch\""),
        ("watch --context", "--context needs a value", "--context NAME"),
        ("watch --context=", "--context needs a value", "--context NAME"),
        ("watch --verbose=1", "--verbose takes no value", "see \"loopd help watch\""),
        ("check -o jsn", "-o cannot be \"jsn\"", "did you mean json?"),
        ("check --output yaml", "--output cannot be \"yaml\"", "one of: text, json"),
        (
            "watch --cleanup --no-deploy", "--cleanup removes what was deployed, and with --no-deploy nothing is",
            "leave one of them out; \"loopd undeploy\" removes what is there"
        ),
        ("run", "\"run\" needs a service", "loopd run SERVICE"),
        ("run web --", "no program follows --", "loopd run SERVICE -- PROGRAM ARGUMENT…"),
        ("run web npm start", "\"run\" takes one service, and a program after --", "loopd run web -- npm start"),
        ("run web --replica two", "--replica cannot be \"two\"", "one of: all, one"),
        ("down --context a", "\"down\" has no option --context", "see \"loopd help down\""),
        ("up web", "\"up\" takes no argument: \"web\"", "see \"loopd help up\""),
        ("help wach", "unknown command \"wach\"", "did you mean \"watch\"?"),
        ("help watch sync", "\"help\" takes one command", "see \"loopd help help\""),
        ("completion", "\"completion\" needs a shell", "one of: bash, zsh, fish"),
        ("completion tcsh", "unknown shell \"tcsh\"", "did you mean \"zsh\"?"),
    ]

    @Test("what makes no sense is named, with what to do", arguments: bad)
    func refuses(words: String, message: String, hint: String) {
        let error = #expect(throws: UsageError.self) {
            try Invocation(parsing: words.split(separator: " ").map(String.init))
        }
        #expect(error?.message == message)
        if words != "completion tcsh" { #expect(error?.hint == hint) }
    }

    @Test("every command has help with its options and an example that makes sense", arguments: Command.shown)
    func help(command: Command) throws {
        let text = HelpText.command(command)
        for option in command.options { #expect(text.contains(option.long)) }
        #expect(HelpText.overview().contains("  \(command.rawValue)"))
        #expect(!command.examples.isEmpty)
        for (example, _) in command.examples where example.hasPrefix("loopd ") {
            let words = example.prefix { $0 != "|" }.split(separator: " ").dropFirst().map(String.init)
            #expect(try Invocation(parsing: words).command == command)
        }
        for line in (text + "\n" + HelpText.overview()).split(separator: "\n") { #expect(line.count <= 120) }
    }

    @Test("completions name every command and option", arguments: Command.shells)
    func completions(shell: String) {
        let script = Completions.script(for: shell)
        for command in Command.shown { #expect(script.contains(command.rawValue)) }
        for option in Option.allCases {
            #expect(script.contains(shell == "fish" ? "-l \(option.rawValue)" : option.long))
        }
        #expect(!script.contains("playground-serve"))
    }

    static let environments: [(variables: [String: String], path: String)] = [
        (["LOOPD_STATE_DIR": "/s", "XDG_STATE_HOME": "/x", "HOME": "/h"], "/s"),
        (["XDG_STATE_HOME": "/x", "HOME": "/h"], "/x/loopd"),
        (["LOOPD_STATE_DIR": "", "XDG_STATE_HOME": "x", "HOME": "/h"], "/h/.local/state/loopd"),
        ([:], "/.local/state/loopd"), (["HOME": "/"], "/.local/state/loopd"),
    ]

    @Test("the state directory follows the environment", arguments: environments)
    func stateDirectory(variables: [String: String], path: String) {
        #expect(StateDirectory.path { variables[$0] } == path)
    }

    static let words: [(text: String, quoted: String)] = [
        ("/home/a/kubeconfig", "/home/a/kubeconfig"), ("", "''"), ("a b", "'a b'"), ("it's $x", "'it'\\''s $x'"),
        ("é", "'é'"),
        ("a;b", "'a;b'"), ("@", "'@'"), ("[", "'['"),
    ]

    @Test("a value is one word for the shell", arguments: words)
    func quoting(text: String, quoted: String) {
        #expect(VariableFormat.shellWord(text) == quoted)
    }
}
