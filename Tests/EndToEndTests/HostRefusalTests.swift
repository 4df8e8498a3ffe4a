import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("What a service on this machine cannot do is said", .turn) struct HostRefusalTests {
    @Test("before the cluster is asked: no host, a Job, a selector, no services", arguments: [0, 1, 2, 3])
    func refused(number: Int) async throws {
        let cases: [(services: JSON, arguments: [String], says: [String])] = [
            (["web": ["workload": "deployment/web"]], ["web"], ["\"host\"", "loopd run web -- "]),
            (["web": ["workload": "job/web"]], ["web", "--", "true"], ["is a job"]),
            (["web": ["selector": "app=web", "host": ["true"]]], ["web"], ["workload"]),
            ([:], ["web"], ["service"]),
        ]
        let one = cases[number]
        try await Scene.run { scene in
            try scene.project.configure(scene.configuration(one.services))
            let loopd = try await scene.loopd(["run"] + one.arguments)
            #expect(try await loopd.end() == .exited(2), "\(loopd.transcript)")
            let said = loopd.errorText + loopd.outputText
            for words in one.says { #expect(said.contains(words), "\(said)") }
        }
    }

    @Test("a second run is refused with who holds the workload; with --take-over it gets it, and the first one ends")
    func lease() async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            let first = try await hosts.running()
            let program = try #require(try await first.event("hostStarted")["pid"]?.integer)
            let entry = try #require(ProcessTable.entry(Int32(program)))
            // The other one's program listens elsewhere, as on another machine.
            let other = try freePort()
            try hosts.configure([
                "command": [.string(Built.probe), "page", .string("\(other)"), "other"],
                "ports": [["container": 8080, "host": .integer(Int64(other))]],
            ])
            let refused = try await hosts.scene.loopd("run", "web")
            #expect(try await refused.end(limit: .seconds(60)) == .exited(1), "\(refused.transcript)")
            let failed = try await refused.event("failed")
            #expect(failed["summary"]?.string?.contains("(pid \(first.child.pid))") == true, "\(failed.text)")
            #expect(!refused.log.events().contains { $0["event"] == "hostStarted" })
            #expect(try await hosts.ask().hasPrefix("host "), "\(first.transcript)")

            let second = try await hosts.scene.loopd("run", "web", "--take-over")
            try await hosts.intercepted(second)
            #expect(try await first.end(limit: .seconds(60)) == .exited(1), "\(first.transcript)")
            let lost = try await first.event("failed") { $0["summary"]?.string?.contains("pid") == true }
            #expect(lost["summary"]?.string?.contains("(pid \(second.child.pid))") == true, "\(lost.text)")
            #expect(!entry.isAlive)
            try await hosts.untilAnswered("other", after: ["!", "pod", "host"], second)
            #expect(try await second.stop().status == .exited(130))
            try await hosts.expectUntouched()
        }
    }

    @Test("whoever loses one of two services ends its program, and goes on with the other one")
    func leaseOfOne() async throws {
        try await HostScene.run { hosts in
            let scene = hosts.scene
            try hosts.configure(
                ["watch": ["src/**"]],
                services: [
                    "client": [
                        "workload": "deployment/client", "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
                    ]
                ])
            try scene.project.write("app/a", "1")
            let first = try await scene.loopd("watch", "--host", "web")
            try await hosts.intercepted(first)
            _ = try await first.event("connected")
            let program = try #require(try await first.event("hostStarted")["pid"]?.integer)
            let entry = try #require(ProcessTable.entry(Int32(program)))
            let place = first.log.count
            let second = try await scene.loopd("run", "web", "--take-over", "--", "sleep", "1000")
            let lost = try await first.event("failed", from: place) { $0["service"] == "web" }
            #expect(lost["summary"]?.string?.contains("(pid \(second.child.pid))") == true, "\(lost.text)")
            try await within(.seconds(20), "the program ends", state: { first.transcript }) { try await entry.ended() }
            // Neither a change of its files starts it again, nor is the other service left alone.
            try scene.project.write("src/a", "2")
            try scene.project.write("app/a", "2")
            _ = try await first.event("landed", from: place) { $0["paths"]?.array == ["a"] }
            #expect(!first.log.events(from: place).contains { $0["event"] == "hostStarted" }, "\(first.transcript)")
            #expect(try await first.stop().status == .exited(130))
            try await second.stop()
        }
    }

    @Test("a taken port is told with its holder, and a command that is not there with its name")
    func program() async throws {
        try await HostScene.run { hosts in
            try hosts.configure(["watch": ["src/**"]])
            let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: hosts.port))
            let taken = try await hosts.scene.loopd("run", "web")
            let failed = try await taken.event("failed", limit: .seconds(60))
            let summary = try #require(failed["summary"]?.string)
            #expect(summary.hasPrefix("port \(hosts.port) is taken by "), "\(summary)")
            #expect(summary.hasSuffix("(process \(getpid()))"), "\(summary)")
            #expect(try await hosts.ask().hasPrefix("pod "))
            // The next change tries again.
            listener.close()
            let place = taken.log.count
            try hosts.scene.project.write("src/a", "1")
            try await hosts.intercepted(taken, from: place)
            #expect(try await hosts.ask().hasPrefix("host "))
            try await taken.stop()

            let absent = try await hosts.scene.loopd("run", "web", "--", "no-such-program")
            let missing = try await absent.event("failed", limit: .seconds(60))
            #expect(missing["summary"]?.string?.contains("no-such-program") == true, "\(missing.text)")
            #expect(missing["nextStep"]?.string != nil, "\(missing.text)")
            #expect(try await hosts.ask().hasPrefix("pod "))
            try await absent.stop()
        }
    }

    @Test("what is special about the pods, and what is not found, is one line each")
    func lines() async throws {
        let mesh: JSON = [
            "name": "istio-proxy", "image": .string(try await sidecarImage()), "command": ["/probe", "run"],
        ]
        let ports: JSON = [["containerPort": 8080], ["containerPort": 5353, "protocol": "UDP"]]
        try await HostScene.run(container: ["ports": ports]) { hosts in
            let patch: JSON = ["spec": ["template": ["spec": ["containers": [mesh]]]]]
            try await hosts.scene.kubectl(["patch", "deployment/web", "-p", patch.text])
            try await hosts.scene.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"])
            try hosts.configure(
                [
                    "ports": [["container": 9090, "host": .integer(Int64(hosts.port))]],
                    "needs": ["postgers:5432", "web:81"],
                ], service: ["container": "web"])
            let loopd = try await hosts.scene.loopd("run", "web")
            try await hosts.intercepted(loopd)
            let said = loopd.log.events().compactMap { $0["text"]?.string ?? $0["summary"]?.string }
            for words in [
                "UDP port 5353", "declares 8080, not 9090", "a sidecar of Istio", "postgers", "has no port 81",
            ] {
                #expect(said.count { $0.contains(words) } == 1, "\(words): \(loopd.transcript)")
            }
            try await loopd.stop()
        }
    }

    private func sidecarImage() async throws -> String {
        try await TestImage.shell.name(on: try await Cluster.shared())
    }

    @Test("a pod in its node's network is explained")
    func hostNetwork() async throws {
        let port = try freePort()
        let container: JSON = [
            "command": ["/probe", "page", .string("\(port)"), "pod"],
            "ports": [["containerPort": .integer(Int64(port))]],
            "readinessProbe": ["tcpSocket": ["port": .integer(Int64(port))]],
        ]
        try await HostScene.run(container: container, pod: ["hostNetwork": true]) { hosts in
            try hosts.configure(["ports": [["container": .integer(Int64(port)), "host": .integer(Int64(hosts.port))]]])
            let loopd = try await hosts.scene.loopd("run", "web")
            let notice = try await loopd.event("notice", limit: .seconds(60)) {
                $0["text"]?.string?.contains("in the network of their nodes") == true
            }
            #expect(notice["text"] != nil)
            try await loopd.stop()
        }
    }
}
