import Glibc
import Testing

@testable import LoopServer

@Suite("The order of steps") struct DueStepTests {
    private static let a = Step.exec(["a"])
    private static let b = Step.exec(["b"])
    private static let process = Step.restart(.process)
    private static let hangUp = Step.restart(.signal(SIGHUP))
    private static let pod = Step.restart(.pod)

    private static let table: [(String, [[Step]], [(Step, Set<Int>)])] = [
        ("nothing", [], []),
        ("no steps", [[], []], []),
        ("programs of each rule, also the same one", [[a, b], [a]], [(a, [0]), (b, [0]), (a, [1])]),
        ("one restart for all rules", [[process], [process], [process]], [(process, [0, 1, 2])]),
        ("it comes after every program", [[a, process], [b, process]], [(a, [0]), (b, [1]), (process, [0, 1])]),
        (
            "what a rule wants done after it stays there", [[process, a], [b, process]],
            [
                (b, [1]), (process, [0, 1]), (a, [0]),
            ]
        ),
        ("kinds stay apart, in order", [[hangUp], [process], [pod]], [(hangUp, [0]), (process, [1]), (pod, [2])]),
        (
            "signals of two numbers are two", [[hangUp], [.restart(.signal(SIGUSR1))]],
            [
                (hangUp, [0]), (.restart(.signal(SIGUSR1)), [1]),
            ]
        ),
        (
            "one that another rule comes to later waits for that", [[process], [hangUp, process]],
            [
                (hangUp, [1]), (process, [0, 1]),
            ]
        ),
        ("also behind a program", [[process], [hangUp, a, process]], [(hangUp, [1]), (a, [1]), (process, [0, 1])]),
        (
            "rules that want them in reverse get one twice", [[process, hangUp], [hangUp, process]],
            [
                (process, [0]), (hangUp, [0, 1]), (process, [1]),
            ]
        ),
        (
            "a rule that wants one twice gets it twice", [[process, a, process]],
            [
                (process, [0]), (a, [0]), (process, [0]),
            ]
        ),
    ]

    @Test("steps of several rules", arguments: table)
    func order(name: String, owed: [[Step]], wanted: [(Step, Set<Int>)]) {
        let due = DueStep.plan(owed.enumerated().map { ($0.offset, $0.element) })
        #expect(due == wanted.map { DueStep(step: $0.0, rules: $0.1) }, "\(name)")
    }

    @Test("a container that comes up new gets every step but the one that would make its pod anew")
    func occasions() {
        let steps = [DueStepTests.a, DueStepTests.pod, DueStepTests.process]
        #expect(Occasion.firstComparison.due(of: steps) == [DueStepTests.a, DueStepTests.process])
        #expect(Occasion.change.due(of: steps) == steps)
    }
}
