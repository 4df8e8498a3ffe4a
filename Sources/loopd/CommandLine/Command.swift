/// Every command with its arguments, options and help.
enum Command: String, CaseIterable {
    case up
    case down
    case watch
    case run
    case sync
    case forward
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
        /// A service, and after `--` a program with its arguments.
        case program
        /// A service and what is forwarded to it.
        case forwards
        case optionalService
        /// The path of a socket.
        case socket
        /// Folders that no pod may see.
        case folders
        case command
        case shell

        /// Whether names of services may follow.
        var areServices: Bool {
            switch self {
            case .services, .service, .optionalService, .program, .forwards: true
            case .none, .socket, .folders, .command, .shell: false
            }
        }
    }

    var arguments: Arguments {
        switch self {
        case .watch, .sync, .deploy, .undeploy, .status, .restore: .services
        case .rollback: .service
        case .run: .program
        case .forward: .forwards
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
        case .program: "SERVICE [-- PROGRAM…]"
        case .forwards: "SERVICE PORT…"
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
        case .watch: return cluster + [.host, .noDeploy, .cleanup, .takeOver] + display
        case .run: return cluster + [.replica, .fallback, .debug, .noDeploy, .takeOver] + display
        case .sync: return cluster + [.noDeploy, .takeOver] + display
        case .forward: return cluster + display
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
        case .run: "run a service on this machine as if it were in its pod, until Ctrl-C"
        case .sync: "make the containers equal to the files here once"
        case .forward: "carry ports of this machine to a service's pods, whichever they are, until Ctrl-C"
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
        case .run:
            """
            Starts the program that loop.json names under "host", or the one after --, with the variables and files of the
            pod. Connections to the service's pods come to it, and it reaches the cluster's services by their names through
            a proxy. A change on disk builds and starts it anew. Its own service runs in the pods again as soon as this
            ends.
            """
        case .sync: "Does what \"watch\" does at its start, then exits. With names, only these services."
        case .forward:
            """
            Each PORT is LOCAL:REMOTE, or one number for both; 0:REMOTE takes a free port of this machine. Connections go to
            127.0.0.1 in the pod, or where nothing listens there, to the pod's own address. The local port stays when pods
            are replaced or the connection is lost: new connections wait up to 10 seconds for the next pod. TCP only.
            """
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
                ("loopd watch --host gateway", "this one on this machine, the others are synced"),
                ("loopd watch --cleanup", "leave nothing in the cluster when it ends"),
                ("loopd watch --output json | jq -c 'select(.event == \"landed\")'", "for programs"),
            ]
        case .run:
            [
                ("loopd run gateway", "as loop.json says"),
                ("loopd run web -- npm run dev", "with another program"),
                ("loopd run web --debug", "and wait for a debugger"),
            ]
        case .sync: [("loopd sync --no-deploy web", "only the files, only one service")]
        case .forward:
            [
                ("loopd forward web 8080:80", "localhost:8080 is port 80 of web's pod"),
                ("loopd forward postgres 5432", "the same port on both sides"),
                ("loopd forward web 0:80 9229", "a free port, and another one beside it"),
            ]
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
