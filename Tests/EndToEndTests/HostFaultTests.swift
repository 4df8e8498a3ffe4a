import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("What befalls a service on this machine", .turn) struct HostFaultTests {
    @Test("after kill -9 the pod's own service answers, nothing of the program is left, and the next run takes it up")
    func killed() async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            let loopd = try await hosts.running()
            let program = try #require(try await loopd.event("hostStarted")["pid"]?.integer)
            let entry = try #require(ProcessTable.entry(Int32(program)))
            let root = try await hosts.ask("/env?LOOPD_ROOT")
            #expect(access(root, F_OK) == 0, "\(root)")
            let traffic = try await Traffic(hosts)
            try await traffic.first("host", loopd)
            let place = traffic.place
            let killed = Traffic.now()
            loopd.child.signal(SIGKILL)
            let back = try await traffic.first("pod", from: place, limit: .seconds(60), loopd)
            tell("the pod's own service after kill -9", back - killed)
            try await within(.seconds(60), "the program ends") { try await entry.ended() }
            let wrong = traffic.answers(from: place).filter { answer in
                !["host \(program)", "pod ", "!"].contains { answer.hasPrefix($0) }
            }
            #expect(wrong.isEmpty, "\(wrong)")
            let later = traffic.place
            let next = try await hosts.running()
            try await traffic.first("host", from: later, next)
            #expect(next.log.events().contains { $0["change"] == "takenUp" }, "\(next.transcript)")
            #expect(access(root, F_OK) != 0, "\(root)")
            #expect(try await next.stop().status == .exited(130))
            try await hosts.expectUntouched()
        }
    }

    @Test(
        "a silent link gives the pod back to its own service, and the next one takes its connections again",
        arguments: SilentLink.Way.allCases)
    func silence(way: SilentLink.Way) async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            let loopd = try await hosts.running()
            let traffic = try await Traffic(hosts)
            try await traffic.first("host", loopd)
            let place = traffic.place
            let link = try await SilentLink.begin(way, of: loopd)
            let silent = Traffic.now()
            do {
                let back = try await traffic.first("pod", from: place, limit: .seconds(60), loopd)
                tell("the pod's own service after silence (\(way))", back - silent)
                let later = traffic.place
                // New connections get through where only those from before are silent.
                if way != .drop { await link.end() }
                let ended = Traffic.now()
                let again = try await traffic.first("host", from: later, loopd)
                tell("connections come here again (\(way))", again - (way == .drop ? silent : ended))
            } catch {
                await link.end()
                throw error
            }
            await link.end()
            #expect(try await loopd.stop().status == .exited(130))
            try await hosts.expectUntouched()
        }
    }

    private func isNext(_ pod: Pod, _ old: String) -> Bool {
        pod.name.hasPrefix("web-") && pod.name != old && pod.isReady && !pod.isTerminating
    }

    @Test("when the pod is deleted under traffic, the next one's connections come here as soon as it is ready")
    func deletion() async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            let loopd = try await hosts.running()
            let traffic = try await Traffic(hosts)
            let program = try #require(try await loopd.event("hostStarted")["pid"]?.integer)
            try await traffic.first("host", loopd)
            let pods = try await hosts.scene.running(2)
            let old = try #require(pods.first { $0.name.hasPrefix("web-") }).name
            let (place, said) = (traffic.place, loopd.log.count)
            try await hosts.scene.kubectl(["delete", "pod", old, "--wait=false"])
            let ready = try await hosts.scene.pods().until("another pod") { pods in
                pods.contains { isNext($0, old) }
            }
            let isReady = Traffic.now()
            let next = try #require(ready.first { isNext($0, old) }).name
            _ = try await loopd.event("intercepting", from: said) { $0["pods"] == [.string(next)] }
            try await hosts.scene.pods().until("the old pod has gone") { !$0.contains { $0.name == old } }
            try await traffic.first("host", from: traffic.place, loopd)
            let all = traffic.answers(from: place)
            let wrong = all.filter { !$0.hasPrefix("!") && !$0.hasPrefix("pod ") && $0 != "host \(program)" }
            #expect(wrong.isEmpty, "\(wrong)")
            let (refused, byPod) = (all.count { $0.hasPrefix("!") }, all.count { $0.hasPrefix("pod ") })
            print(
                "while the pod was replaced: \(all.count) connections, \(refused) refused or reset, \(byPod) by the pod"
            )
            let recovered = try #require(traffic.recovery(of: "host", from: place))
            tell("answers by the program here after the new pod was ready", recovered - isReady)
            #expect(try await loopd.stop().status == .exited(130))
        }
    }
}
