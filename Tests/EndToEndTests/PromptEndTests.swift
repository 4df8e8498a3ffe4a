import Glibc
import JSON
import Reactor
import TestCluster
import Testing

// Alone, because a second is what is promised on a machine that does nothing else.
@Suite("The end within a second", .alone) struct PromptEndTests {
    @Test(
        "kill -9 of loopd: a second later nothing of it lives, and soon nothing in the pod; the next one is not refused"
    )
    func killed() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let family = ProcessTable.now().descendants(of: loopd.child.pid)
            #expect(family.contains { $0.command.contains(" proxy ") })
            loopd.child.signal(SIGKILL)
            _ = try await loopd.end()
            try await within(.seconds(1), "the end of \(family.map(\.command))") {
                for process in family { try await process.ended() }
            }
            try await within(.seconds(60), "the end of the helper") {
                while try await scene.helpers(in: pod) > 0 { try Task.checkCancellation() }
            }
            try scene.project.write("app/b", "2")
            _ = try await scene.watching()
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    @Test("Ctrl-C ends loopd in under a second with 130, leaves no process, and removes the helper")
    func interrupted() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let family = ProcessTable.now().descendants(of: loopd.child.pid)
            let (status, took) = try await loopd.stop(SIGINT)
            #expect(status == .exited(130))
            #expect(took < .seconds(1), "\(took)")
            try await within(.seconds(1), "the end of \(family.map(\.command))") {
                for process in family { try await process.ended() }
            }
            #expect(loopd.log.events().last?["event"]?.string == "stopped")
            #expect(try await scene.helpers(in: pod) == 0)
            let left = try await scene.tree("/tmp", in: pod).paths
            #expect(left.isEmpty, "\(left)")
            #expect(try await scene.tree("/srv", in: pod).paths == ["app", "app/a"])
        }
    }

    @Test("a step that never ends is no reason to wait: not for files, and not for Ctrl-C")
    func endlessStep() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure(rule: ["then": [["exec": ["sleep", "100000"]]]])
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            for number in 1...3 {
                let place = loopd.log.count
                try scene.project.write("app/a", "again \(number)")
                _ = try await loopd.event("landed", from: place)
            }
            try await scene.untilEqual("app", "/srv/app", in: pod)
            let notice = try await loopd.event("notice") { $0["text"]?.string?.contains("still runs") == true }
            #expect(notice["text"]?.string?.hasPrefix("sleep 100000 → \(pod)") == true, "\(notice.text)")
            let (status, took) = try await loopd.stop()
            #expect(status == .exited(130))
            #expect(took < .seconds(1), "\(took)")
            let processes = try await scene.exec(pod, ["/probe", "processes"]).text
            #expect(!processes.contains("100000"), "\(processes)")
        }
    }
}
