internal import Glibc
internal import JSON
internal import TestCluster

/// What a connection from the cluster to a program on this machine costs.
enum HostRows {
    /// How many connections, or round trips of one, are measured.
    private static let count = 2000
    /// How many bytes go each way, and how often.
    private static let (bulk, rounds) = (1 << 30, 3)

    /// A connection with one round trip through the Service, beside a call of the same program by itself.
    static func latency() async throws -> [Row] {
        var rows: [Row] = []
        try await HybridScene.run { hybrid in
            let arguments = ["\(count)"]
            let inPod = try await hybrid.ask("trips", hybrid.address, "80", arguments[0])
            let keptInPod = try await hybrid.ask("trips", hybrid.address, "80", arguments[0], "kept")
            let loopd = try await hybrid.running()
            try await hybrid.untilHere()
            let through = try await hybrid.ask("trips", hybrid.address, "80", arguments[0])
            let load = HybridScene.load
            let keptThrough = try await hybrid.ask("trips", hybrid.address, "80", arguments[0], "kept")
            let direct = try await HybridScene.askHere("trips", "127.0.0.1", hybrid.port, arguments[0])
            let keptDirect = try await HybridScene.askHere("trips", "127.0.0.1", hybrid.port, arguments[0], "kept")
            try await loopd.stop()
            func row(_ what: String, _ target: String, _ through: [Double], _ direct: [Double], _ inPod: [Double]) {
                guard through.count == count, direct.count == count else { return }
                rows.append(
                    Row(
                        what:
                            "\(what) through the Service to this machine, added to a direct call, p50 / p99 of \(count)",
                        loopd: [0.5, 0.99].map {
                            precise(through.percentile($0) - direct.percentile($0))
                        }.joined(separator: " / "), target: target,
                        beside:
                            "direct \(precise(direct.median)), the pod's own service through the Service \(precise(inPod.median)) / \(precise(inPod.percentile(0.99))); \(load)",
                        ratio: ""))
            }
            row("a new connection and a round trip", "≤ 1.5 ms / ≤ 8 ms", through, direct, inPod)
            row("a round trip of a kept connection", "", keptThrough, keptDirect, keptInPod)
        }
        return rows
    }

    /// A large body each way, beside the exec stream by itself in the same pod.
    static func throughput() async throws -> [Row] {
        var (pushed, pulled, rawPushed, rawPulled): ([Double], [Double], [Double], [Double]) = ([], [], [], [])
        try await HybridScene.run { hybrid in
            let loopd = try await hybrid.running()
            try await hybrid.untilHere()
            let pod = try await hybrid.pod()
            let raw = try await RawStream(hybrid.scene, pod: pod.name)
            for _ in 0..<rounds {
                pushed.append(try await rate(hybrid.ask("push", pod.address, "8080", "\(bulk)")))
                rawPulled.append(try await raw.pull(bulk))
                pulled.append(try await rate(hybrid.ask("pull", pod.address, "8080", "\(bulk)")))
                rawPushed.append(try await raw.push(bulk))
            }
            await raw.stop()
            try await loopd.stop()
        }
        return [("from a pod to this machine", pushed, rawPulled), ("from this machine to a pod", pulled, rawPushed)]
            .map {
                Row(
                    what: "a body of \(Figures.memory(bulk)) \($0), p50 of \(rounds)", loopd: Figures.rate($1.median),
                    target: "≥ 80 % of the exec stream",
                    beside: "the exec stream alone \(Figures.rate($2.median)); \(HybridScene.load)",
                    ratio: "\(Figures.rounded($1.median / $2.median * 100, 0)) %")
            }
    }

    private static func rate(_ nanoseconds: [Double]) throws -> Double {
        guard let took = nanoseconds.first else { throw Trouble("the client printed no time") }
        return Double(bulk) / (took / 1e9)
    }

    /// Microseconds as milliseconds.
    static func precise(_ microseconds: Double) -> String { "\(Figures.rounded(microseconds / 1000, 2)) ms" }
}
