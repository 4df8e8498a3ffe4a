import JSON
import TestCluster
import Testing

@Suite("Images beside a service on this machine", .turn) struct HostImageTests {
    /// Writes `loop.json` with the registry, a build `all`, and these services.
    private func configure(_ hosts: HostScene, _ services: JSON) throws {
        let scene = hosts.scene
        let build: JSON = [
            "run": ["sh", "-c", "test -e src/go && mkdir -p out && cp src/word out/word"], "watch": ["src/**"],
        ]
        try scene.project.configure(
            scene.configuration(
                services,
                merging: ["registry": .string(scene.cluster.registry), "builds": ["all": build]]))
        try scene.project.write(".gitignore", "/out\n")
    }

    private func image(_ hosts: HostScene, _ name: String) async throws -> JSON {
        let base = try await TestImage.shell.name(on: hosts.scene.cluster)
        return [
            "name": .string(name), "base": .string(base), "files": ["from": "out", "to": "/srv/out"],
        ]
    }

    @Test("a program that names an image of another service starts as soon as that can be built, and with each new one")
    func named() async throws {
        try await HostScene.run { hosts in
            let script = "exec \(Built.probe) page \(hosts.port) \"$RUNNER\""
            let image = try await image(hosts, "runner")
            try configure(
                hosts,
                [
                    "web": [
                        "workload": "deployment/web",
                        "host": [
                            "command": ["sh", "-c", .string(script)], "env": ["RUNNER": "${image:runner}"],
                            "ports": [["container": 8080, "host": .integer(Int64(hosts.port))]],
                        ],
                    ],
                    "tasks": ["rules": [["build": "all", "image": image]]],
                ])
            try hosts.scene.project.write("src/word", "one")
            let loopd = try await hosts.scene.loopd("run", "web")
            _ = try await loopd.event("notice", limit: .seconds(60)) {
                $0["text"] == "the program waits for image runner, which has not been built yet"
            }
            var place = loopd.log.count
            try hosts.scene.project.write("src/go", "")
            let first = try await loopd.event("imageBuilt", from: place, limit: .seconds(60))["reference"]?.string ?? ""
            try await hosts.intercepted(loopd, from: place)
            try await hosts.untilAnswered(first, after: ["!", "pod"], loopd)
            place = loopd.log.count
            try hosts.scene.project.write("src/word", "two")
            let second = try await loopd.event("imageBuilt", from: place)["reference"]?.string ?? ""
            #expect(first != second && second.contains("/runner:"))
            try await hosts.untilAnswered(second, after: ["!", first], loopd)
            try await loopd.stop()
        }
    }

    @Test("a build for the program here makes no other image of its service")
    func resting() async throws {
        try await HostScene.run { hosts in
            let image = try await image(hosts, "web")
            let script = "exec \(Built.probe) page \(hosts.port) \"$(cat out/word)\""
            try configure(
                hosts,
                [
                    "web": [
                        "workload": "deployment/web", "rules": [["build": "all", "image": image]],
                        "host": [
                            "command": ["sh", "-c", .string(script)], "build": "all",
                            "ports": [["container": 8080, "host": .integer(Int64(hosts.port))]],
                        ],
                    ]
                ])
            try hosts.scene.project.write("src/go", "")
            try hosts.scene.project.write("src/word", "one")
            let loopd = try await hosts.scene.loopd("watch", "--host", "web")
            _ = try await loopd.event("imageBuilt", limit: .seconds(60))
            try await hosts.untilAnswered("one", after: ["!", "pod"], loopd)
            let place = loopd.log.count
            // An image would be asked for before the program is started.
            for (word, before) in [("two", "one"), ("three", "two")] {
                try hosts.scene.project.write("src/word", word)
                try await hosts.untilAnswered(word, after: ["!", before], loopd)
            }
            let building = loopd.log.events(from: place).filter { $0["event"] == "building" }
            #expect(building.map { $0["build"] } == ["all", "all"], "\(loopd.transcript)")
            try await loopd.stop()
        }
    }
}
