internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// How long saves take to be seen in containers.
enum SaveRows {
    private static let saves = 200

    /// One small file, saved again and again.
    static func save() async throws -> [Row] {
        var seen: [Double] = []
        var landed: [Double] = []
        var copied: [Double] = []
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/file", "begin\n")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let reader = try await Reader(scene, pod: pod, file: "/srv/app/file")
            _ = try await reader.seen("begin")
            for number in 1...saves {
                let place = loopd.log.count
                let began = now()
                try scene.project.write("app/file", "save \(number)\n")
                seen.append(Double(try await reader.seen("save \(number)") - began) / 1e6)
                landed.append(try await loopd.event("landed", from: place)["milliseconds"]?.double ?? .nan)
                // A person's saves are apart.
                try await Task.sleep(for: .milliseconds(20))
            }
            try await loopd.stop()
            for number in 1...10 {
                try scene.project.write("copied", "copy \(number)\n")
                let began = now()
                try await scene.kubectl(["cp", "\(scene.project.path)/copied", "\(pod):/srv/app/file"])
                copied.append(Double(try await reader.seen("copy \(number)") - began) / 1e6)
            }
            await reader.stop()
        }
        return [
            Row(
                what: "one save to content seen in the container, p50 / p99 of \(saves)",
                loopd: "\(Figures.time(seen.median)) / \(Figures.time(seen.percentile(0.99)))",
                target: "≤ 7 ms / ≤ 20 ms", beside: "kubectl cp \(Figures.time(copied.median))",
                ratio: Figures.ratio(copied.median, seen.median)),
            Row(
                what: "the same, as loopd's own line says, p50 / p99",
                loopd: "\(Figures.time(landed.median)) / \(Figures.time(landed.percentile(0.99)))", target: "",
                beside: "", ratio: ""),
        ]
    }

    /// A thousand files at once.
    static func many() async throws -> [Row] {
        var fresh: [Double] = []
        var again: [Double] = []
        var copied: [Double] = []
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            for set in 1...5 {
                for folder in 0..<20 { try scene.project.folder("app/\(set)/\(folder)") }
            }
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            // Each set is written twice: new, and then over what is there.
            for round in 1...10 {
                var next = loopd.log.count
                let content = [UInt8](repeating: UInt8(round), count: 4096)
                for number in 0..<1000 {
                    try scene.project.write("app/\((round + 1) / 2)/\(number / 50)/\(number)", content)
                }
                let began = now()
                var files: Int64 = 0
                while files < 1000 {
                    let from = next
                    let event = try await loopd.event("landed", from: from)
                    next = from + (loopd.log.events(from: from).firstIndex(of: event) ?? 0) + 1
                    files += event["files"]?.integer ?? 0
                }
                if round % 2 == 1 {
                    fresh.append(milliseconds(since: began))
                } else {
                    again.append(milliseconds(since: began))
                }
            }
            try await scene.untilEqual("app", "/srv/app", in: pod, limit: .seconds(60))
            try await loopd.stop()
            for round in 1...3 {
                let began = now()
                try await scene.kubectl(["cp", "\(scene.project.path)/app/1", "\(pod):/srv/copy\(round)"])
                copied.append(milliseconds(since: began))
            }
        }
        return [
            Row(
                what: "1,000 new files of 4 KB, after the last write, p50 of 5", loopd: Figures.time(fresh.median),
                target: "≤ 0.15 s", beside: "kubectl cp \(Figures.time(copied.median))",
                ratio: Figures.ratio(copied.median, fresh.median)),
            Row(
                what: "the same files written again", loopd: Figures.time(again.median), target: "≤ 0.15 s",
                beside: "", ratio: Figures.ratio(copied.median, again.median)),
        ]
    }

    /// New big files.
    static func big() async throws -> [Row] {
        var seen: [Double] = []
        var copied: [Double] = []
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/file", "x")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            var content = [UInt8](repeating: 0, count: 50_000_000)
            for index in stride(from: 0, to: content.count, by: 64) {
                content[index] = UInt8(truncatingIfNeeded: index / 64)
            }
            for round in 1...5 {
                // Written beside and renamed: the clock starts when the file is there.
                content.replaceSubrange(0..<8, with: Array("\(round)\n......".utf8.prefix(8)))
                try scene.project.write("draft", content)
                let place = loopd.log.count
                let began = now()
                try scene.project.rename("draft", to: "app/big\(round)")
                _ = try await loopd.event("landed", from: place) {
                    $0["paths"]?.array?.contains(.string("big\(round)")) == true
                }
                seen.append(milliseconds(since: began))
            }
            try await scene.untilEqual("app", "/srv/app", in: pod)
            try await loopd.stop()
            for round in 1...3 {
                let began = now()
                try await scene.kubectl(["cp", "\(scene.project.path)/app/big1", "\(pod):/srv/copy\(round)"])
                copied.append(milliseconds(since: began))
            }
        }
        return [
            Row(
                what: "a new file of 50 MB, p50 of 5", loopd: Figures.time(seen.median), target: "≤ 0.55 s",
                beside: "kubectl cp \(Figures.time(copied.median))", ratio: Figures.ratio(copied.median, seen.median))
        ]
    }

    /// One save in many pods.
    static func replicas() async throws -> [Row] {
        let count = 20
        var times: [Double] = []
        var copied: Double = 0
        try await Scene.run { scene in
            try await scene.deploy(Workload(replicas: count))
            try scene.configure()
            try scene.project.write("app/file", "begin\n")
            let pods = try await scene.running(count).map(\.name)
            let loopd = try await scene.watching(count)
            for number in 1...50 {
                let place = loopd.log.count
                let began = now()
                try scene.project.write("app/file", "save \(number)\n")
                let landed = try await loopd.event("landed", from: place)
                times.append(milliseconds(since: began))
                guard landed["pods"]?.integer == Int64(count) else { throw Trouble("landed in fewer: \(landed.text)") }
                try await Task.sleep(for: .milliseconds(20))
            }
            for pod in pods {
                guard try await scene.text("/srv/app/file", in: pod) == "save 50\n" else {
                    throw Trouble("not in \(pod)")
                }
            }
            try await loopd.stop()
            let began = now()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for pod in pods {
                    group.addTask {
                        try await scene.kubectl(["cp", "\(scene.project.path)/app/file", "\(pod):/srv/app/file"])
                    }
                }
                try await group.waitForAll()
            }
            copied = milliseconds(since: began)
        }
        return [
            Row(
                what: "one save in all of \(count) replicas, p50 / p99 of 50",
                loopd: "\(Figures.time(times.median)) / \(Figures.time(times.percentile(0.99)))",
                target: "p50 ≤ 30 ms", beside: "\(count) kubectl cp at once \(Figures.time(copied))",
                ratio: Figures.ratio(copied, times.median))
        ]
    }
}
