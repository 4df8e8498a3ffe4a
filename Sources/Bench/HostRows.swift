internal import Glibc
internal import JSON
internal import TestCluster

/// What a connection from the cluster to a program on this machine costs.
enum HostRows {
    /// How many connections, or round trips of one, are measured.
    private static let count = 2000

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

    /// Microseconds as milliseconds.
    static func precise(_ microseconds: Double) -> String { "\(Figures.rounded(microseconds / 1000, 2)) ms" }
}
