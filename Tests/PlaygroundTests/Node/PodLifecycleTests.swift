import JSON
import Testing

@testable import Playground

@Suite("Pods on runc", .onRunc, .timeLimit(.minutes(2)))
struct PodLifecycleTests {
    @Test("a pod runs, is ready, answers exec, and is gone after its deletion")
    func lifecycle() async throws {
        try await Laboratory.run { lab in
            try lab.create("web", spec: ["containers": [Laboratory.script("echo up; exec sleep 1000")]])
            let pod = try await lab.untilReady("web")
            #expect(pod.at("status", "phase") == "Running")
            let status = pod.at("status", "containerStatuses")?[0]
            #expect(status?["containerID"]?.string?.hasPrefix("runc://") == true)
            #expect(status?.at("user", "linux", "uid") == 0)
            #expect(try await lab.output("web", ["hostname"]) == "web\n")
            try lab.delete("web")
            try await lab.untilGone("web")
            #expect(Disk.names(in: lab.node.context.layout.containers) == [])
            #expect(Cgroups.processes(in: lab.node.context.layout.cgroup) == [])
        }
    }
}
