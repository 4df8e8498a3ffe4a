import CLinux
import Glibc
import Reactor
import Testing

@testable import Playground

@Suite("What a failed runc leaves", .timeLimit(.minutes(5))) struct StrayTests {
    @Test("a process that died on its way into a container is reaped")
    func reaped() async throws {
        #expect(clinux_set_subreaper() == 0)
        // An orphan that dies under the name that runc has on its way.
        let orphan = """
            (read pid rest < /proc/self/stat; echo $pid; exec > /dev/null 2>&1
            while kill -0 $$; do sleep 0.01; done; printf 'runc:[2:INIT]' > /proc/self/comm) & exit
            """
        let output = try await Child.run(Launch(["sh", "-c", orphan]))
        let pid = try #require(Int32(output.text.prefix { $0.isNumber }))
        while let state = state(of: pid), state != "Z" { try await Task.sleep(for: .milliseconds(10)) }
        StrayReaper.start()
        while state(of: pid) != nil { try await Task.sleep(for: .milliseconds(10)) }
    }

    private func state(of pid: Int32) -> Character? {
        Disk.text("/proc/\(pid)/stat").flatMap { line in
            line.lastIndex(of: ")").flatMap { line[$0...].dropFirst(2).first }
        }
    }
}
