internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// How long a changed file takes to become an image in a registry, and to run.
enum ImageRows {
    private static let size = 10_000_000
    private static let rounds = 10

    /// A layer of 10 MB with new content, into Debian's `docker-registry`: beside `docker build` and `docker push`.
    static func push() async throws -> [Row] {
        if let obstacle = DockerRegistry.obstacle ?? DockerDaemon.obstacle { throw Trouble("skipped: \(obstacle)") }
        let registry = try await DockerRegistry.start()
        let docker = try await DockerDaemon.start()
        do {
            let rows = try await push(to: registry.name, docker: docker.host)
            await docker.stop()
            await registry.stop()
            return rows
        } catch {
            await docker.stop()
            await registry.stop()
            throw error
        }
    }

    private static func push(to registry: String, docker: String) async throws -> [Row] {
        var (pushed, built, unchanged): ([Double], [Double], [Double]) = ([], [], [])
        var sent: Int64 = 0
        try await Scene.run { scene in
            let layer: JSON = ["name": "bench", "base": "scratch", "to": "/srv"]
            let small: JSON = ["name": "bench", "builder": "append", "to": "/srv/code"]
            // A selector: what is pushed is for nobody to roll out.
            try scene.project.configure(
                scene.configuration(
                    [
                        "app": [
                            "selector": "app=none",
                            "rules": [
                                ["watch": ["big/**"], "image": layer], ["watch": ["many/**"], "image": small],
                            ],
                        ]
                    ], merging: ["registry": .string(registry)]))
            try scene.project.write("big/data", content(0))
            for number in 0..<1000 { try scene.project.write("many/f\(number)", "\(number)") }
            try scene.project.write("context/Dockerfile", "FROM scratch\nCOPY data /srv/data\n")
            let loopd = try await scene.loopd("watch")
            _ = try await loopd.event("watching", limit: .seconds(60))
            for round in 1...rounds {
                let data = content(UInt64(round))
                var place = loopd.log.count
                // The same content is on the same disk for both.
                try scene.project.write("context/data", data)
                try scene.project.write("big/.data", data)
                var began = now()
                try scene.project.rename("big/.data", to: "big/data")
                let image = try await loopd.event("imageBuilt", from: place)
                pushed.append(milliseconds(since: began))
                guard image["bytesSent"]?.integer ?? 0 >= Int64(size) else { throw Trouble("\(image.text)") }

                began = now()
                let name = "\(registry)/beside:\(round)"
                let variables = environment(with: ["DOCKER_HOST": docker])
                try await Child.succeed(
                    ["docker", "build", "--quiet", "--tag", name, "\(scene.project.path)/context"],
                    environment: variables)
                try await Child.succeed(["docker", "push", "--quiet", name], environment: variables)
                built.append(milliseconds(since: began))

                place = loopd.log.count
                began = now()
                try scene.project.write("big/.data", data)
                try scene.project.rename("big/.data", to: "big/data")
                let same = try await loopd.event("imageBuilt", from: place)
                unchanged.append(milliseconds(since: began))
                guard same["unchanged"] == true, same["bytesSent"]?.integer == 0 else { throw Trouble("\(same.text)") }
            }
            let place = loopd.log.count
            try scene.project.write("many/f500", "changed")
            sent = try await loopd.event("imageBuilt", from: place)["bytesSent"]?.integer ?? 0
            try await loopd.stop()
        }
        return [
            Row(
                what: "an image with a new layer of \(Figures.memory(size)): save to pushed, p50 / p90 of \(rounds)",
                loopd: "\(Figures.time(pushed.median)) / \(Figures.time(pushed.percentile(0.9)))",
                target: "≤ 0.15 s, ≥ 3 times faster",
                beside: "docker build and push \(Figures.time(built.median))",
                ratio: Figures.ratio(built.median, pushed.median)),
            Row(
                what: "the same content saved again: save to known as unchanged, 0 bytes sent",
                loopd: "\(Figures.time(unchanged.median))", target: "", beside: "", ratio: ""),
            Row(
                what: "one of 1,000 files in a layer of its own beside those \(Figures.memory(size)): bytes sent",
                loopd: "\(sent)", target: "only its layer", beside: "", ratio: ""),
        ]
    }

    /// Bytes that nobody can compress, others for each number.
    private static func content(_ number: UInt64) -> [UInt8] {
        var state = number &* 0x9E37_79B9_7F4A_7C15 | 1
        return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            for place in stride(from: 0, to: size, by: 8) {
                state ^= state << 13
                state ^= state >> 7
                state ^= state << 17
                for byte in 0..<min(8, size - place) {
                    buffer[place + byte] = UInt8(truncatingIfNeeded: state >> (8 * byte))
                }
            }
            count = size
        }
    }
}
