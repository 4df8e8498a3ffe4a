import Glibc
import JSON
import Reactor
import Synchronization
import TestCluster
import Testing

@Suite("Random operations", .alone) struct RandomTests {
    /// `LOOPD_SEED` repeats a run, `LOOPD_E2E_OPERATIONS` makes it longer or shorter.
    static let seed = variable("LOOPD_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: 0..<1_000_000)
    static let operations = variable("LOOPD_E2E_OPERATIONS").flatMap { Int($0) } ?? 2000

    @Test(
        "whatever happens to files, helper, proxy, container and pod, trees are equal two seconds after the last of it")
    func convergence() async throws {
        print("LOOPD_SEED=\(Self.seed) repeats the random operations")
        try await Scene.run { scene in
            try await scene.deploy(Workload(replicas: 2))
            try scene.configure()
            _ = try await scene.running(2)
            let loopd = try await scene.watching(2)
            var generator = SeededGenerator(seed: Self.seed)
            var operations = RandomOperations(root: "\(scene.project.path)/app", seed: Self.seed &+ 1)
            var trouble = TroubleMaker(scene: scene, loopd: loopd, seed: Self.seed &+ 2)
            // Rounds: a storm with trouble in its middle, then quiet, then a look.
            let rounds = 8
            for round in 0..<rounds {
                let count = Self.operations / rounds
                let moments = Set((0..<3).map { _ in Int.random(in: 0..<count, using: &generator) })
                for number in 0..<count {
                    operations.step()
                    if moments.contains(number) { try await trouble.strike() }
                    // Now and then a batch of its own.
                    if number % 40 == 0 { _ = await loopd.log.first(from: loopd.log.count - 1) { _ in true } }
                }
                do {
                    try await equal(scene, trouble.isOver, round: round)
                } catch {
                    print("struck: \(trouble.struck.joined(separator: ", "))")
                    print(loopd.transcript)
                    throw error
                }
            }
            print("struck: \(trouble.struck.joined(separator: ", "))")
            #expect(Set(trouble.struck).count == 4, "\(trouble.struck)")
        }
    }

    /// Waits until every container runs, then gives the trees two seconds.
    private func equal(
        _ scene: Scene, _ isOver: @escaping @Sendable ([Pod]) -> Bool, round: Int
    ) async throws {
        let clock = ContinuousClock()
        let pods = try await scene.pods().until("every container runs again", limit: .seconds(60)) { pods in
            pods.count == 2 && pods.allSatisfy { $0.isRunning } && isOver(pods)
        }
        let began = clock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            for pod in pods {
                group.addTask { try await scene.untilEqual("app", "/srv/app", in: pod.name, limit: .seconds(2)) }
            }
            try await group.waitForAll()
        }
        let took = clock.now - began
        print("round \(round): equal \(took) after the last container ran")
    }
}

/// Kills something at random.
private struct TroubleMaker {
    let scene: Scene
    let loopd: Loopd
    var generator: SeededGenerator
    private(set) var struck: [String] = []
    /// What the cluster must show before a pod counts as running again: what was done may be news to it yet.
    private var expected: [@Sendable ([Pod]) -> Bool] = []
    /// Containers that were restarted: a second time, Kubernetes lets them wait.
    private var restarted: Set<String> = []
    private var left = ["helper", "proxy", "container", "pod"]

    init(scene: Scene, loopd: Loopd, seed: UInt64) {
        self.scene = scene
        self.loopd = loopd
        generator = SeededGenerator(seed: seed)
    }

    /// Whether the cluster shows the effect of everything that was done.
    var isOver: @Sendable ([Pod]) -> Bool {
        let expected = expected
        return { pods in expected.allSatisfy { $0(pods) } }
    }

    mutating func strike() async throws {
        // Each kind once before one comes again.
        if left.isEmpty { left = ["helper", "proxy", "container", "pod"] }
        let kind = left.remove(at: Int.random(in: 0..<left.count, using: &generator))
        guard
            let pods = try? await scene.pods().until(
                "two pods", limit: .seconds(60), { $0.count { $0.isRunning } == 2 })
        else { return }
        let chosen = pods.filter(\.isRunning)[Int.random(in: 0..<2, using: &generator)]
        let (pod, restarts) = (chosen.name, chosen.restarts)
        switch kind {
        case "helper": try await scene.exec(pod, ["/probe", "slay"], codes: [0, 1, 137])
        case "proxy": loopd.proxy?.signal(SIGKILL)
        case "container" where restarted.insert(pod).inserted:
            let stopped = try await scene.exec(pod, ["/probe", "stop"], codes: [0, 1, 137, 143])
            // A container that was not there to be entered, or one that was not stopped: nothing to wait for.
            if stopped.status == .exited(1) { break }
            expected.append { pods in !pods.contains { $0.name == pod && $0.restarts <= restarts } }
        default:
            try await scene.kubectl(["delete", "pod", pod, "--wait=false", "--ignore-not-found"])
            expected.append { pods in !pods.contains { $0.name == pod } }
        }
        struck.append(kind)
    }
}

/// Numbers that a seed decides (SplitMix64).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}

/// Random changes below a folder: created, written, renamed, deleted, chmod, links, folders moved.
struct RandomOperations {
    private let root: String
    private var generator: SeededGenerator

    init(root: String, seed: UInt64) {
        self.root = root
        generator = SeededGenerator(seed: seed)
    }

    /// One operation; it may find nothing to do.
    mutating func step() {
        let path = randomPath()
        switch Int.random(in: 0..<13, using: &generator) {
        case 0...3: write(path)
        case 4: replace(path)
        case 5: unlink(path)
        case 6: rename(path, randomPath())
        case 7: mkdir(path, 0o755)
        case 8: if Bool.random(using: &generator) { Disk.remove(path) }
        case 9: chmod(path, Bool.random(using: &generator) ? 0o755 : 0o644)
        case 10: symlink("target-\(Int.random(in: 0..<5, using: &generator))", path)
        default: rename(folder(), folder())
        }
    }

    private mutating func name() -> String {
        let names = ["a", "b", "c.txt", "d e", "f\ng", "ü", "h.swp2", "i'j", "k\"l", "-m"]
        return names[Int.random(in: 0..<names.count, using: &generator)]
    }

    private mutating func folder() -> String {
        var path = root
        for _ in 0..<Int.random(in: 1..<3, using: &generator) {
            path += "/dir\(Int.random(in: 0..<4, using: &generator))"
        }
        return path
    }

    private mutating func randomPath() -> String {
        let parent = Bool.random(using: &generator) ? root : folder()
        return
            "\(parent)/\(Int.random(in: 0..<6, using: &generator) == 0 ? "dir\(Int.random(in: 0..<4, using: &generator))" : name())"
    }

    private mutating func write(_ path: String) {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard file >= 0 else { return }
        defer { close(file) }
        let sizes = [0, 1, 100, 5_000, 300_000]
        let size = sizes[Int.random(in: 0..<sizes.count, using: &generator)]
        let seed = UInt8.random(in: 0...255, using: &generator)
        let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0) &* 31 &+ seed }
        _ = Glibc.write(file, bytes, bytes.count)
    }

    private mutating func replace(_ path: String) {
        let draft = "\(root)/.draft-\(Int.random(in: 0..<1_000_000, using: &generator))~"
        write(draft)
        if rename(draft, path) != 0 { unlink(draft) }
    }
}
