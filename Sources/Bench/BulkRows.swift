internal import Glibc
internal import Reactor
internal import TestCluster

/// What loopd carries of a large body, beside the exec stream that carries it.
enum BulkRows {
    private static let rounds = 3

    /// One way of a large body: bytes in a second of loopd's, of the exec stream alone, and of a plain bridge over
    /// such a stream.
    private struct Way {
        let name: String
        var loopd: [Double] = []
        var raw: [Double] = []
        var bridged: [Double] = []
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
            if let slow = try await SlowedPlayground(hybrid.scene) {
                rows += try await measure(
                    hybrid, 1 << 28, "\(Figures.memory(1 << 28)) while the cluster's side is stopped most of the time,")
                await slow.end()
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
            out.bridged.append(
                try await raw.bridge(to: hybrid.port, expecting: asked + bulk) { try await ask("push", at: "9000") })
            back.loopd.append(try await ask("pull", at: "8080"))
            back.raw.append(try await raw.push(bulk))
            back.bridged.append(
                try await raw.bridge(to: hybrid.port, expecting: asked) { try await ask("pull", at: "9000") })
        }
        await raw.stop()
        return [out, back].map { way in
            let (loopd, bridged) = (way.loopd.median, way.bridged.median)
            return Row(
                what: "\(what) \(way.name), p50 of \(rounds)", loopd: Figures.rate(loopd),
                target: "≥ 80 % of the exec stream",
                beside:
                    "the exec stream alone \(Figures.rate(way.raw.median)); a plain bridge, with a connection at either "
                    + "end, \(Figures.rate(bridged)) (\(percent(loopd, of: bridged))); \(HybridScene.load)",
                ratio: percent(loopd, of: way.raw.median))
        }
    }

    private static func percent(_ part: Double, of whole: Double) -> String {
        "\(Figures.rounded(part / whole * 100, 0)) %"
    }
}

/// The playground's API server and nodes, which run a part of the time only, so that their exec streams are no faster than
/// those of a real cluster, where several processes on several machines pass each byte on.
private struct SlowedPlayground: Sendable {
    /// Ends with its standard input, and lets the playground go on then.
    private let slowing: Child

    /// `nil` where the cluster is no playground.
    init?(_ scene: Scene) async throws {
        guard scene.cluster.isPlayground,
            let process = ProcessTable.now().entries.values.first(where: {
                // Its state is the folder that the kubeconfig is in.
                $0.command.contains(" playground-serve ")
                    && $0.command.split(separator: " ").contains { scene.cluster.kubeconfig.hasPrefix("\($0)/") }
            })
        else { return nil }
        var launch = Launch([Built.probe, "slow", "\(process.pid)", "1900", "100"])
        launch.standardInput = .pipe
        slowing = try await Child.spawn(launch)
    }

    func end() async {
        slowing.standardInput?.close()
        _ = await slowing.wait()
    }
}
