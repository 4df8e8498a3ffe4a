import Glibc
import JSON
import Reactor
import Testing

@testable import Playground

@Suite("A storm over pods, on runc", .onRunc, .timeLimit(.minutes(5)))
struct StormTests {
    @Test("whatever comes together, every wanted pod runs in the end, and of the others nothing is left")
    func storm() async throws {
        let seed = getenv("LOOPD_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0..<1_000_000)
        print("LOOPD_SEED=\(seed) repeats the storm")
        try await Laboratory.run { lab in
            var storm = Storm(lab: lab, seed: seed)
            for _ in 0..<4 { try storm.create() }
            // Four at a time, so that they meet each other.
            for _ in 0..<20 {
                let steps = try (0..<4).map { _ in try storm.step() }
                await withTaskGroup { group in
                    for step in steps { group.addTask { await step() } }
                }
            }
            for name in storm.pods {
                try await lab.until(name, "runs again", within: .seconds(100)) { pod in
                    pod.at("metadata", "deletionTimestamp") == nil
                        && pod.at("status", "containerStatuses")?[0]?.at("state", "running") != nil
                }
            }
            for name in storm.pods { try lab.delete(name) }
            let layout = lab.node.context.layout
            let folders = [layout.containers, layout.pods, layout.logs, layout.runc]
            while !folders.allSatisfy({ Disk.names(in: $0).isEmpty }) || !lab.store.list(.pod).items.isEmpty {
                try await Task.sleep(for: .milliseconds(10))
            }
            #expect(Mounts.points(below: layout.root) == ["\(layout.network)/node"])
            #expect(Cgroups.processes(in: layout.cgroup) == [])
        }
    }
}

/// Chooses what happens next.
private struct Storm {
    let lab: Laboratory
    private var generator: SeededNumbers
    private(set) var pods: [String] = []
    private var killed: Set<String> = []
    private var count = 0

    init(lab: Laboratory, seed: UInt64) {
        self.lab = lab
        generator = SeededNumbers(state: seed)
    }

    mutating func create() throws {
        count += 1
        let name = "p\(count)"
        let traps = ["", "trap 'exit 0' TERM; ", "trap '' TERM; "]
        let trap = traps[Int.random(in: 0..<3, using: &generator)]
        var container = Laboratory.script("\(trap)while :; do sleep 0.1; done")
        container["volumeMounts"] = [["name": "memory", "mountPath": "/memory"]]
        if Bool.random(using: &generator) {
            container["livenessProbe"] = [
                "exec": ["command": ["true"]], "periodSeconds": 1, "timeoutSeconds": 60, "failureThreshold": 100,
            ]
        }
        try lab.create(
            name,
            spec: [
                "containers": [container],
                "volumes": [
                    ["name": "memory", "emptyDir": ["medium": "Memory"]],
                    ["name": "settings", "configMap": ["name": "settings", "optional": true]],
                ],
            ])
        pods.append(name)
    }

    /// One thing to do.
    mutating func step() throws -> @Sendable () async -> Void {
        let lab = lab
        let index = Int.random(in: 0..<pods.count, using: &generator)
        let name = pods[index]
        let number = Int.random(in: 0..<1000, using: &generator)
        switch Int.random(in: 0..<10, using: &generator) {
        case 0...1:
            // A second death would have to wait.
            guard killed.insert(name).inserted else { return {} }
            return {
                let uid = lab.store.get(.pod, "default", name)?.at("metadata", "uid")?.string ?? ""
                await lab.node.worker(uid)?.runs["app"]?.process.signal(SIGKILL)
            }
        case 2...3:
            pods.remove(at: index)
            try create()
            return { try? lab.delete(name, grace: Int64(number % 3)) }
        case 4:
            return {
                _ = try? lab.store.modify(.pod, "default", name) { pod in
                    let others = pod.at("spec", "ephemeralContainers")?.array ?? []
                    var added = Laboratory.script("sleep \(number % 2)", name: "e\(others.count)")
                    added["targetContainerName"] = "app"
                    pod["spec"]?["ephemeralContainers"] = .array(others + [added])
                }
            }
        case 5:
            return {
                let settings: JSON = ["metadata": ["name": "settings"], "data": ["number": .string("\(number)")]]
                if (try? lab.store.create(.configMap, settings)) == nil {
                    _ = try? lab.store.update(.configMap, settings)
                }
            }
        case 6...7: return { _ = try? await lab.exec(name, ["sh", "-c", "kill -9 -1"]) }
        default: return { _ = try? await lab.exec(name, ["sleep", "0.\(number % 3)"]) }
        }
    }
}

/// Numbers that a seed decides (SplitMix64).
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
