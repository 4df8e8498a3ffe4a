/// Every command with its arguments, options and help.
enum Command: String, CaseIterable {
    case up
    case down
    case watch
    case sync
    case deploy
    case rollback
    case undeploy
    case status
    case restore
    case check
    case env
    case version
    case help
    case completion
    case playgroundServe = "playground-serve"
    case postRender = "post-render"

    /// Commands that a person types.
    static let shown = allCases.filter { $0 != .playgroundServe && $0 != .postRender }

    /// What may follow the command.
    enum Arguments {
        case none
        case services
        case service
        case optionalService
        /// The path of a socket.
        case socket
        /// Folders that no pod may see.
        case folders
        case command
        case shell
    }

    var arguments: Arguments {
        switch self {
        case .watch, .sync, .deploy, .undeploy, .status, .restore: .services
        case .rollback: .service
        case .env: .optionalService
        case .postRender: .socket
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
        case .service: "SERVICE"
        case .optionalService: "[SERVICE]"
        case .socket: "SOCKET"
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
        case .watch: return cluster + [.noDeploy, .cleanup, .takeOver] + display
        case .sync: return cluster + [.noDeploy, .takeOver] + display
        case .deploy, .rollback: return cluster + [.dryRun, .yes] + display
        case .undeploy: return cluster + [.dryRun, .yes, .takeOver] + display
        case .status: return cluster + display
        case .restore: return cluster + [.all, .takeOver] + display
        case .check: return [.file] + display
        case .env: return cluster + [.output, .help]
        case .version: return [.output, .help]
        case .help, .completion, .playgroundServe, .postRender: return [.help]
        }
    }

    var summary: String {
        switch self {
        case .up: "start the playground, the cluster that is built into loopd"
        case .down: "stop the playground and remove all of it"
        case .watch: "sync every save into the running containers, until Ctrl-C"
        case .sync: "make the containers equal to the files here once"
        case .deploy: "apply the manifests and what the deploy rules build, after showing what changes"
        case .rollback: "bring a service back to the manifests, release or image that it had before"
        case .undeploy: "remove what loopd has deployed, after showing it"
        case .status: "show the services, their pods and who syncs into them"
        case .restore: "take workloads out of dev mode: as they were before"
        case .check: "check loop.json and name everything that is wrong with it"
        case .env: "print the variables that lead kubectl to the same cluster, or those of a service's pods"
        case .version: "print the versions of loopd and its helper"
        case .help: "explain a command"
        case .completion: "print completions for a shell"
        case .playgroundServe: "run the playground in the foreground"
        case .postRender: "put images and dev mode into what helm has rendered"
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
        case .rollback:
            """
            Shows what would change, asks, does it, and waits for the rollout. Goes back to the newest manifests that a rule
            has applied and that the cluster does not hold, else to the revision before of a Helm release, else to the image
            that the workload had before. Once more, it comes forward again. Without a terminal, --yes or --dry-run has to
            say what to do.
            """
        case .undeploy:
            """
            Undoes dev mode, then deletes what the rules and the "manifests" of the services have brought to the cluster, of
            those too that have left loop.json, and waits until it is gone. What was there before stays. The namespace goes
            only where loopd has made it and nothing of others is in it; the cluster, and definitions of kinds, stay. Without
            a terminal, --yes or --dry-run has to say what to do. With names, only these services.
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
        case .env:
            """
            For a POSIX shell, unless --output says another form. Without a loop.json, the cluster is the playground. With a
            name, the variables of the service's container as its pod gets them from the API, Secrets' values among them, and
            on top the service's "host.env"; where no pod runs, those that its template tells. Variables that the image sets
            are not among them.
            """
        case .version: ""
        case .help: ""
        case .completion: "Options, commands, services of the loop.json here, and files."
        case .playgroundServe: "\"loopd up\" starts this in the background."
        case .postRender: "helm starts this; it asks the loopd that has started helm."
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
                ("loopd watch --cleanup", "leave nothing in the cluster when it ends"),
                ("loopd watch --output json | jq -c 'select(.event == \"landed\")'", "for programs"),
            ]
        case .sync: [("loopd sync --no-deploy web", "only the files, only one service")]
        case .deploy:
            [
                ("loopd deploy", "show, ask, apply"),
                ("loopd deploy --dry-run", "only show"),
                ("loopd deploy --yes platform", "one service, without a question"),
            ]
        case .rollback:
            [
                ("loopd rollback web", "show, ask, go back"),
                ("loopd rollback --dry-run web", "only show"),
                ("loopd rollback --yes web", "without a question"),
            ]
        case .undeploy:
            [
                ("loopd undeploy", "every service of ./loop.json"),
                ("loopd undeploy --dry-run", "only show"),
                ("loopd undeploy --yes web", "one service, without a question"),
            ]
        case .status: [("loopd status", ""), ("loopd status --output json", "")]
        case .restore: [("loopd restore", "every service of ./loop.json"), ("loopd restore --all", "and all others")]
        case .check: [("loopd check", ""), ("loopd check -f ../shop", "the loop.json of another folder")]
        case .env:
            [
                ("eval \"$(loopd env)\"", "kubectl in this shell talks to the same cluster"),
                ("loopd env web", "the variables of a service's pods"),
                ("loopd env web --output dotenv", "for an editor or a debugger, as a .env file"),
            ]
        case .version: [("loopd version", "")]
        case .help: [("loopd help watch", "")]
        case .completion: [("source <(loopd completion bash)", "for this shell")]
        case .playgroundServe, .postRender: []
        }
    }
}
