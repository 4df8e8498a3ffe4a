import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("A service runs on this machine", .turn) struct HostTests {
    @Test("what is asked of the Service reaches the program here, which has the pod's variables; Ctrl-C gives all back")
    func wholeWay() async throws {
        let variables: JSON = [
            ["name": "POD", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]],
            ["name": "GREETING", "value": "hello $(POD)"],
        ]
        try await HostScene.run(container: ["env": variables]) { hosts in
            try hosts.configure(["env": ["MINE": "$(GREETING), here"]])
            #expect(try await hosts.ask().hasPrefix("pod "))
            let loopd = try await hosts.running()
            let program = try #require(try await loopd.event("hostStarted")["pid"]?.integer)
            let entry = try #require(ProcessTable.entry(Int32(program)))
            #expect(try await hosts.ask() == "host \(program)", "\(loopd.transcript)")
            for name in ["web", "web.\(hosts.scene.namespace).svc.cluster.local"] {
                let page = try await hosts.scene.exec(
                    hosts.client, ["/bin/busybox", "wget", "-q", "-O", "-", "http://\(name)/"])
                #expect(page.text == "host \(program)")
            }
            let pod = try await hosts.ask("/env?POD")
            #expect(try await hosts.scene.running(2).map(\.name).contains(pod), "\(pod)")
            #expect(try await hosts.ask("/env?MINE") == "hello \(pod), here")
            let root = try await hosts.ask("/env?LOOPD_ROOT")
            #expect(access(root, F_OK) == 0, "\(root)")

            #expect(try await loopd.stop().status == .exited(130))
            #expect(!entry.isAlive)
            #expect(access(root, F_OK) != 0, "\(root)")
            #expect(loopd.log.events().contains { $0["change"] == "restored" }, "\(loopd.transcript)")
            #expect(!loopd.log.events().contains { $0["event"] == "failed" }, "\(loopd.transcript)")
            try await hosts.untilAnswered("pod", loopd)
            try await hosts.expectUntouched()
        }
    }

    @Test(
        "a save builds and starts the program anew; a failed build leaves the one before; a crash is told and waited out"
    )
    func saves() async throws {
        try await HostScene.run { hosts in
            let build: JSON = ["sh", "-c", "! grep -q broken src/word && cp src/word word"]
            try hosts.configure([
                "command": hosts.wordProgram("word"), "build": build, "watch": ["src/**"], "wait": "120s",
            ])
            try hosts.scene.project.write(".gitignore", "/word\n")
            try hosts.scene.project.write("src/word", "first")
            let loopd = try await hosts.running()
            let first = try await hosts.ask()
            #expect(first.hasPrefix("first "))

            var place = loopd.log.count
            try hosts.scene.project.replace("src/word", "second")
            _ = try await loopd.event("hostReady", from: place)
            let second = try await hosts.ask()
            #expect(second.hasPrefix("second "), "\(loopd.transcript)")
            let old = try #require(first.split(separator: " ").last.flatMap { Int32($0) })
            #expect(ProcessTable.entry(old) == nil)

            place = loopd.log.count
            try hosts.scene.project.replace("src/word", "broken")
            _ = try await loopd.event("failed", from: place)
            #expect(try await hosts.ask() == second)

            place = loopd.log.count
            try hosts.scene.project.replace("src/word", "crash")
            let ended = try await loopd.event("hostEnded", from: place)
            #expect(ended["status"]?.string == "exit code 3", "\(ended.text)")
            #expect(ended["success"] == false)
            // A connection that is made now waits for the next save.
            async let waiting = hosts.ask()
            place = loopd.log.count
            try hosts.scene.project.replace("src/word", "third")
            _ = try await loopd.event("hostReady", from: place)
            #expect(try await waiting.hasPrefix("third "), "\(loopd.transcript)")
            #expect(try await loopd.stop().status == .exited(130))
        }
    }

    @Test("with the fallback pod, the pod's own service answers while the program is down")
    func fallbackPod() async throws {
        try await HostScene.run { hosts in
            try hosts.configure(["command": hosts.wordProgram(), "watch": ["src/**"]])
            try hosts.scene.project.write("src/word", "host")
            let loopd = try await hosts.running("--fallback", "pod")
            #expect(try await hosts.ask().hasPrefix("host "))
            var place = loopd.log.count
            #expect(try await hosts.ask("/exit?7").hasPrefix("!"))
            #expect(try await loopd.event("hostEnded", from: place)["status"]?.string == "exit code 7")
            let given = try await loopd.event("intercepting", from: place)
            #expect(given["pods"] == [], "\(given.text)")
            try await hosts.untilAnswered("pod", loopd)
            place = loopd.log.count
            try hosts.scene.project.replace("src/word", "again")
            try await hosts.intercepted(loopd, from: place)
            #expect(try await hosts.ask().hasPrefix("again "), "\(loopd.transcript)")
            try await loopd.stop()
        }
    }

    @Test("without it a connection waits for the program as long as wait says, and is broken then")
    func fallbackWait() async throws {
        try await HostScene.run(container: HostScene.liveness) { hosts in
            func run(wait: String) async throws -> Loopd {
                let program = hosts.wordProgram(seconds: "$(cat src/seconds)")
                try hosts.configure(["command": program, "watch": ["src/*"], "wait": .string(wait)])
                try hosts.scene.project.write("src/seconds", "0")
                return try await hosts.running()
            }
            try hosts.scene.project.write("src/word", "host")
            let patient = try await run(wait: "120s")
            var place = patient.log.count
            try hosts.scene.project.write("src/seconds", "2")
            _ = try await patient.event("hostStarted", from: place)
            // It does not listen before two seconds have passed.
            let waited = try await hosts.ask()
            #expect(waited.hasPrefix("host "), "\(patient.transcript)")
            try await hosts.expectNoRestart()
            try await patient.stop()

            let loopd = try await run(wait: "6s")
            place = loopd.log.count
            #expect(try await hosts.ask("/exit?0").hasPrefix("!"))
            #expect(try await loopd.event("hostEnded", from: place)["success"] == true)
            #expect(try await hosts.ask().hasPrefix("!"))
            try await hosts.expectNoRestart()
            try await loopd.stop()
        }
    }

    @Test("of three replicas exactly one hands its connections over; when it goes, another one does")
    func oneReplica() async throws {
        try await HostScene.run(replicas: 3) { hosts in
            try hosts.configure()
            let loopd = try await hosts.running("--replica", "one")
            let first = try await answering(hosts)
            #expect(first.here.count == 1, "\(first)\n\(loopd.transcript)")
            #expect(first.there.count == 2, "\(first)")
            let place = loopd.log.count
            let old = first.here[0]
            try await hosts.scene.kubectl(["delete", "pod", old, "--wait=false"])
            let next = try await hosts.intercepted(loopd, from: place)
            #expect(next != [old])
            try await hosts.scene.pods().until("the old pod has gone") { !$0.contains { $0.name == old } }
            let second = try await answering(hosts)
            #expect(second.here == next, "\(second)\n\(loopd.transcript)")
            #expect(second.there.count == 2, "\(second)")
            try await loopd.stop()
        }
    }

    /// The pods that run, as those whose connections come here and those that answer themselves.
    private func answering(_ hosts: HostScene) async throws -> (here: [String], there: [String]) {
        // No other ones either: those of before dev mode may still answer.
        let pods = try await hosts.scene.pods().until("three ready pods") {
            let own = $0.filter { $0.name.hasPrefix("web-") }
            return own.count == 3 && own.allSatisfy { $0.isReady && !$0.isTerminating }
        }
        var (here, there): ([String], [String]) = ([], [])
        for pod in pods where pod.name.hasPrefix("web-") {
            let address = try #require(pod.json.at("status", "podIP")?.string)
            let answer = try await hosts.ask(at: address, port: 8080)
            if answer.hasPrefix("host ") { here.append(pod.name) }
            if answer.hasPrefix("pod ") { there.append(pod.name) }
        }
        return (here, there)
    }

    @Test("keep-alive, large bodies both ways, upgrades and half-closed connections arrive as they were sent")
    func kinds() async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            let loopd = try await hosts.running()
            let answers = try await hosts.ask(times: 200).split(separator: "\n")
            #expect(answers.count == 200)
            #expect(Set(answers).count == 1 && answers[0].hasPrefix("host "), "\(loopd.transcript)")
            let clock = ContinuousClock()
            let began = clock.now
            #expect(try await hosts.probe("bulk", "\(64 << 20)") == "same bytes both ways", "\(loopd.transcript)")
            print("64 MB there and 64 MB back, with kubectl exec: \(clock.now - began)")
            #expect(try await hosts.probe("raw", "\(16 << 20)") == "same bytes, and its end", "\(loopd.transcript)")
            let place = loopd.log.count
            // The server ends its direction first, and still gets everything.
            let sent = try await hosts.probe("sink", "\(3 << 20)").split(separator: "\n").map(String.init)
            #expect(sent.first == "hello")
            let got = try await loopd.event("hostOutput", from: place) { $0["line"]?.string?.hasPrefix("sink") == true }
            #expect(got["line"]?.string == sent.last)
            try await loopd.stop()
        }
    }
}
