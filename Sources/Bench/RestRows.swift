internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// What loopd costs while nothing happens, and how long it takes to begin.
enum RestRows {
    /// Memory and processor time with one service and a quiet minute.
    static func idle() async throws -> [Row] {
        var memory = 0
        var proxy = 0
        var share = 0.0
        var watcher = 0
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            for number in 0..<100 { try scene.project.write("app/\(number)", "content") }
            _ = try await scene.running()
            let loopd = try await scene.watching()
            try scene.project.write("app/1", "changed")
            _ = try await loopd.event("landed") { $0["initial"]?.bool == false }
            let inotify = try await Inotifywait(scene.project.path)
            guard let before = ProcessTable.entry(loopd.child.pid)?.time else { throw Trouble("loopd is gone") }
            let began = now()
            try await Task.sleep(for: .seconds(60))
            let after = ProcessTable.entry(loopd.child.pid)?.time ?? before
            let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
            share = Double(after - before) / ticks / (milliseconds(since: began) / 1000) * 100
            memory = ProcessTable.memory(of: loopd.child.pid).now
            watcher = ProcessTable.memory(of: inotify.pid).now
            let proxies = ProcessTable.now().descendants(of: loopd.child.pid).filter {
                $0.command.contains(" proxy ") && $0.command.contains("kubectl")
            }
            proxy = proxies.map { ProcessTable.memory(of: $0.pid).now }.max() ?? 0
            await inotify.stop()
        }
        return [
            Row(
                what: "loopd resident, one service", loopd: Figures.memory(memory), target: "≤ 30 MB",
                beside: "its kubectl proxy \(Figures.memory(proxy)), inotifywait \(Figures.memory(watcher))", ratio: ""),
            Row(
                what: "processor while idle, over a minute", loopd: "\(Figures.rounded(share, 3)) %", target: "< 0.1 %",
                beside: "", ratio: ""),
        ]
    }

    /// Start-up on a big project.
    static func startup() async throws -> [Row] {
        var ready: [Double] = []
        var memory = 0
        var arrived = 0.0
        var other: [Double] = []
        var otherMemory = 0
        let (folders, files) = (50_000, 500_000)
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/file", "begin\n")
            let pod = try await scene.running()[0].name
            try plant(scene.project, folders: folders, files: files)
            for _ in 0..<3 {
                let began = now()
                let inotify = try await Inotifywait(scene.project.path)
                other.append(milliseconds(since: began))
                otherMemory = ProcessTable.memory(of: inotify.pid).now
                await inotify.stop()
            }
            for round in 1...3 {
                let began = now()
                let loopd = try await scene.loopd("watch", "--no-deploy")
                // While it reads the tree.
                try await Task.sleep(for: .milliseconds(300))
                try scene.project.write("app/file", "during \(round)\n")
                _ = try await loopd.event("watching", limit: .seconds(120))
                ready.append(milliseconds(since: began))
                let state: @Sendable () -> String = { loopd.transcript }
                try await within(.seconds(60), "the change made during start-up", state: state) {
                    while try await scene.text("/srv/app/file", in: pod) != "during \(round)\n" {
                        try Task.checkCancellation()
                    }
                }
                arrived = milliseconds(since: began)
                memory = max(memory, ProcessTable.memory(of: loopd.child.pid).now)
                try await loopd.stop()
            }
        }
        return [
            Row(
                what: "start-up on 50,000 folders with 500,000 files: ready, p50 of 3",
                loopd: Figures.time(ready.median),
                target: "≤ 1.5 s", beside: "inotifywait -r \(Figures.time(other.median))",
                ratio: Figures.ratio(other.median, ready.median)),
            Row(
                what: "the same: resident", loopd: Figures.memory(memory), target: "≤ 40 MB",
                beside: "inotifywait -r \(Figures.memory(otherMemory))",
                ratio: Figures.ratio(Double(otherMemory), Double(memory))),
            Row(
                what: "a change made during it is in the container (with kubectl exec's own time)",
                loopd: Figures.time(arrived), target: "it arrives", beside: "", ratio: ""),
        ]
    }

    private static func plant(_ project: Project, folders: Int, files: Int) throws {
        let (outer, inner) = (250, folders / 250 - 1)
        for first in 0..<outer {
            for second in 0..<inner {
                let path = "tree/\(first)/\(second)"
                try project.folder(path)
                for number in 0..<files / (outer * inner) + 1 {
                    try project.write("\(path)/\(number).txt", "content \(number)\n")
                }
            }
        }
    }
}

/// A running `inotifywait -r`.
struct Inotifywait {
    private let child: Child
    var pid: Int32 { child.pid }

    /// Starts it and returns once it watches everything.
    init(_ folder: String) async throws {
        child = try await Child.spawn(Launch(["inotifywait", "-m", "-r", folder]))
        let output = child.standardError
        try await within(.seconds(300), "inotifywait's readiness") {
            var said = ""
            while !said.contains("Watches established") {
                guard let bytes = try await output?.read(), !bytes.isEmpty else {
                    throw Trouble("inotifywait: \(said)")
                }
                said += String(decoding: bytes, as: UTF8.self)
            }
        }
    }

    func stop() async {
        child.signal(SIGKILL)
        _ = await child.wait()
    }
}
