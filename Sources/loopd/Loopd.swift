internal import Glibc
internal import LoopServer

/// The program: parse, call, print, exit code.
@main
enum Loopd {
    static func main() async {
        openStandardDescriptors()
        // Swift's runtime would show a stack trace, as if the program had crashed.
        signal(SIGQUIT, SIG_DFL)
        let invocation: Invocation
        do {
            invocation = try Invocation(parsing: Array(Swift.CommandLine.arguments.dropFirst()))
        } catch {
            Console(noColour: true).complain(error.message, hint: error.hint)
            exit(Outcome.usage.rawValue)
        }
        let console = Console(noColour: invocation.flags.contains(.noColor))
        exit(await run(invocation, console).rawValue)
    }

    /// Opens what the caller has closed (`loopd watch >&-`): else the next file or socket would have its number, and get
    /// the lines that are meant for a person.
    private static func openStandardDescriptors() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDWR)
        }
    }

    private static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        switch invocation.command {
        case .help: return help(invocation, console)
        case .completion: return completion(invocation, console)
        case .version: return VersionCommand.run(invocation, console)
        case .check: return CheckCommand.run(invocation, console)
        case .env: return await EnvCommand.run(invocation, console)
        case .status: return await StatusCommand.run(invocation, console)
        case .restore: return await RestoreCommand.run(invocation, console)
        case .watch, .run, .sync, .deploy, .rollback, .undeploy, .forward:
            return await LoopCommand.run(invocation, console)
        case .up: return await PlaygroundCommands.up(invocation, console)
        case .down: return await PlaygroundCommands.down(invocation, console)
        case .postRender: return await PostRenderCommand.run(invocation)
        case .playgroundServe: return await PlaygroundCommands.serve(invocation, console)
        }
    }

    private static func help(_ invocation: Invocation, _ console: Console) -> Outcome {
        let command = invocation.arguments.first.flatMap(Command.init(rawValue:))
        console.show(command.map(HelpText.command) ?? HelpText.overview())
        return .done
    }

    private static func completion(_ invocation: Invocation, _ console: Console) -> Outcome {
        let word = invocation.arguments.first ?? ""
        guard word == Command.servicesWord else {
            console.show(Completions.script(for: word))
            return .done
        }
        let (configuration, _) = Configuration.load(path: Configuration.defaultFile)
        console.show(configuration?.services.map(\.name) ?? [])
        return .done
    }
}
