internal import Glibc
internal import LoopServer
internal import Reactor

/// `loopd deploy`, `loopd rollback` and `loopd undeploy`: they show what would change, ask, and do it.
enum DeployCommand {
    /// Whether somebody is there to be asked; else only `--yes` or `--dry-run` make sense.
    static func refuses(_ invocation: Invocation, _ console: Console) -> Bool {
        let isDecided = invocation.flags.contains(.yes) || invocation.flags.contains(.dryRun)
        guard !isDecided, isatty(STDIN_FILENO) != 1 else { return false }
        let what =
            switch invocation.command {
            case .rollback: "goes back"
            case .undeploy: "removes"
            default: "applies"
            }
        console.complain("nobody can be asked: standard input is no terminal", hint: "--yes \(what), --dry-run shows")
        return true
    }

    /// Does it once, in the session of a target.
    static func run(
        _ session: Session, _ invocation: Invocation, _ console: Console,
        report: @escaping @Sendable (LoopEvent) -> Void
    ) async -> Outcome {
        let isAgreed = invocation.flags.contains(.yes)
        let dryRun = invocation.flags.contains(.dryRun)
        switch invocation.command {
        case .rollback:
            return await session.rollback(dryRun: dryRun) {
                isAgreed ? true : await ask("go back?", console)
            } report: {
                report($0)
            }
        case .undeploy:
            return await session.undeploy(dryRun: dryRun) {
                isAgreed ? true : await ask("remove?", console)
            } report: {
                report($0)
            }
        default:
            return await session.deploy(dryRun: dryRun) {
                isAgreed ? true : await ask("apply?", console)
            } report: {
                report($0)
            }
        }
    }

    /// Asks on the terminal; anything but yes is no, and so is the end of the input.
    private static func ask(_ question: String, _ console: Console) async -> Bool {
        console.prompt("\(question) [y/N] ")
        let answer = try? await offPool { readLine() }
        return ["y", "yes"].contains((answer ?? "")?.lowercased() ?? "")
    }
}
