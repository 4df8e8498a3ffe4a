internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// `loopd forward`: a port of this machine that leads to a pod.
enum ForwardRows {
    private static let count = 1000
    private static let (bulk, rounds) = (1 << 29, 3)

    static func all() async throws -> [Row] {
        var rows: [Row] = []
        try await HybridScene.run(pod: nil) { hybrid in
            let loopd = try await hybrid.scene.loopd("forward", "app", "0:8080")
            let event = try await loopd.event("forwarding", limit: .seconds(60))
            guard let port = event["local"]?.string?.split(separator: ":").last.map(String.init) else {
                throw Trouble("no port in \(event.text)")
            }
            let pod = try await hybrid.pod().name
            let own = try await Measured(port)
            let load = HybridScene.load
            let other = try await beside(hybrid.scene, pod: pod)
            let raw = try await RawStream(hybrid.scene, pod: pod)
            let (rawPulled, rawPushed) = (try await raw.pull(bulk), try await raw.push(bulk))
            await raw.stop()
            let again = try await survival(hybrid, port)
            try await loopd.stop()
            let skipped = "kubectl port-forward: skipped, the playground does not serve it"
            rows = [
                Row(
                    what: "a new connection through `loopd forward` and a round trip, p50 / p99 of \(count)",
                    loopd: own.latency, target: "",
                    beside: "\(other.map { "kubectl port-forward \($0.latency)" } ?? skipped); \(load)",
                    ratio: other.map { Figures.ratio($0.times.median, own.times.median) } ?? ""),
                Row(
                    what: "the same: \(Figures.memory(bulk)) to the pod / from it, p50 of \(rounds)",
                    loopd: "\(Figures.rate(own.pushed.median)) / \(Figures.rate(own.pulled.median))", target: "",
                    beside: [
                        other.map {
                            "kubectl port-forward \(Figures.rate($0.pushed.median)) / \(Figures.rate($0.pulled.median))"
                        }, "the exec stream alone \(Figures.rate(rawPushed)) / \(Figures.rate(rawPulled))",
                    ].compactMap { $0 }.joined(separator: ", "), ratio: ""),
                Row(
                    what: "the same: the pod is deleted, from the new one ready to its answer, p50 / most of \(rounds)",
                    loopd: "\(Figures.time(again.median)) / \(Figures.time(again.percentile(1)))", target: "",
                    beside: "kubectl port-forward ends", ratio: ""),
            ]
        }
        return rows
    }

    /// What was measured of one forward.
    private struct Measured {
        let times: [Double]
        private(set) var pushed: [Double] = []
        private(set) var pulled: [Double] = []

        init(_ port: String) async throws {
            times = try await HybridScene.askHere("trips", "127.0.0.1", port, "\(count)")
            for _ in 0..<rounds {
                for (verb, list) in [("push", \Measured.pushed), ("pull", \Measured.pulled)] {
                    let took = try await HybridScene.askHere(verb, "127.0.0.1", port, "\(bulk)").first ?? .nan
                    self[keyPath: list].append(Double(bulk) / (took / 1e9))
                }
            }
        }

        var latency: String { "\(HostRows.precise(times.median)) / \(HostRows.precise(times.percentile(0.99)))" }
    }

    /// The same through `kubectl port-forward`, where the cluster serves it.
    private static func beside(_ scene: Scene, pod: String) async throws -> Measured? {
        guard !scene.cluster.isPlayground else { return nil }
        let lines = try await TimedLines(scene, ["port-forward", "pod/\(pod)", ":8080"]) {
            ["line": .string(String(decoding: $0, as: UTF8.self))]
        }
        let said = try await within(.seconds(60), "kubectl port-forward") {
            await lines.log.first(from: 0) { _ in true }
        }
        // "Forwarding from 127.0.0.1:40123 -> 8080"
        let words = said?["line"]?.string?.split { $0 == " " || $0 == ":" } ?? []
        guard words.count > 3 else { throw Trouble("kubectl port-forward ended") }
        let measured = try await Measured(String(words[3]))
        lines.child.signal(SIGKILL)
        _ = await lines.child.wait()
        return measured
    }

    /// Milliseconds from a new pod's readiness until the same port leads to it.
    private static func survival(_ hybrid: HybridScene, _ port: String) async throws -> [Double] {
        var times: [Double] = []
        for _ in 0..<rounds {
            let old = try await hybrid.pod().name
            let words = try await Reader(hybrid.scene, pod: nil, words: "127.0.0.1", port)
            try await words.untilLast(old)
            try await hybrid.scene.kubectl(["delete", "pod", old, "--wait=false"])
            try await hybrid.scene.pods().until("the new pod is ready") { pods in
                pods.contains { $0.name.hasPrefix("app-") && $0.succeeds(old) }
            }
            let ready = now()
            let answered = try await words.untilLast(try await hybrid.pod().name)
            times.append(answered > ready ? Double(answered - ready) / 1e6 : 0)
            await words.stop()
        }
        return times
    }
}
