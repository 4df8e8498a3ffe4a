import JSON
import Reactor
import TestCluster
import Testing

@Suite("Services that are restarted", .turn) struct RestartTests {
    /// A service in dev mode that syncs what its build makes: a program that knows its word, from `src/word`.
    ///
    /// `then` is what follows, `seconds` how long a build takes, `padding` how much longer the program gets.
    private func prepare(
        _ scene: Scene, image: TestImage = .dev, then: JSON = ["restart": "process"], pod: JSON = [:],
        container: JSON = [:], folder: String = "/srv", seconds: Int = 0, padding: Int = 0
    ) async throws -> String {
        let command: JSON = [
            "/.loopd/bin/helper", "supervise", "--", .string("\(folder)/tool"), "service", "/srv/log",
        ]
        let own: JSON = ["command": command]
        try await scene.deploy(Workload(image: image, container: own.merged(with: container), pod: pod))
        let build = """
            sleep \(seconds); mkdir -p out && { cat \(Built.probe); head -c \(padding) /dev/zero; \
            printf '\\nword=%s' "$(cat src/word)"; } >out/new && chmod 755 out/new && mv out/new out/tool
            """
        try scene.project.configure(
            scene.configuration([
                "app": [
                    "workload": "deployment/app", "dev": true,
                    "rules": [
                        [
                            "watch": ["src/**"], "build": ["sh", "-c", .string(build)],
                            "sideload": ["from": "out/tool", "to": .string("\(folder)/tool")], "then": [then],
                        ]
                    ],
                ]
            ]))
        try scene.project.write(".gitignore", "out/\n")
        try scene.project.write("src/word", "first")
        return try await scene.running()[0].name
    }

    /// The lines that services have noted in a pod, as process id and word.
    private func notes(_ pod: String, _ scene: Scene) async throws -> [(pid: Int64, word: String)] {
        (try await scene.text("/srv/log", in: pod) ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count == 2 ? (Int64(words[0]) ?? 0, String(words[1])) : nil
        }
    }

    /// Waits until the last line says a word, and returns its process id.
    @discardableResult
    private func until(_ word: String, in pod: String, _ scene: Scene, _ loopd: Loopd) async throws -> Int64 {
        try await within(.seconds(60), "\(word) runs in \(pod)", state: { loopd.transcript }) {
            while true {
                let last = try await notes(pod, scene).last
                if let last, last.word == word { return last.pid }
                try Task.checkCancellation()
            }
        }
    }

    /// Saves a word and waits until a program runs that was made from it.
    @discardableResult
    private func save(_ word: String, in pod: String, _ scene: Scene, _ loopd: Loopd) async throws -> Int64 {
        try scene.project.replace("src/word", word)
        return try await until(word, in: pod, scene, loopd)
    }

    /// Checks that a pod's container is the one from before, without a restart.
    private func isSame(as before: Pod, _ scene: Scene) async throws {
        let now = try #require(try await scene.running().first)
        #expect(now.containerID == before.containerID)
        #expect(now.restarts == 0)
    }

    @Test(
        "a build is brought in and its process started again in the same container, also where there is nothing else",
        arguments: [TestImage.dev, .devScratch])
    func inPlace(image: TestImage) async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene, image: image)
            let before = try await scene.running()[0]
            let loopd = try await scene.watching()
            let connected = try await loopd.event("connected")
            #expect(connected["way"]?.string == "helper as process 1")
            let first = try await until("first", in: pod, scene, loopd)
            let place = loopd.log.count
            let second = try await save("second", in: pod, scene, loopd)
            #expect(first != second)
            let restarted = try await loopd.event("restarted", from: place)
            #expect(restarted["pid"]?.integer == second, "\(restarted.text)")
            #expect(restarted["pod"]?.string == pod)
            // A build that makes the same again restarts nothing.
            let later = loopd.log.count
            try scene.project.write("src/other", "nothing that the program knows")
            _ = try await loopd.event("built", from: later)
            try await save("third", in: pod, scene, loopd)
            #expect(try await notes(pod, scene).map(\.word) == ["none", "first", "second", "third"])
            try await isSame(as: before, scene)
        }
    }

    @Test("a program that dies at once is told with exit code and last lines, and the next build heals it")
    func dies() async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene)
            let before = try await scene.running()[0]
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try scene.project.replace("src/word", "exit-3")
            let failed = try await loopd.event("failed", from: place)
            #expect(
                failed["summary"]?.string?.hasPrefix("\(pod): the service ended with exit code 3") == true,
                "\(failed.text)")
            #expect(failed["details"]?.array?.contains("going down") == true, "\(failed.text)")
            #expect(failed["nextStep"]?.string == "it stays down until the next change")
            try await save("healed", in: pod, scene, loopd)
            try await isSame(as: before, scene)
        }
    }

    @Test("a service that ends by itself is told, and the next build starts it again")
    func endsByItself() async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene)
            let before = try await scene.running()[0]
            let loopd = try await scene.watching()
            let pid = try await until("first", in: pod, scene, loopd)
            let place = loopd.log.count
            try await scene.exec(pod, ["sh", "-c", "kill -SEGV \(pid)"])
            let failed = try await loopd.event("failed", from: place)
            #expect(failed["summary"]?.string?.contains("ended by signal SEGV") == true, "\(failed.text)")
            try await save("healed", in: pod, scene, loopd)
            try await isSame(as: before, scene)
        }
    }

    @Test("fifty saves during a build that takes a second: at most two builds finish, and the last content runs")
    func manySaves() async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene, seconds: 1)
            let loopd = try await scene.watching()
            try await until("first", in: pod, scene, loopd)
            let place = loopd.log.count
            for number in 1...50 { try scene.project.replace("src/word", "save-\(number)") }
            try await until("save-50", in: pod, scene, loopd)
            let events = loopd.log.events(from: place)
            #expect(events.count { $0["event"]?.string == "built" } <= 2, "\(loopd.transcript)")
            #expect(events.count { $0["event"]?.string == "restarted" } <= 2, "\(loopd.transcript)")
        }
    }

    @Test("a pod that is deleted while a build is brought in: the one in its place runs it")
    func podDeleted() async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene, padding: 20_000_000)
            let loopd = try await scene.watching()
            try await until("first", in: pod, scene, loopd)
            let place = loopd.log.count
            try scene.project.replace("src/word", "second")
            _ = try await loopd.event("built", from: place)
            try await scene.kubectl(["delete", "pod", pod, "--wait=false"])
            let pods = try await scene.pods().until("another pod") { $0.contains { $0.name != pod && $0.isRunning } }
            let next = try #require(pods.first { $0.name != pod && $0.isRunning }).name
            try await until("second", in: next, scene, loopd)
            // The program of the image, and then this one: not one that is half of it.
            #expect(try await notes(next, scene).map(\.word) == ["none", "second"])
        }
    }

    @Test("a helper that is killed during a restart: the restart is made again")
    func helperKilled() async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene, pod: ["terminationGracePeriodSeconds": 120])
            let before = try await scene.running()[0]
            let loopd = try await scene.watching()
            // A program that lands during a restart is started by it, and then once more.
            try await until("first", in: pod, scene, loopd)
            _ = try await loopd.event("restarted")
            try await save("stubborn", in: pod, scene, loopd)
            try scene.project.replace("src/word", "after")
            // It is being ended, and takes its time for that.
            try await until("TERM", in: pod, scene, loopd)
            let place = loopd.log.count
            // The service and the helper that loopd speaks with.
            try await scene.exec(pod, ["/probe", "slay"], codes: [0, 137])
            try await loopd.connected(to: pod, from: place)
            _ = try await loopd.event("restarted", from: place)
            try await until("after", in: pod, scene, loopd)
            try await isSame(as: before, scene)
        }
    }

    @Test("no room for a build: what ran goes on, and the build lands when there is room, without a save")
    func noRoom() async throws {
        try await Scene.run { scene in
            let data = Workload.emptyDir("data", at: "/data", ["medium": "Memory", "sizeLimit": "8Mi"])
            let image = JSON.string(try await TestImage.dev.name(on: scene.cluster))
            let pod = try await prepare(
                scene,
                pod: [
                    "volumes": [data.volume],
                    "initContainers": [
                        [
                            "name": "seed", "image": image, "imagePullPolicy": "IfNotPresent",
                            "command": ["/probe", "copy", "/probe", "/data/tool"], "volumeMounts": [data.mount],
                        ]
                    ],
                ], container: ["volumeMounts": [data.mount]], folder: "/data", padding: 2_000_000)
            let before = try await scene.running()[0]
            let loopd = try await scene.watching()
            let running = try await until("first", in: pod, scene, loopd)
            try await scene.exec(pod, ["/probe", "fill", "/data/full", "8000000"])
            let place = loopd.log.count
            try scene.project.replace("src/word", "second")
            let skipped = try await loopd.event("skipped", from: place)
            #expect(skipped["reason"]?.string?.contains("No space left") == true, "\(skipped.text)")
            #expect(try await notes(pod, scene).last?.pid == running)
            // Old and whole.
            let tool = try await scene.exec(pod, ["sh", "-c", "tail -c 10 /data/tool"])
            #expect(tool.text == "word=first")
            try await scene.exec(pod, ["sh", "-c", "rm /data/full"])
            try await until("second", in: pod, scene, loopd)
            try await isSame(as: before, scene)
        }
    }

    @Test("signal: the service gets it and goes on")
    func signal() async throws {
        try await Scene.run { scene in
            let pod = try await prepare(scene, then: ["restart": "signal:HUP"])
            let before = try await notes(pod, scene)
            let loopd = try await scene.watching()
            let pid = try await until("HUP", in: pod, scene, loopd)
            #expect(before.last?.pid == pid)
            let event = try await loopd.event("signalled")
            #expect(event["signal"]?.string == "HUP")
        }
    }

    @Test("restart: pod makes every pod anew once for each save, and works without dev mode")
    func pods() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(replicas: 2))
            try scene.configure(rule: ["then": [["restart": "pod"]]])
            try scene.project.write("app/a", "1")
            let old = Set(try await scene.running(2).map(\.uid))
            let loopd = try await scene.watching(2)
            let place = loopd.log.count
            try scene.project.write("app/a", "2")
            let pods = try await scene.pods().until("two other pods", limit: .seconds(120)) { pods in
                pods.count == 2 && pods.allSatisfy { $0.isRunning && !old.contains($0.uid) }
            }
            for pod in pods { try await scene.untilEqual("app", "/srv/app", in: pod.name) }
            for pod in pods { try await loopd.connected(to: pod.name, from: place) }
            #expect(loopd.log.events(from: place).count { $0["event"]?.string == "podDeleted" } == 2)
        }
    }
}
