import Glibc
import JSON
import Reactor
import Testing

@testable import Playground

@Suite("A playground that ends, on runc", .onRunc, .timeLimit(.minutes(5)))
struct RestartTests {
    init() { #expect(OrphanReaper.isStarted) }

    private static let ticking = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done"

    @Test("containers outlive a playground that was killed, and the next one adopts them with their output")
    func adoption() async throws {
        let folder = "/tmp/loopd-node-\(Identifier.random(bytes: 6))"
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
            try await Laboratory.run(folder: folder, keeping: true) { lab in
                try lab.create("tick", spec: ["containers": [Laboratory.script(RestartTests.ticking)]])
                _ = try await lab.untilReady("tick")
                kill(getpid(), SIGKILL)
            }
        }
        try await Laboratory.run(folder: folder) { lab in
            let before = try #require(lab.store.get(.pod, "default", "tick"))
            let uid = before.at("metadata", "uid")?.string ?? ""
            let run = try #require(await lab.node.worker(uid)?.runs["app"])
            #expect("runc://\(run.id)" == before.at("status", "containerStatuses")?[0]?["containerID"]?.string)
            let count = try await lab.output("tick", ["sh", "-c", "echo alive"])
            #expect(count == "alive\n")
            // Lines that were written while nobody read are not lost: the numbers have no gap.
            let text = try await lab.log("tick").text
            let numbers = text.split(separator: "\n").compactMap { Int($0.dropFirst(5)) }
            #expect(!numbers.isEmpty)
            #expect(numbers == Array(1...max(1, numbers.count)))
            run.process.signal(SIGKILL)
            let pod = try await lab.until("tick", "restarted after its kill") { pod in
                let status = pod.at("status", "containerStatuses")?[0]
                return status?["restartCount"] == 1 && status?.at("state", "running") != nil
            }
            #expect(pod.at("status", "containerStatuses")?[0]?.at("lastState", "terminated", "exitCode") == 137)
        }
    }

    @Test("a container that ended meanwhile has an unknown exit code, said so, and is started again")
    func lost() async throws {
        let folder = "/tmp/loopd-node-\(Identifier.random(bytes: 6))"
        try await Laboratory.run(folder: folder, keeping: true) { lab in
            try lab.create("one", spec: ["containers": [Laboratory.script("exec sleep 1000")]])
            _ = try await lab.untilReady("one")
        }
        let layout = NodeLayout(root: "\(folder)/node")
        for saved in RunRecord.all(in: layout) {
            let process = try #require(ContainerProcess(pid: saved.pid, startTime: saved.startTime))
            process.signal(SIGKILL)
            _ = await process.exit()
        }
        try await Laboratory.run(folder: folder) { lab in
            let pod = try await lab.until("one", "runs again") { pod in
                let status = pod.at("status", "containerStatuses")?[0]
                return status?["restartCount"] == 1 && status?.at("state", "running") != nil
            }
            let last = pod.at("status", "containerStatuses")?[0]?.at("lastState", "terminated")
            #expect(last?["reason"] == "ContainerStatusUnknown")
        }
    }

    @Test("a pod that was deleted meanwhile is ended with all that runs of it")
    func deletedMeanwhile() async throws {
        let folder = "/tmp/loopd-node-\(Identifier.random(bytes: 6))"
        try await Laboratory.run(folder: folder, keeping: true) { lab in
            let script = "trap '' TERM; echo deaf; while :; do sleep 1; done"
            try lab.create("one", spec: ["containers": [Laboratory.script(script)]])
            _ = try await lab.untilReady("one")
            // Before it is deaf, the signal would end it.
            while try await lab.log("one").text != "deaf\n" {}
            try lab.delete("one", grace: 3600)
            // It is on its way out, and takes its time.
            while !lab.store.list(.event, "default").items.contains(where: { $0["reason"] == "Killing" }) {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
        let saved = try #require(RunRecord.all(in: NodeLayout(root: "\(folder)/node")).first)
        let process = try #require(ContainerProcess(pid: saved.pid, startTime: saved.startTime))
        try await Laboratory.run(folder: folder) { lab in
            try lab.delete("one", grace: 1)
            try await lab.untilGone("one")
            #expect(process.hasEnded)
            #expect(Disk.names(in: lab.node.context.layout.containers) == [])
            #expect(Cgroups.processes(in: lab.node.context.layout.cgroup) == [])
        }
    }

    @Test("teardown after a crash leaves no process, mount, cgroup or file")
    func teardown() async throws {
        let folder = "/tmp/loopd-node-\(Identifier.random(bytes: 6))"
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
            try await Laboratory.run(folder: folder, keeping: true, hasWayOut: true) { lab in
                var container = Laboratory.script(RestartTests.ticking)
                container["volumeMounts"] = [["name": "m", "mountPath": "/m"]]
                try lab.create(
                    "tick",
                    spec: [
                        "containers": [container], "volumes": [["name": "m", "emptyDir": ["medium": "Memory"]]],
                    ])
                _ = try await lab.untilReady("tick")
                kill(getpid(), SIGKILL)
            }
        }
        let layout = NodeLayout(root: "\(folder)/node")
        let pids = RunRecord.all(in: layout).map(\.pid)
        #expect(!pids.isEmpty)
        func networks(of pids: [Int32]) -> Set<String> {
            Set(
                pids.compactMap { pid in
                    var about = stat()
                    return stat("/proc/\(pid)/ns/net", &about) == 0 ? "\(about.st_ino)" : nil
                })
        }
        var others: Set<String> { networks(of: Disk.names(in: "/proc").compactMap { Int32($0) }) }
        let used = networks(of: pids)
        #expect(used.count == 1 && used.isSubset(of: others))
        #expect(Mounts.points(below: folder).count { $0.hasSuffix("/network") || $0.hasSuffix("/network/node") } == 2)
        #expect(WayOut.processes(of: layout).isEmpty == !WayOutTests.hasPrograms)
        #expect(await Node.teardown(stateDirectory: layout.root) == [])
        #expect(Mounts.points(below: folder) == [])
        #expect(Cgroups.folders(of: layout.cgroup) == [])
        #expect(Disk.names(in: layout.root) == [])
        #expect(WayOut.processes(of: layout) == [])
        // A network lives by its processes and its mounts alone.
        #expect(used.isDisjoint(with: others))
        Disk.removeTree(folder)
    }
}
