internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// How long a rebuilt program takes to run in its container, in place of the one before.
enum SideloadRows {
    /// About 10 MB.
    static func program() async throws -> [Row] {
        try await measure(body: "", rounds: 15, target: "p50 ≤ 40 ms")
    }

    /// About 50 MB: with all of Foundation and the data of its calendars and languages.
    static func bigProgram() async throws -> [Row] {
        let body = """
            import Foundation
            let formatter = NumberFormatter()
            formatter.numberStyle = .spellOut
            let words = formatter.string(from: 7) ?? ""
            setenv("WORDS", words + Date.now.formatted(), 1)
            """
        return try await measure(body: body, rounds: 5, target: "≤ 0.10 s", options: ["-Xlinker", "-s"])
    }

    private static func measure(
        body: String, rounds: Int, target: String, options: [String] = []
    ) async throws -> [Row] {
        var figures = lines.dropFirst().map { _ in Measured() }
        var copied: [Double] = []
        var size = 0
        try await Scene.run { scene in
            // The same program with one line that differs, compiled each time.
            for (number, line) in lines.enumerated() {
                try await compile(body, line: line, as: "program\(number)", in: scene.project, options)
            }
            size = try Disk.read("\(scene.project.path)/program0").count
            try await scene.deploy(Workload())
            try configure(scene)
            try scene.project.write("choice", "0")
            let loopd = try await scene.loopd("watch")
            let pod = try await devPod(scene, loopd)
            let reader = try await Reader(scene, pod: pod.name, pipe: "/tmp/began")
            var last: (text: String, at: UInt64) = ("", 0)
            for round in 0..<2 * rounds * figures.count {
                // Each of the other programs after the first one, and back.
                let other = round / (2 * rounds) + 1
                let choice = round % 2 == 0 ? other : 0
                let place = loopd.log.count
                let from = reader.count
                try scene.project.write("choice", "\(choice)")
                let line = try await reader.line(from: from) { $0.hasPrefix(lines[choice] + ",") }
                guard line.text.split(separator: " ").last != last.text.split(separator: " ").last else {
                    throw Trouble("the same process: \(line.text)")
                }
                last = line
                // The last thing that the build does is to tell the time.
                let built = try await loopd.event("buildOutput", from: place)["line"]?.string ?? ""
                guard let finished = Int64(built.trimmed) else { throw Trouble("the build said \(built)") }
                figures[other - 1].seen.append(Double(Int64(line.at) + wallClockOffset - finished) / 1e6)
                figures[other - 1].sent.append(
                    try await loopd.event("landed", from: place)["bytesSent"]?.double ?? .nan)
            }
            let after = try await scene.pods().until("the pod") { $0.contains { $0.name == pod.name } }
                .first { $0.name == pod.name }
            guard let after, after.containerID == pod.containerID, after.restarts == pod.restarts else {
                throw Trouble("another container, or a restarted one")
            }
            await reader.stop()
            for _ in 1...3 {
                let began = now()
                try await scene.kubectl(["cp", "\(scene.project.path)/program0", "\(pod.name):/srv/copied"])
                copied.append(milliseconds(since: began))
            }
            try await loopd.stop()
        }
        let names = [
            "a program of \(Figures.memory(size)), one line changed: build finished to the new process's first line, p50 / p90 of",
            "the same where the line is longer, so that all behind it moves, p50 / p90 of",
        ]
        return zip(names, figures).map { name, figure in
            Row(
                what: "\(name) \(figure.seen.count) (\(Int(figure.sent.median)) bytes sent)",
                loopd: "\(Figures.time(figure.seen.median)) / \(Figures.time(figure.seen.percentile(0.9)))",
                target: name == names[0] ? target : "",
                beside: "kubectl cp, without a restart, \(Figures.time(copied.median))",
                ratio: Figures.ratio(copied.median, figure.seen.median))
        }
    }

    /// What the programs say: the first one, one of another text, and one that takes more room.
    private static let lines = ["one", "two", "a line that is longer than the first one"]

    /// What was measured of one change.
    private struct Measured {
        var seen: [Double] = []
        var sent: [Double] = []
    }

    /// The only pod in dev mode, once its service has its program.
    private static func devPod(_ scene: Scene, _ loopd: Loopd) async throws -> Pod {
        _ = try await loopd.event("restarted", limit: .seconds(120))
        let pods = try await scene.pods().until("one pod, in dev mode", limit: .seconds(120)) { pods in
            pods.count == 1 && pods[0].isRunning
        }
        return pods[0]
    }

    private static func configure(_ scene: Scene) throws {
        let build = """
            cp program$(cat choice) out.new && mv out.new out && date +%s%N
            """
        try scene.project.configure(
            scene.configuration([
                "app": [
                    "workload": "deployment/app", "dev": ["command": ["/srv/program"]],
                    "rules": [
                        [
                            "watch": ["choice"], "build": ["sh", "-c", .string(build)],
                            "sideload": ["from": "out", "to": "/srv/program"],
                            "then": [["restart": "process"]],
                        ]
                    ],
                ]
            ]))
    }

    /// A program that says its line and its process id into a pipe as the first thing it does, and then waits.
    private static func compile(
        _ body: String, line: String, as name: String, in project: Project, _ options: [String]
    ) async throws {
        let source = """
            import Glibc
            let pipe = open("/tmp/began", O_WRONLY | O_NONBLOCK)
            let line = "\(line), process \\(getpid())\\n"
            _ = line.withCString { write(pipe, $0, strlen($0)) }
            signal(SIGTERM) { _ in _exit(0) }
            \(body)
            while true { sleep(1000) }
            """
        try project.write("\(name).swift", source)
        try await Child.succeed(
            ["swiftc", "-O", "-static-executable", "\(project.path)/\(name).swift", "-o", "\(project.path)/\(name)"]
                + options)
    }

    /// What has to be added to `now()` to have nanoseconds since 1970.
    private static var wallClockOffset: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) - Int64(now())
    }
}
