import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Saves", .turn) struct SaveTests {
    @Test("a save reaches the container, and the event says what landed")
    func save() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/message.txt", "before")
            let pod = try await scene.running()[0].name
            #expect(try await scene.text("/srv/app/message.txt", in: pod) == nil)
            let loopd = try await scene.watching()
            #expect(try await scene.text("/srv/app/message.txt", in: pod) == "before")
            let place = loopd.log.count
            try scene.project.replace("app/message.txt", "after")
            let landed = try await loopd.event("landed", from: place)
            #expect(landed["service"]?.string == "app")
            #expect(landed["files"]?.integer == 1)
            #expect(landed["pods"]?.integer == 1)
            #expect(landed["paths"]?.array == ["message.txt"])
            #expect(landed["initial"]?.bool == false)
            #expect(try await scene.text("/srv/app/message.txt", in: pod) == "after")
        }
    }

    @Test("connecting sends what differs and leaves alone what only the container has")
    func convergence() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            for name in ["same.txt", "changed.txt", "deep/new.txt"] { try scene.project.write("app/\(name)", name) }
            let pod = try await scene.running()[0].name
            for (name, text) in [
                ("same.txt", "same.txt"), ("changed.txt", "CHANGED.TXT"), ("node_modules/m.js", "theirs"),
                ("__pycache__/c.pyc", "theirs"),
            ] {
                try await scene.exec(pod, ["/probe", "make", "/srv/app/\(name)", text])
            }
            let loopd = try await scene.watching()
            let left = try await loopd.event("leftAlone")
            let paths = (left["paths"]?.array ?? []).compactMap(\.string)
            #expect(paths.contains { $0.hasPrefix("/srv/app/node_modules") }, "\(paths)")
            // What is equal is not touched, so that no reloader sees it change: its time stays the container's.
            try await scene.untilEqual("app", "/srv/app", in: pod) {
                $0.hasPrefix("node_modules") || $0.hasPrefix("__pycache__") || $0 == "same.txt"
            }
            let landed = try await loopd.event("landed")
            #expect(landed["paths"]?.array?.contains("same.txt") == false)
            #expect(try await scene.text("/srv/app/node_modules/m.js", in: pod) == "theirs")
            #expect(try await scene.text("/srv/app/__pycache__/c.pyc", in: pod) == "theirs")
        }
    }

    @Test("deleted is what loopd wrote, also while it did not run, and nothing else")
    func deletions() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            for name in ["a.txt", "folder/b.txt", "folder/deep/c.txt", "kept.txt", "later.txt"] {
                try scene.project.write("app/\(name)", name)
            }
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            try await scene.exec(pod, ["/probe", "make", "/srv/app/folder/deep/theirs.log", "log"])
            scene.project.remove("app/a.txt")
            scene.project.remove("app/folder")
            try await scene.untilEqual("app", "/srv/app", in: pod) { $0.hasPrefix("folder") }
            let left = try await scene.tree("/srv/app/folder", in: pod)
            #expect(left.paths == ["deep", "deep/theirs.log"])
            try await loopd.stop()
            scene.project.remove("app/later.txt")
            _ = try await scene.watching()
            try await scene.untilEqual("app", "/srv/app", in: pod) { $0.hasPrefix("folder") }
            #expect(try await scene.text("/srv/app/folder/deep/theirs.log", in: pod) == "log")
        }
    }

    @Test("with mirror, what does not exist here is deleted there")
    func mirror() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure(rule: ["sync": ["mirror": true]])
            try scene.project.write("app/a.txt", "a")
            let pod = try await scene.running()[0].name
            try await scene.exec(pod, ["/probe", "make", "/srv/app/old/theirs.txt", "theirs"])
            _ = try await scene.watching()
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    @Test("modes, times, links, empty folders and every name that Linux allows come along")
    func kinds() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/run.sh", "#!/bin/sh\n", mode: 0o755)
            try scene.project.folder("app/empty/below")
            try scene.project.write("app/a name with spaces", "1")
            try scene.project.write("app/two\nlines", "2")
            try scene.project.write("app/ü-😀-'\"$`\\", "3")
            try scene.project.write(Array("app/".utf8) + [0xFF, 0x80, 0x20, 0xC3], Array("4".utf8))
            try scene.project.write("app/-rf", "5")
            try scene.project.write("app/zero", "")
            try scene.project.link("app/link", to: "run.sh")
            try scene.project.link("app/dangling", to: "no where")
            try scene.project.link("app/outside", to: "/etc/passwd")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            try await scene.untilEqual("app", "/srv/app", in: pod)
            // Saved again while it runs: a mode alone, a link elsewhere, a file in a link's place, a moved folder.
            try Disk.mode("\(scene.project.path)/app/run.sh", 0o644)
            scene.project.remove("app/link")
            try scene.project.link("app/link", to: "zero")
            scene.project.remove("app/outside")
            try scene.project.write("app/outside", "a file now")
            try scene.project.rename("app/empty", to: "app/moved away")
            try scene.project.rename("app/two\nlines", to: "app/three\n\nlines")
            try scene.project.write("app/-rf", "55")
            try await scene.untilEqual("app", "/srv/app", in: pod)
            #expect(try await scene.text("/etc/passwd", in: pod)?.hasPrefix("root:") == true)
            #expect(!loopd.log.events().contains { $0["event"]?.string == "failed" })
        }
    }

    @Test("several rules and services share one project; the first rule that matches takes a file")
    func rules() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("web"))
            try await scene.deploy(Workload("api", image: .scratch))
            try scene.project.configure(
                scene.configuration(
                    [
                        "web": [
                            "workload": "deployment/web",
                            "rules": [
                                ["watch": ["**/*.md"], "sync": ["to": "/srv/docs"]],
                                ["watch": ["web/**", "shared/*.txt"], "sync": ["to": "/srv/web"]],
                            ],
                        ],
                        "api": [
                            "workload": "deployment/api",
                            "rules": [["watch": ["shared/**"], "sync": ["to": "/srv/api", "from": "."]]],
                        ],
                    ],
                    merging: ["cluster": ["helperImage": .string(try await TestImage.shell.name(on: scene.cluster))]]))
            try scene.project.write("web/index.html", "1")
            try scene.project.write("web/readme.md", "2")
            try scene.project.write("shared/both.txt", "3")
            try scene.project.write("shared/api.only", "4")
            let loopd = try await scene.watching(2)
            let pods = try await scene.running(2)
            let (api, web) = (pods[0].name, pods[1].name)
            #expect(try await scene.tree("/srv/web", in: web).paths == ["both.txt", "index.html"])
            #expect(try await scene.tree("/srv/docs", in: web).paths == ["web", "web/readme.md"])
            #expect(
                try await scene.tree("/srv/api", in: api).paths == ["shared", "shared/api.only", "shared/both.txt"])
            let place = loopd.log.count
            try scene.project.write("shared/both.txt", "33")
            for service in ["web", "api"] {
                _ = try await loopd.event("landed", from: place) { $0["service"]?.string == service }
            }
            #expect(try await scene.text("/srv/web/both.txt", in: web) == "33")
            #expect(try await scene.text("/srv/api/shared/both.txt", in: api) == "33")
        }
    }

    @Test("ignored files never travel, and a file without a rule is named once")
    func ignored() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure(merging: ["watch": ["ignore": ["*.log"]]])
            try scene.project.write(".gitignore", "target/\n*.tmp\n!kept.tmp\n")
            try scene.project.write(".loopignore", "secret.txt\n")
            let ignored = ["target/x", "a.tmp", "b.log", "secret.txt", ".main.py.swp", "main.py~", "4913"]
            for name in ignored { try scene.project.write("app/\(name)", "never") }
            try scene.project.write("app/kept.tmp", "kept")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            for name in ignored { try scene.project.write("app/\(name)", "never again") }
            try scene.project.write("elsewhere.txt", "1")
            try scene.project.write("elsewhere.txt", "2")
            let place = loopd.log.count
            try scene.project.write("app/main.py", "last")
            _ = try await loopd.event("landed", from: max(0, place - 2)) { $0["paths"]?.array == ["main.py"] }
            #expect(try await scene.tree("/srv/app", in: pod).paths == ["kept.tmp", "main.py"])
            let unmatched = loopd.log.events().filter { $0["event"]?.string == "unmatched" }
            #expect(unmatched.compactMap { $0["path"]?.string } == ["elsewhere.txt"])
        }
    }

    @Test("then runs once after a batch, with its output and exit code; the next save tries again")
    func steps() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure(rule: [
                "then": [
                    [
                        "exec": [
                            "sh", "-c", "echo ran >>/tmp/ran; echo hello; cat /srv/app/code; exit $(cat /srv/app/code)",
                        ]
                    ],
                    ["exec": ["/probe", "append", "/tmp/second", "ran"]],
                ]
            ])
            try scene.project.write("app/code", "0")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            var place = loopd.log.count
            for number in 1...20 { try scene.project.write("app/\(number)", "x") }
            try scene.project.write("app/code", "3")
            let failed = try await loopd.event("executed", from: place) { $0["exitCode"]?.integer == 3 }
            #expect(failed["pod"]?.string == pod)
            _ = try await loopd.event("output", from: place) { $0["line"]?.string == "hello" }
            let seconds = try await scene.text("/tmp/second", in: pod)
            place = loopd.log.count
            try scene.project.write("app/code", "0")
            _ = try await loopd.event("executed", from: place) { $0["command"]?[0] == "/probe" }
            #expect(try await scene.text("/tmp/second", in: pod) == (seconds ?? "") + "ran\n")
        }
    }

    @Test("a big file arrives whole, without loopd or the helper holding it in memory")
    func bigFile() async throws {
        let megabytes = variable("LOOPD_E2E_BIG_MB").flatMap { Int($0) } ?? 200
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/small", "x")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let before = ProcessTable.memory(of: loopd.child.pid).peak
            let place = loopd.log.count
            let path = "\(scene.project.path)/app/big"
            let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            var block = [UInt8](repeating: 0, count: 1 << 20)
            for number in 0..<megabytes {
                for index in stride(from: 0, to: block.count, by: 4096) {
                    block[index] = UInt8(truncatingIfNeeded: number &* 7 &+ index / 4096)
                }
                #expect(write(file, block, block.count) == block.count)
            }
            close(file)
            _ = try await loopd.event("landed", from: place, limit: .seconds(90)) {
                ($0["paths"]?.array ?? []).contains("big")
            }
            let grown = ProcessTable.memory(of: loopd.child.pid).peak - before
            #expect(grown < 40 << 20, "loopd grew by \(grown >> 20) MB")
            try await scene.untilEqual("app", "/srv/app", in: pod, limit: .seconds(60))
            // What else of a helper's is resident: its own peak, as the container's kernel tells it.
            let helpers = try await scene.exec(pod, ["sh", "-c", "grep -h VmHWM /proc/[0-9]*/status"]).text
            let peaks = helpers.split(separator: "\n").compactMap { Int($0.filter(\.isNumber)) }
            #expect((peaks.max() ?? 0) < 40 << 10, "\(helpers)")
        }
    }

    @Test("files that are written while they are read arrive in their last state")
    func restless() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            let pod = try await scene.running()[0].name
            try scene.project.write("app/first", "x")
            _ = try await scene.watching()
            let path = "\(scene.project.path)/app/growing"
            let file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
            let block = [UInt8](repeating: 0x61, count: 64 << 10)
            for round in 0..<400 {
                #expect(write(file, block, block.count) == block.count)
                // Other changes give the half-written file chances to be read.
                if round % 50 == 0 { try scene.project.write("app/other", "\(round)") }
            }
            close(file)
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }
}
