import Testing
import Wire

@testable import LoopServer

@Suite("Ends of a supervised service") struct ServiceEndsTests {
    private static func running(_ starts: UInt32) -> ServiceState { .running(pid: 10 + starts, starts: starts) }
    private static func ended(_ code: Int32, _ starts: UInt32) -> ServiceState { .ended(.code(code), starts: starts) }

    @Test("an end is told once, with how long the program ran")
    func once() {
        var ends = ServiceEnds()
        #expect(ends.hear(.starting, at: 1) == nil)
        #expect(ends.hear(ServiceEndsTests.running(1), at: 1_000_000) == nil)
        let end = ends.hear(ServiceEndsTests.ended(3, 1), at: 41_000_000)
        #expect(end?.exit == .code(3))
        #expect(end?.milliseconds == 40)
        // Another connection tells its state again.
        ends.beginFollowing()
        #expect(ends.hear(ServiceEndsTests.ended(3, 1), at: 50_000_000) == nil)
    }

    @Test("how long a program ran is said only where its start was heard; a lost connection changes nothing about that")
    func times() {
        var ends = ServiceEnds()
        // It has been running for a while.
        _ = ends.hear(ServiceEndsTests.running(1), at: 1_000_000)
        #expect(ends.hear(ServiceEndsTests.ended(3, 1), at: 2_000_000)?.milliseconds == .none)
        _ = ends.hear(ServiceEndsTests.running(2), at: 3_000_000)
        ends.beginFollowing()
        _ = ends.hear(ServiceEndsTests.running(2), at: 5_000_000)
        #expect(ends.hear(ServiceEndsTests.ended(3, 2), at: 6_000_000)?.milliseconds == 3)
    }

    @Test("an end that was there before anybody listened is told, without a time")
    func early() {
        var ends = ServiceEnds()
        ends.beginFollowing()
        let end = ends.hear(ServiceEndsTests.ended(0, 1), at: 1)
        #expect(end?.exit == .code(0))
        #expect(end?.milliseconds == nil)
    }

    @Test("a program that dies right after a restart is told when the restart is")
    func duringRestart() {
        var ends = ServiceEnds()
        _ = ends.hear(ServiceEndsTests.running(1), at: 1)
        ends.beginRestart()
        for state in [.stopping, .starting, ServiceEndsTests.running(2)] as [ServiceState] {
            #expect(ends.hear(state, at: 2) == nil)
        }
        #expect(ends.hear(ServiceEndsTests.ended(1, 2), at: 3) == nil)
        #expect(ends.restarted(ServiceEndsTests.running(2))?.exit == .code(1))
        #expect(ends.restarted(ServiceEndsTests.running(2)) == nil)
    }

    @Test("the end of the program that a restart replaces is not told")
    func replaced() {
        var ends = ServiceEnds()
        ends.beginRestart()
        #expect(ends.hear(ServiceEndsTests.ended(1, 1), at: 1) == nil)
        #expect(ends.restarted(ServiceEndsTests.running(2)) == nil)
    }

    @Test("a program that cannot be started is told once, whichever word comes first", arguments: [true, false])
    func refused(isAnswerFirst: Bool) {
        var ends = ServiceEnds()
        ends.beginRestart()
        if isAnswerFirst { ends.restartWasRefused() }
        #expect(ends.hear(ServiceEndsTests.ended(127, 2), at: 1) == nil)
        if !isAnswerFirst { ends.restartWasRefused() }
        // The next one is another matter.
        _ = ends.hear(ServiceEndsTests.running(3), at: 2)
        #expect(ends.hear(ServiceEndsTests.ended(127, 3), at: 3)?.exit == .code(127))
    }

    @Test("an end that was held back for an answer that never came is told on the next connection")
    func lost() {
        var ends = ServiceEnds()
        ends.beginRestart()
        #expect(ends.hear(ServiceEndsTests.ended(1, 2), at: 1) == nil)
        ends.restartWasLost()
        #expect(ends.hear(ServiceEndsTests.ended(1, 2), at: 2)?.exit == .code(1))
    }
}
