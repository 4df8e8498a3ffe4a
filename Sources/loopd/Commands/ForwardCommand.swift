internal import LoopServer

/// `loopd forward`: ports of this machine that lead to a service's pods.
enum ForwardCommand {
    static func run(_ invocation: Invocation, _ console: Console, _ patience: Patience) async -> Outcome {
        var forwards: [Forward] = []
        for text in invocation.arguments.dropFirst() {
            do throws(Forward.Unreadable) {
                forwards.append(try Forward(parsing: text))
            } catch {
                console.complain(error.message, hint: "loopd forward SERVICE 8080:80")
                return .usage
            }
        }
        if let twice = forwards.first(where: { one in one.local > 0 && forwards.count { $0.local == one.local } > 1 }) {
            console.complain("port \(twice.local) is forwarded twice", hint: "0:\(twice.remote) takes a free one")
            return .usage
        }
        do throws(Target.Stop) {
            let target = try Target.load(invocation, console)
            if target.isPlayground, !target.playground.isRunning {
                console.complain("the playground does not run: nothing is there", hint: "start it: loopd up")
                return .cluster
            }
            // A helper that stays in a pod is worse than an end that takes the three seconds it gets to go, and one to say so.
            patience.limit = .seconds(4)
            let report = LoopCommand.reporter(target, invocation, console)
            return await target.session(invocation).forward(forwards, report: report)
        } catch {
            return error.outcome
        }
    }
}
