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

    /// One way of a large body: what loopd carries in a second, the exec stream alone, and the least that has a connection
    /// at either end.
    private struct Way {
        let name: String
        var loopd: [Double] = []
        var raw: [Double] = []
        var least: [Double] = []
    }

    /// A large body each way, beside the exec stream by itself in the same pod.
    static func throughput() async throws -> [Row] {
        var (out, back) = (Way(name: "from a pod to this machine"), Way(name: "from this machine to a pod"))
        try await HybridScene.run { hybrid in
            let loopd = try await hybrid.running()
            try await hybrid.untilHere()
            let pod = try await hybrid.pod()
            let raw = try await RawStream(hybrid.scene, pod: pod.name)
            let head = 16
            for _ in 0..<rounds {
                out.loopd.append(try await rate(hybrid.ask("push", pod.address, "8080", "\(bulk)")))
                out.raw.append(try await raw.pull(bulk))
                out.least.append(
                    try await raw.bridge(to: hybrid.port, expecting: bulk + head) {
                        try await rate(hybrid.ask("push", pod.address, "9000", "\(bulk)"))
                    })
                back.loopd.append(try await rate(hybrid.ask("pull", pod.address, "8080", "\(bulk)")))
                back.raw.append(try await raw.push(bulk))
                back.least.append(
                    try await raw.bridge(to: hybrid.port, expecting: head) {
                        try await rate(hybrid.ask("pull", pod.address, "9000", "\(bulk)"))
                    })
            }
            await raw.stop()
            try await loopd.stop()
        }
        return [out, back].map { way in
            let (loopd, least) = (way.loopd.median, way.least.median)
            return Row(
                what: "a body of \(Figures.memory(bulk)) \(way.name), p50 of \(rounds)", loopd: Figures.rate(loopd),
                target: "≥ 80 % of the exec stream",
                beside: "the exec stream alone \(Figures.rate(way.raw.median)); with a connection at either end, and "
                    + "nothing else, \(Figures.rate(least)) (\(percent(loopd, of: least))); \(HybridScene.load)",
                ratio: percent(loopd, of: way.raw.median))
        }
    }

    private static func percent(_ part: Double, of whole: Double) -> String {
        "\(Figures.rounded(part / whole * 100, 0)) %"
    }

    private static func rate(_ nanoseconds: [Double]) throws -> Double {
        guard let took = nanoseconds.first else { throw Trouble("the client printed no time") }
        return Double(bulk) / (took / 1e9)
    }

    /// Microseconds as milliseconds.
    static func precise(_ microseconds: Double) -> String { "\(Figures.rounded(microseconds / 1000, 2)) ms" }
}
