/// Every command with its arguments, options and help.
enum Command: String, CaseIterable {
    case up
    case down
    case watch
    case sync
    case deploy
    case status
    case restore
    case check
    case env
    case version
    case help
    case completion
    case playgroundServe = "playground-serve"

    /// Commands that a person types.
    static let shown = allCases.filter { $0 != .playgroundServe }

    /// What may follow the command.
    enum Arguments {
        case none
        case services
        /// Folders that no pod may see.
        case folders
        case command
        case shell
    }

    var arguments: Arguments {
        switch self {
        case .watch, .sync, .deploy, .status, .restore: .services
        case .help: .command
        case .completion: .shell
        case .playgroundServe: .folders
        default: .none
        }
    }

    var argumentsText: String {
        switch arguments {
        case .none: ""
        case .services: "[SERVICE…]"
        case .folders: "[FOLDER…]"
        case .command: "[COMMAND]"
        case .shell: Command.shells.joined(separator: "|")
        }
    }

    static let shells = ["bash", "zsh", "fish"]
    /// What the completion scripts ask for the names of services with.
    static let servicesWord = "services"

    var options: [Option] {
        let cluster: [Option] = [.file, .context, .namespace, .kubeconfig]
        let display: [Option] = [.output, .verbose, .noColor, .help]
        switch self {
        case .up, .down: return display
        case .watch, .sync: return cluster + [.noDeploy, .takeOver] + display
        case .deploy: return cluster + [.dryRun, .yes] + display
        case .status: return cluster + display
        case .restore: return cluster + [.all, .takeOver] + display
        case .check: return [.file] + display
        case .env: return cluster + [.output, .help]
        case .version: return [.output, .help]
        case .help, .completion, .playgroundServe: return [.help]
        }
    }

    var summary: String {
        switch self {
        case .up: "start the playground, the cluster that is built into loopd"
        case .down: "stop the playground and remove all of it"
        case .watch: "sync every save into the running containers, until Ctrl-C"
        case .sync: "make the containers equal to the files here once"
        case .deploy: "apply the manifests and what the deploy rules build, after showing what changes"
        case .status: "show the services, their pods and who syncs into them"
        case .restore: "take workloads out of dev mode: as they were before"
        case .check: "check loop.json and name everything that is wrong with it"
        case .env: "print the variables that lead kubectl to the same cluster"
        case .version: "print the versions of loopd and its helper"
        case .help: "explain a command"
        case .completion: "print completions for a shell"
        case .playgroundServe: "run the playground in the foreground"
        }
    }

    var details: String {
        switch self {
        case .up:
            """
            The playground runs pods as real containers on this machine and needs runc (Debian: apt install runc). It
            keeps running until "loopd down". When it runs already, nothing happens.
            """
        case .down:
            "Ends every container of the playground and deletes its state. When it does not run, nothing happens."
        case .watch:
            """
            First creates the namespace and applies the manifests that are absent or changed, then compares the
            containers with the files here, then syncs each save. With names, only these services. On the playground,
            starts it when it does not run.
            """
        case .sync: "Does what \"watch\" does at its start, then exits. With names, only these services."
        case .deploy:
            """
            Builds what the rules with "deploy" name, shows what that would change in the cluster, asks, applies it, deletes
            what has left the set, and waits for the rollout. Manifests of services are applied as at the start of "watch".
            Without a terminal, --yes or --dry-run has to say what to do. With names, only these services.
            """
        case .status: "Reads only. With names, only these services."
        case .restore:
            """
            "watch" undoes dev mode when it ends; this does it after one that was killed. What others have changed
            meanwhile stays. With names, only these services; with --all, every workload of the namespace.
            """
        case .check:
            """
            Prints every problem as FILE:LINE:COLUMN: JSON PATH: what is wrong. Patterns that match no file are warnings.
            Asks no cluster.
            """
        case .env: "For a POSIX shell. Without a loop.json, the cluster is the playground."
        case .version: ""
        case .help: ""
        case .completion: "Options, commands, services of the loop.json here, and files."
        case .playgroundServe: "\"loopd up\" starts this in the background."
        }
    }

    var examples: [(command: String, what: String)] {
        switch self {
        case .up: [("loopd up", "start it, or find it running")]
        case .down: [("loopd down", "leave nothing behind")]
        case .watch:
            [
                ("loopd watch", "every service of ./loop.json"),
                ("loopd watch web api", "two of them"),
                ("loopd watch --output json | jq -c 'select(.event == \"landed\")'", "for programs"),
            ]
        case .sync: [("loopd sync --no-deploy web", "only the files, only one service")]
        case .deploy:
            [
                ("loopd deploy", "show, ask, apply"),
                ("loopd deploy --dry-run", "only show"),
                ("loopd deploy --yes platform", "one service, without a question"),
            ]
        case .status: [("loopd status", ""), ("loopd status --output json", "")]
        case .restore: [("loopd restore", "every service of ./loop.json"), ("loopd restore --all", "and all others")]
        case .check: [("loopd check", ""), ("loopd check -f ../shop", "the loop.json of another folder")]
        case .env: [("eval \"$(loopd env)\"", "kubectl in this shell talks to the same cluster")]
        case .version: [("loopd version", "")]
        case .help: [("loopd help watch", "")]
        case .completion: [("source <(loopd completion bash)", "for this shell")]
        case .playgroundServe: []
        }
    }
}
