internal import Glibc
internal import TestCluster

/// What loopd carries of a large body, beside the exec stream that carries it.
enum BulkRows {
    private static let rounds = 3

    /// One way of a large body: bytes in a second of loopd's, of the exec stream alone, and of the least that has a
    /// connection at either end.
    private struct Way {
        let name: String
        var loopd: [Double] = []
        var raw: [Double] = []
        var least: [Double] = []
    }

    /// A large body each way, beside the exec stream by itself in the same pod.
    ///
    /// On the playground, once more with a stream as slow as a real cluster's.
    static func throughput() async throws -> [Row] {
        var rows: [Row] = []
        try await HybridScene.run { hybrid in
            let loopd = try await hybrid.running()
            try await hybrid.untilHere()
            rows += try await measure(hybrid, 1 << 30, "a body of \(Figures.memory(1 << 30))")
            if let slow = SlowedPlayground(hybrid.scene) {
                defer { slow.end() }
                rows += try await measure(
                    hybrid, 1 << 27, "\(Figures.memory(1 << 27)) while the cluster's side runs a tenth of the time,")
            }
            try await loopd.stop()
        }
        return rows
    }

    private static func measure(_ hybrid: HybridScene, _ bulk: Int, _ what: String) async throws -> [Row] {
        let pod = try await hybrid.pod()
        let raw = try await RawStream(hybrid.scene, pod: pod.name)
        var (out, back) = (Way(name: "from a pod to this machine"), Way(name: "from this machine to a pod"))
        // With the words that it begins with.
        let asked = 16
        func ask(_ verb: String, at port: String) async throws -> Double {
            let took = try await hybrid.ask(verb, pod.address, port, "\(bulk)").first
            guard let took else { throw Trouble("the client printed no time") }
            return Double(bulk) / (took / 1e9)
        }
        for _ in 0..<rounds {
            out.loopd.append(try await ask("push", at: "8080"))
            out.raw.append(try await raw.pull(bulk))
            out.least.append(
                try await raw.bridge(to: hybrid.port, expecting: asked + bulk) { try await ask("push", at: "9000") })
            back.loopd.append(try await ask("pull", at: "8080"))
            back.raw.append(try await raw.push(bulk))
            back.least.append(
                try await raw.bridge(to: hybrid.port, expecting: asked) { try await ask("pull", at: "9000") })
        }
        await raw.stop()
        return [out, back].map { way in
            let (loopd, least) = (way.loopd.median, way.least.median)
            return Row(
                what: "\(what) \(way.name), p50 of \(rounds)", loopd: Figures.rate(loopd),
                target: "≥ 80 % of the exec stream",
                beside: "the exec stream alone \(Figures.rate(way.raw.median)); with a connection at either end, and "
                    + "nothing else, \(Figures.rate(least)) (\(percent(loopd, of: least))); \(HybridScene.load)",
                ratio: percent(loopd, of: way.raw.median))
        }
    }

    private static func percent(_ part: Double, of whole: Double) -> String {
        "\(Figures.rounded(part / whole * 100, 0)) %"
    }
}

/// The playground's API server and nodes, which run a part of the time only: their exec streams are as slow as those of a
/// real cluster, where several processes on several machines pass each byte on.
private final class SlowedPlayground: Sendable {
    private let task: Task<Void, Never>

    /// `nil` where the cluster is no playground.
    init?(_ scene: Scene) {
        guard scene.cluster.isPlayground,
            let process = ProcessTable.now().entries.values.first(where: {
                // Its state is the folder that the kubeconfig is in.
                $0.command.contains(" playground-serve ")
                    && $0.command.split(separator: " ").contains { scene.cluster.kubeconfig.hasPrefix("\($0)/") }
            })
        else { return nil }
        task = Task {
            // A tenth of each two milliseconds: it is the clock that slows it down.
            while !Task.isCancelled {
                process.signal(SIGSTOP)
                try? await Task.sleep(for: .microseconds(1800))
                process.signal(SIGCONT)
                try? await Task.sleep(for: .microseconds(200))
            }
        }
    }

    /// The last signal is the one to go on.
    func end() { task.cancel() }
}
