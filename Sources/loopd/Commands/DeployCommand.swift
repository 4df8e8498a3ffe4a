internal import Glibc
internal import LoopServer
internal import Reactor

/// `loopd deploy`: shows what would change, asks, and applies it.
enum DeployCommand {
    /// Whether somebody is there to be asked; else only `--yes` or `--dry-run` make sense.
    static func refuses(_ invocation: Invocation, _ console: Console) -> Bool {
        let isDecided = invocation.flags.contains(.yes) || invocation.flags.contains(.dryRun)
        guard !isDecided, isatty(STDIN_FILENO) != 1 else { return false }
        console.complain("nobody can be asked: standard input is no terminal", hint: "--yes applies, --dry-run shows")
        return true
    }

    /// Deploys once, in the session of a target.
    static func run(
        _ session: Session, _ invocation: Invocation, _ console: Console,
        report: @escaping @Sendable (LoopEvent) -> Void
    ) async -> Outcome {
        let isAgreed = invocation.flags.contains(.yes)
        return await session.deploy(dryRun: invocation.flags.contains(.dryRun)) {
            isAgreed ? true : await ask(console)
        } report: {
            report($0)
        }
    }

    /// Asks on the terminal; anything but yes is no, and so is the end of the input.
    private static func ask(_ console: Console) async -> Bool {
        console.prompt("apply? [y/N] ")
        let answer = try? await offPool { readLine() }
        return ["y", "yes"].contains((answer ?? "")?.lowercased() ?? "")
    }
}
