import Glibc
import Reactor
import Testing

@testable import LoopServer

@Suite("Programs for registries", .turn)
struct LeashedProgramsTests {
    @Test("a program gets its input, and its output and errors come back")
    func input() async throws {
        let programs = LeashedPrograms(leash: try BuildLaneTests.leash)
        let input = Array("a secret\n".utf8)
        let output = try await programs.run(["sh", "-c", "cat; echo trouble >&2; exit 3"], input: input, limit: 1000)
        #expect(output.standardOutput == input)
        #expect(output.errorText == "trouble\n")
        #expect(output.status == .exited(3))
        #expect(try await programs.run(["cat"], input: [], limit: 1000).standardOutput == [])
        #expect(try await programs.run(["/nowhere/at/all"], input: [], limit: 1000).status == .exited(127))
    }

    @Test("a program ends when nobody listens to its errors any more, as after the death of loopd")
    func alone() async throws {
        var launch = Launch([try BuildLaneTests.leash, "--hold-fd", "2", "--", "sleep", "3600"])
        launch.standardInput = .null
        launch.standardOutput = .null
        launch.standardError = .pipe
        let child = try await Child.spawn(launch)
        child.standardError?.close()
        #expect(await child.wait() != .exited(0))
    }

    @Test("a cancelled call ends its program")
    func cancelled() async throws {
        let programs = LeashedPrograms(leash: try BuildLaneTests.leash)
        let running = Task { try await programs.run(["sleep", "3600"], input: [], limit: 1000) }
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
    }
}
