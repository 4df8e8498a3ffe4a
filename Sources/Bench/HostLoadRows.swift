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
            func there(_ seconds: Int) async throws -> Load {
                let command = Load.command(pod.address, "8080", seed, seconds)
                return try Load(try await hybrid.scene.exec(hybrid.client, ["/probe"] + command, codes: [0, 1]).text)
            }
            let before = try await held(hybrid, loopd, pod.name)
            // What so many need at once is kept: growth of memory is what comes after.
            _ = try await there(10)
            // As long as after the measurement: what is still open closes meanwhile.
            try await Task.sleep(for: .seconds(2))
            let warm = try await held(hybrid, loopd, pod.name)
            let result = try await there(seconds)
            let load = HybridScene.load
            // What was still open closes within this time, or it is a leak.
            try await Task.sleep(for: .seconds(2))
            let after = try await held(hybrid, loopd, pod.name)
            let command = Load.command("127.0.0.1", hybrid.port, seed, 5)
            let beside = try Load(try await Child.succeed([Built.probe] + command, codes: [0, 1]).text)
            try await loopd.stop()
            rows = [
                Row(
                    what:
                        "\(connections) connections at once for \(seconds) s: opened, up to 1 MB there and back, ended",
                    loopd: "\(result.rate) a second, \(Figures.rate(result.bytes / result.seconds))", target: "",
                    beside: "directly on this machine \(beside.rate) a second; \(load)", ratio: ""),
                Row(
                    what: "the same: connections lost, and with bytes that are not their own (seed \(seed))",
                    loopd: "\(result.lost), \(result.mixed) of \(result.ended)", target: "0, 0",
                    beside: "\(result.givenUp) more given up; \(result.withoutPort) times no port was free", ratio: ""),
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

    /// What `probe load` says in its last line.
    private struct Load {
        let (done, givenUp, lost, mixed, withoutPort): (Int, Int, Int, Int, Int)
        let (bytes, seconds): (Double, Double)

        init(_ text: String) throws {
            let line = text.split(separator: "\n").last ?? ""
            let numbers = line.split(separator: " ").compactMap { Int($0) }
            guard numbers.count == 7 else { throw Trouble("the client printed \(text)") }
            (done, givenUp, lost, mixed, withoutPort) = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
            (bytes, seconds) = (Double(numbers[5]), Double(numbers[6]) / 1000)
            if lost + mixed > 0 { print(text) }
        }

        static func command(_ host: String, _ port: String, _ seed: UInt64, _ seconds: Int) -> [String] {
            ["load", host, port, "\(seed)", "\(seconds)", "\(connections)"]
        }

        /// Without what was given up, about which nobody can say whether it was lost.
        var ended: Int { done + lost + mixed }
        /// In a second.
        var rate: Int { Int(Double(done + givenUp) / seconds) }
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
