internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// A program on this machine under many connections, and after saves.
enum HostLoadRows {
    /// How many connections are open at once, and for how long; `BENCH_SECONDS` says otherwise.
    private static let (connections, seconds) = (500, variable("BENCH_SECONDS").flatMap { Int($0) } ?? 60)
    private static let saves = 50

    /// Connections that are opened and closed, each with content of its own that has to come back.
    static func many() async throws -> [Row] {
        var rows: [Row] = []
        try await HybridScene.run { hybrid in
            let loopd = try await hybrid.running()
            try await hybrid.untilHere()
            let pod = try await hybrid.pod()
            let seed = UInt64.random(in: 1 ... .max)
            let before = try await held(hybrid, loopd, pod.name)
            // What so many need at once is kept: growth of memory is what comes after.
            _ = try await hybrid.ask("burst", pod.address, "8080", "\(connections)", "10", "\(seed)")
            // As long as after the measurement: what is still open closes meanwhile.
            try await Task.sleep(for: .seconds(2))
            let warm = try await held(hybrid, loopd, pod.name)
            let result = try await hybrid.ask("burst", pod.address, "8080", "\(connections)", "\(seconds)", "\(seed)")
            let load = HybridScene.load
            guard result.count == 5 else { throw Trouble("the client printed \(result)") }
            // What was still open closes within this time, or it is a leak.
            try await Task.sleep(for: .seconds(2))
            let after = try await held(hybrid, loopd, pod.name)
            let beside = try await HybridScene.askHere(
                "burst", "127.0.0.1", hybrid.port, "\(connections)", "5", "\(seed)")
            try await loopd.stop()
            let (took, alone) = (result[4] / 1e9, beside[4] / 1e9)
            rows = [
                Row(
                    what:
                        "\(connections) connections at once for \(seconds) s: opened, up to 262 KB there and back, closed",
                    loopd: "\(Int(result[0] / took)) a second, \(Figures.rate(result[3] / took))", target: "",
                    beside: "directly on this machine \(Int(beside[0] / alone)) a second; \(load)", ratio: ""),
                Row(
                    what: "the same: connections lost, and with bytes that are not their own (seed \(seed))",
                    loopd: "\(Int(result[1])), \(Int(result[2])) of \(Int(result[0]))", target: "0, 0", beside: "",
                    ratio: ""),
                Row(
                    what: "the same: descriptors before and after, of loopd; of the helper",
                    loopd:
                        "\(before.loopd.descriptors) and \(after.loopd.descriptors); \(before.helper.descriptors) and \(after.helper.descriptors)",
                    target: "no growth", beside: "", ratio: ""),
                Row(
                    what: "the same: resident (and at most), of loopd; of the helper: after 10 s → after these",
                    loopd:
                        "\(warm.loopd.memory); \(warm.helper.memory) → \(after.loopd.memory); \(after.helper.memory)",
                    target: "no growth", beside: "", ratio: ""),
            ]
        }
        return rows
    }

    private struct Held {
        var descriptors = 0
        var memory = ""
    }

    /// What loopd and the helpers in the pod hold.
    private static func held(
        _ hybrid: HybridScene, _ loopd: Loopd, _ pod: String
    ) async throws -> (loopd: Held, helper: Held) {
        let own = ProcessTable.memory(of: loopd.child.pid)
        let listed = try await Child.succeed(["ls", "/proc/\(loopd.child.pid)/fd"]).text.split(separator: "\n").count
        // The brackets keep the shell's own command line from being found.
        let script = """
            for p in /proc/[0-9]*; do
              grep -q 'bin/h[e]lper' $p/cmdline || continue
              echo $(ls $p/fd | wc -l) $(grep VmRSS $p/status) $(grep VmHWM $p/status)
            done
            """
        var helper = (descriptors: 0, now: 0, most: 0)
        let text = try await hybrid.scene.exec(pod, ["sh", "-c", script]).text
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 7, let descriptors = Int(words[0]), let now = Int(words[2]), let most = Int(words[5])
            else { continue }
            helper = (helper.descriptors + descriptors, helper.now + now * 1024, helper.most + most * 1024)
        }
        return (
            Held(descriptors: listed, memory: "\(Figures.memory(own.now)) (most \(Figures.memory(own.peak)))"),
            Held(
                descriptors: helper.descriptors,
                memory: "\(Figures.memory(helper.now)) (most \(Figures.memory(helper.most)))")
        )
    }

    /// A save of what the program is made of, until the new process answers.
    static func save() async throws -> [Row] {
        var told: [Double] = []
        var seen: [Double] = []
        // A program that takes 5 ms to start.
        try await HybridScene.run(host: ["watch": ["app/**"]], program: ["pid", "5"]) { hybrid in
            let loopd = try await hybrid.running()
            let outside = try await Reader(hybrid.scene, pod: nil, words: "127.0.0.1", hybrid.port)
            var last = try await outside.line(from: 0) { $0 != "none" }
            for number in 1...saves {
                let (place, line) = (loopd.log.count, outside.count)
                let began = now()
                try hybrid.scene.project.write("app/file", "save \(number)\n")
                let old = last.text
                last = try await outside.line(from: line) { $0 != "none" && $0 != old }
                seen.append(Double(last.at - began) / 1e6)
                told.append(try await loopd.event("hostReady", from: place)["milliseconds"]?.double ?? .nan)
                // A person's saves are apart.
                try await Task.sleep(for: .milliseconds(100))
            }
            await outside.stop()
            try await loopd.stop()
        }
        return [
            Row(
                what:
                    "a save to the new process on this machine answering, as seen from outside, p50 / p99 of \(saves)",
                loopd: "\(Figures.time(seen.median)) / \(Figures.time(seen.percentile(0.99)))", target: "p50 ≤ 60 ms",
                beside: "5 ms of it are the program's own; \(HybridScene.load)", ratio: ""),
            Row(
                what: "the same, as loopd's own line says, p50 / p99",
                loopd: "\(Figures.time(told.median)) / \(Figures.time(told.percentile(0.99)))", target: "", beside: "",
                ratio: ""),
        ]
    }
}
