import Glibc
import Reactor
import Testing
import Wire

@Suite("What the helper costs", .serialized)
struct FootprintTests {
    private func stripped(_ folder: String) async throws -> Int {
        let output = folder + "/stripped"
        _ = try await Child.run(Launch(["strip", "-R", ".swift_ast", "-o", output, Built.helper]))
        return Int(Disk.status(output)?.st_size ?? 0)
    }

    @Test("under a megabyte on disk and in memory")
    func small() async throws {
        try await withFolder { folder in
            let size = try await stripped(folder)
            #expect(size > 0)
            #expect(size < 1 << 20)
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            #expect(try await client.put("a", "x", in: opened.destination).code == 0)
            let kilobytes = try #require(resident(client.child.pid))
            print("helper: \(size) bytes stripped, \(kilobytes) KB resident")
            #expect(kilobytes < 1024)
            try await client.end()
        }
    }

    @Test("no request leaves a descriptor open, whether it works or fails", arguments: resolutions)
    func descriptors(_ arguments: [String]) async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect(arguments: arguments)
            let opened = try await client.open(folder + "/app")
            Disk.makeLink(folder + "/app/out", to: folder)
            Disk.makeFolder(folder + "/app/full")
            Disk.write(folder + "/app/full/foreign", "x")
            func everything() async throws {
                _ = try await client.put("deep/er/a", "x", in: opened.destination)
                for path in ["out/a", "full", "../x"] { _ = try await client.put(path, "x", in: opened.destination) }
                let names = ["deep/er/a", "out/a", "missing", "full"].map { [UInt8]($0) }
                _ = try await client.commit(
                    names.map { .remove(path: $0, recursive: false) }
                        + names.map { .touch(path: $0 + [UInt8]("-"), mode: 0, modified: 0) }
                        + [
                            .link(path: [UInt8]("l"), target: [UInt8]("x")),
                            .makeFolder(path: [UInt8]("l"), mode: 0o755),
                        ],
                    in: opened.destination)
                _ = try await client.list(List(destination: opened.destination))
                _ = try await client.digest(names + [[UInt8]("full/foreign")], in: opened.destination)
                _ = try await client.exec(Exec(arguments: [[UInt8]("true")]))
                _ = try await client.ask(.exec(Exec(arguments: [[UInt8]("/no/such")])))
                let other = try await client.open(folder + "/other")
                _ = try await client.stage(9, "left", [1], in: other.destination)
                try await client.close(other.destination)
                _ = try await client.ask(.open(Open(path: [UInt8]("/proc/version/x"), generation: 1)))
            }
            try await everything()
            let before = Disk.names("/proc/\(client.child.pid)/fd")
            for _ in 0..<5 { try await everything() }
            #expect(Disk.names("/proc/\(client.child.pid)/fd") == before)
            try await client.end()
            #expect(Disk.names(folder) == ["app", "other"])
        }
    }

    @Test("a gigabyte goes through in a few megabytes")
    func gigabyte() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let zeros = [UInt8](repeating: 0, count: 256 << 10)
            let answer = try await client.tryStage(1, [UInt8]("big"), in: opened.destination, size: 1 << 30) {
                zeros[..<$0.count]
            }
            guard case .staged(let staged)? = answer else { throw Unexpected(message: answer) }
            #expect(staged.size == 1 << 30)
            let known = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14"
            #expect(staged.sha256.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() == known)
            let peak = try #require(resident(client.child.pid, "VmHWM:"))
            print("helper: \(peak) KB resident at most during a gigabyte")
            #expect(peak < 4096)
            try await client.end()
        }
    }

    @Test("the figures of a 50 MB file and of 1,000 files of 4 KB")
    func figures() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let clock = ContinuousClock()
            let content = [UInt8](repeating: 3, count: 50 << 20)
            let large = try await clock.measure {
                _ = try await client.stage(1, "large", content, in: opened.destination)
            }
            let piece = [UInt8](repeating: 4, count: 4096)
            var operations: [FileOperation] = []
            let many = try await clock.measure {
                // All under way at once, as a host sends them.
                var streams: [UInt32] = []
                for number in 0..<1000 {
                    let stream = await client.newStream()
                    let path = [UInt8]("file-\(number)")
                    var bytes: [UInt8] = []
                    Frame(
                        .stage(
                            Stage(destination: opened.destination, stage: UInt32(number), sizeHint: 4096, path: path)),
                        on: stream
                    ).append(to: &bytes)
                    Frame(.data(piece), on: stream).append(to: &bytes)
                    Frame(.stageEnd(4096), on: stream).append(to: &bytes)
                    try await client.sendRaw(bytes)
                    streams.append(stream)
                    operations.append(.place(stage: UInt32(number), path: path, mode: 0o644, modified: 0))
                }
                for stream in streams {
                    guard case .staged? = await client.receive(on: stream) else { throw Unexpected(message: nil) }
                }
                #expect(try await client.commit(operations, in: opened.destination).allSatisfy { $0.code == 0 })
            }
            print("helper: 50 MB staged in \(large), 1,000 files of 4 KB staged and committed in \(many)")
            #expect(Disk.names(folder + "/app").count == 1000)
            try await client.end()
        }
    }
}
