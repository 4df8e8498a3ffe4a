import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Cut connections, two loopds, and the end", .turn) struct EndingTests {
    @Test("a killed helper comes back, and what was saved meanwhile is there")
    func helperKilled() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try await scene.exec(pod, ["/probe", "slay"], codes: [0, 137])
            try scene.project.write("app/b", "2")
            try await loopd.connected(to: pod, from: place)
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    @Test("a killed kubectl proxy is started again, and what was saved meanwhile is there")
    func proxyKilled() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let place = loopd.log.count
            let proxy = try #require(loopd.proxy)
            proxy.signal(SIGKILL)
            try scene.project.write("app/b", "2")
            try await loopd.connected(to: pod, from: place)
            try await scene.untilEqual("app", "/srv/app", in: pod)
            #expect(loopd.proxy?.pid != proxy.pid)
        }
    }

    @Test("a cluster that does not answer holds nobody up who leaves, and what may stay there is told")
    func silent() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let proxy = try #require(loopd.proxy)
            proxy.signal(SIGSTOP)
            let (status, _) = try await loopd.stop(SIGINT)
            #expect(status == .exited(130), "\(loopd.transcript)")
            #expect(loopd.transcript.contains("until then --take-over takes it"), "\(loopd.transcript)")
            try await proxy.ended()
        }
    }

    @Test("Ctrl-C twice ends at once, whatever the end is waiting for")
    func twice() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let proxy = try #require(loopd.proxy)
            proxy.signal(SIGSTOP)
            loopd.child.signal(SIGINT)
            // Twice at once is one: only what comes later is impatience.
            try await Task.sleep(for: .milliseconds(300))
            let (status, _) = try await loopd.stop(SIGINT)
            #expect(status == .exited(130), "\(loopd.transcript)")
            #expect(!loopd.log.events().contains { $0["event"] == "stopped" }, "\(loopd.transcript)")
            try await proxy.ended()
        }
    }

    @Test("a second loopd is told who has the workload; --take-over takes it, and the first one says so")
    func lease() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let first = try await scene.watching()
            let second = try await scene.loopd("watch")
            #expect(try await second.end() == .exited(1))
            let refusal = try await second.event("failed")
            #expect(refusal.text.contains("\(first.child.pid)"), "\(refusal.text)")
            #expect(refusal["nextStep"]?.string?.contains("--take-over") == true, "\(refusal.text)")
            let place = first.log.count
            let third = try await scene.watching(1, "--take-over")
            let lost = try await first.event("failed", from: place)
            #expect(lost.text.contains("\(third.child.pid)"), "\(lost.text)")
            _ = try await first.end()
            try scene.project.write("app/b", "2")
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    @Test("of two services, the one whose workload is taken over ends, the other one goes on; both taken end loopd")
    func leases() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("one"))
            try await scene.deploy(Workload("two"))
            let rules: JSON = [["watch": ["app/**"], "sync": ["to": "/srv/app"]]]
            try scene.project.configure(
                scene.configuration([
                    "one": ["workload": "deployment/one", "rules": rules],
                    "two": ["workload": "deployment/two", "rules": rules],
                ]))
            try scene.project.write("app/a", "1")
            let first = try await scene.watching(2)
            let taker = try await scene.watching(1, "one", "--take-over")
            let lost = try await first.event("failed")
            #expect(lost["service"] == "one" && lost.text.contains("\(taker.child.pid)"), "\(lost.text)")
            try await taker.stop()
            let place = first.log.count
            try scene.project.write("app/b", "2")
            _ = try await first.event("landed", from: place) { $0["service"] == "two" }
            // What can be synced is; the exit code tells of the rest.
            let second = try await scene.watching(1, "one")
            let both = try await scene.loopd("watch")
            #expect(try await both.end() == .exited(1), "\(both.transcript)")
            #expect(both.log.events().count { $0["event"] == "failed" } == 2, "\(both.transcript)")
            try await first.stop()
            let once = try await scene.loopd("sync")
            #expect(try await once.end() == .exited(1), "\(once.transcript)")
            #expect(once.log.events().contains { $0["event"] == "connected" && $0["service"] == "two" })
            try await second.stop()

            let status = try await scene.loopd("status", "two").report()
            #expect(status.json["services"]?.array?.compactMap { $0["service"]?.string } == ["two"])
        }
    }

    @Test("manifests that cannot be applied: sync still syncs into what is there, and ends with 1")
    func badManifest() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            var configuration = try JSON(parsing: Disk.read("\(scene.project.path)/loop.json"))
            let name = "k8s/odd, \"name\".json"
            configuration["services"] = configuration["services"]?.merged(with: ["app": ["manifests": [.string(name)]]])
            try scene.project.configure(configuration)
            try scene.project.write("app/a", "1")
            try scene.project.write(name, try await Workload().manifest(on: scene.cluster).pretty())
            let good = try await scene.loopd("sync")
            #expect(try await good.end() == .exited(0), "\(good.transcript)")
            try scene.project.write(name, "{\"kind\": \"Nothing\"}")
            let bad = try await scene.loopd("sync")
            #expect(try await bad.end() == .exited(1), "\(bad.transcript)")
            #expect(bad.log.events().contains { $0["event"] == "failed" }, "\(bad.transcript)")
            #expect(bad.log.events().contains { $0["event"] == "connected" }, "\(bad.transcript)")
        }
    }

    @Test("where no service has rules, watch applies the manifests, says so and is done")
    func noRules() async throws {
        try await Scene.run { scene in
            try scene.project.configure(scene.configuration(["app": ["manifests": ["app.json"]]]))
            try scene.project.write("app.json", try await Workload().manifest(on: scene.cluster).pretty())
            let loopd = try await scene.loopd("watch")
            #expect(try await loopd.end() == .exited(0), "\(loopd.transcript)")
            let notice = try await loopd.event("notice")
            #expect(notice.text.contains("nothing to sync"), "\(notice.text)")
        }
    }

    @Test("sync makes the containers equal once, and ends with 0")
    func once() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(replicas: 2))
            try scene.configure()
            try scene.project.write("app/a", "1")
            try scene.project.write("app/b/c", "2")
            let loopd = try await scene.loopd("sync")
            #expect(try await loopd.end() == .exited(0), "\(loopd.transcript)")
            for pod in try await scene.running(2) { try await scene.untilEqual("app", "/srv/app", in: pod.name) }
        }
    }

    @Test("watch applies manifests first, in a namespace that it makes; status and env tell where")
    func manifests() async throws {
        try await Scene.run { scene in
            try scene.configure()
            var configuration = try JSON(parsing: Disk.read("\(scene.project.path)/loop.json"))
            configuration["services"] = configuration["services"]?.merged(with: ["app": ["manifests": ["k8s/"]]])
            try scene.project.configure(configuration)
            try scene.project.write("k8s/app.json", try await Workload().manifest(on: scene.cluster).pretty())
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let deployed = try await loopd.event("deployed")
            #expect(deployed.text.contains("namespace/\(scene.namespace) created"), "\(deployed.text)")
            let pod = try await scene.running()[0].name
            try await scene.untilEqual("app", "/srv/app", in: pod)

            let status = try await scene.loopd("status").report()
            #expect(status.exit == .exited(0))
            #expect(status.json["reachable"] == true)
            #expect(status.json["namespace"]?.string == scene.namespace)
            let service = status.json["services"]?[0]
            #expect(service?["service"] == "app")
            #expect(service?["target"] == "deployment/app")
            #expect(service?["pods"]?[0]?["name"]?.string == pod)
            #expect(service?["pods"]?[0]?["ready"] == true)
            #expect(service?["holder"]?.string?.contains("\(loopd.child.pid)") == true, "\(status.json.text)")

            let places = try await scene.loopd("env").report()
            #expect(places.json["KUBECONFIG"]?.string == scene.cluster.kubeconfig)
            #expect(places.json["LOOPD_NAMESPACE"]?.string == scene.namespace)
        }
    }

    @Test("every line of --output json is an object with a time and an event")
    func schema() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try scene.project.write("app/two\nlines \u{1B}[31m", "2")
            _ = try await loopd.event("landed", from: place)
            try await loopd.stop()
            let events = loopd.log.events()
            #expect(events.first?["event"] == "started")
            #expect(events.last?["event"] == "stopped")
            let keys: [String: [String]] = [
                "started": ["project", "context", "namespace"], "watching": ["folders", "milliseconds"],
                "podsChanged": ["service", "added", "removed"],
                "connected": ["service", "pods", "container", "way"],
                "landed": [
                    "service", "files", "deleted", "bytes", "pods", "paths", "milliseconds", "legs", "initial",
                ],
            ]
            for event in events {
                let name = try #require(event["event"]?.string, "\(event.text)")
                let time = try #require(event["time"]?.string)
                #expect(time.utf8.count == "2026-01-01T00:00:00.000Z".utf8.count && time.hasSuffix("Z"), "\(time)")
                for key in keys[name] ?? [] { #expect(event[key] != nil, "\(name) has no \(key)") }
            }
            #expect(loopd.errorText.isEmpty, "\(loopd.errorText)")
        }
    }
}

extension Loopd {
    /// Its `kubectl proxy`, found through the chain of parents.
    var proxy: ProcessTable.Entry? {
        ProcessTable.now().descendants(of: child.pid).first {
            $0.command.contains("kubectl") && $0.command.contains(" proxy ") && !$0.command.contains("eash")
        }
    }

    /// What a command that prints one JSON document said.
    func report() async throws -> (json: JSON, exit: Reactor.ExitStatus) {
        let exit = try await end()
        return (try JSON(parsing: outputText), exit)
    }
}

extension Scene {
    /// How many processes of loopd's run in a container.
    func helpers(in pod: String) async throws -> Int {
        let processes = try await exec(pod, ["/probe", "processes"]).text
        return processes.split(separator: "\n").count { $0.contains("loopd") }
    }
}
