import HTTP
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@Suite("Pushes that something happens to", .timeLimit(.minutes(5)))
struct PushFaultTests {
    private static func image(_ size: Int, _ scratch: Scratch) async throws -> ImageContent {
        var image = ImageContent(scratch: .host)
        let file = try scratch.write("data", noise(size))
        image.append(try await Layer.pack([.file("data", from: file)]))
        return image
    }

    /// What a registry may do wrong to one request.
    enum Fault: String, CaseIterable, Sendable {
        case serverError, busy, unavailable, hangUp, wrongRange, unknownUpload
    }

    @Test("an upload goes on after whatever fails once", arguments: Fault.allCases)
    func once(fault: Fault) async throws {
        let done = Mutex<Set<String>>([])
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            let method = exchange.request.method
            // Everything that writes fails the first time, and one piece in the middle.
            let isUpload = exchange.request.target.contains("/uploads/")
            let isWrite = method != "HEAD" && method != "GET"
            guard isWrite, done.withLock({ $0.insert(method + (isUpload ? "u" : "m")).inserted }) else { return false }
            switch fault {
            case .serverError: try await exchange.refuse(500, "UNKNOWN")
            case .busy: try await exchange.refuse(429, "TOOMANYREQUESTS", headers: ["Retry-After": "0"])
            case .unavailable: try await exchange.refuse(503, "UNAVAILABLE")
            case .hangUp: try await exchange.hangUp()
            case .wrongRange where method == "PATCH": try await exchange.refuse(416, "RANGE_INVALID")
            case .unknownUpload where method == "PATCH" || method == "PUT" && isUpload:
                try await exchange.refuse(404, "BLOB_UPLOAD_UNKNOWN")
            case .wrongRange, .unknownUpload: return false
            }
            return true
        }) { process, scratch in
            let registry = Registry(process.name, options: .brief)
            let image = try await Self.image(3 << 20, scratch)
            let report = try await registry.push(image, to: "team/app", tags: ["1"])
            #expect(report.blobsSent == 2)
            #expect(try await isWhole(registry, "team/app", "1"))
            #expect(try await registry.head("1", in: "team/app")?.digest == image.digest)
        }
    }

    @Test("an upload that breaks off goes on where the registry has it, and does not begin again")
    func resumes() async throws {
        let pieces = Mutex(0)
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            guard exchange.request.method == "PATCH",
                pieces.withLock({
                    $0 += 1; return $0 == 3
                })
            else { return false }
            try await exchange.hangUp()
            return true
        }) { process, scratch in
            let image = try await Self.image(4 << 20, scratch)
            let registry = Registry(process.name, options: .brief)
            _ = try await registry.push(image, to: "app", tags: ["1"])
            let asked = process.requests.filter { $0.contains("/uploads/") }
            // One for the layer, one for the configuration.
            #expect(asked.count { $0.hasPrefix("POST ") } == 2, "\(asked)")
            #expect(asked.count { $0.hasPrefix("GET ") } == 1, "\(asked)")
            // A layer of 4 MiB and its head are five pieces; one was sent twice.
            #expect(asked.count { $0.hasPrefix("PATCH ") } == 6, "\(asked)")
            #expect(try await isWhole(registry, "app", "1"))
        }
    }

    @Test("connections that are cut anywhere do not harm", arguments: 0..<6)
    func cuts(round: Int) async throws {
        let seed = Seeded().seed
        print("cuts: seed \(seed)")
        try await PlaygroundRegistry.run { process, scratch in
            let port = UInt16(process.name.split(separator: ":")[1]) ?? 0
            let generator = Mutex(Seeded(seed))
            try await withRelay(to: .tcp(host: "127.0.0.1", port: port)) { _ in
                generator.withLock { generator in
                    switch Int.random(in: 0..<4, using: &generator) {
                    case 0: .init()
                    case 1: .init(cutAnswersAfter: Int.random(in: 0..<2000, using: &generator))
                    default: .init(cutAfter: Int.random(in: 1..<3_000_000, using: &generator))
                    }
                }
            } _: { relay in
                let image = try await Self.image(6 << 20, scratch)
                do {
                    _ = try await Registry(relay.name, options: .brief).push(image, to: "app", tags: ["1"])
                } catch let failure as RegistryFailure {
                    #expect(failure.kind == .unreachable, "seed \(seed): \(failure)")
                }
                #expect(try await isWhole(Registry(process.name), "app", "1"), "seed \(seed)")
            }
        }
    }

    /// Kills a registry once, and starts it again behind the same relay.
    private final class PowerCut: Sendable {
        let relay: Relay
        let scratch: Scratch
        private let registry: Mutex<RegistryProcess>
        private let task = Mutex<Task<Void, any Error>?>(nil)

        init(_ registry: RegistryProcess, behind relay: Relay, in scratch: Scratch) {
            self.registry = Mutex(registry)
            self.relay = relay
            self.scratch = scratch
        }

        var current: RegistryProcess { registry.withLock(\.self) }

        func happen() {
            task.withLock { task in
                if task == nil { task = Task { try await self.restart() } }
            }
        }

        /// Returns once it is back; `false` where it never happened.
        func ended() async throws -> Bool {
            let task = task.withLock(\.self)
            try await task?.value
            return task != nil
        }

        private func restart() async throws {
            await current.kill()
            relay.aim(at: nil)
            let second = try await RegistryProcess.start(in: scratch.path)
            registry.withLock { $0 = second }
            relay.aim(at: .tcp(host: "127.0.0.1", port: second.port))
        }
    }

    @Test(
        "a registry that is killed in the middle of an upload and comes back gets the whole image",
        .enabled(if: RegistryProcess.missing == nil))
    func killed() async throws {
        let scratch = try Scratch()
        let first = try await RegistryProcess.start(in: scratch.path)
        try await withRelay(to: .tcp(host: "127.0.0.1", port: first.port)) { relay in
            let image = try await Self.image(24 << 20, scratch)
            let cut = PowerCut(first, behind: relay, in: scratch)
            let report = try await Registry(relay.name, options: .brief).push(image, to: "app", tags: ["1"]) {
                progress in
                // Some pieces have arrived and others not.
                if progress.bytesSent > 8 << 20 { cut.happen() }
            }
            #expect(try await cut.ended())
            #expect(report.blobsSent == 2)
            let registry = Registry(cut.current.name)
            #expect(try await isWhole(registry, "app", "1"))
            #expect(try await registry.head("1", in: "app")?.digest == image.digest)
            await cut.current.kill()
        }
    }

    @Test("a registry that does not come back leaves no tag and is named")
    func gone() async throws {
        try await PlaygroundRegistry.run { process, scratch in
            let port = UInt16(process.name.split(separator: ":")[1]) ?? 0
            try await withRelay(to: .tcp(host: "127.0.0.1", port: port)) { relay in
                let image = try await Self.image(4 << 20, scratch)
                var options = Registry.Options.brief
                options.patience.recovery = .milliseconds(200)
                let name = relay.name
                // The registry goes away after the first pieces: connections are cut, and the next one finds nobody.
                let pushed = await Task {
                    try await Registry(name, options: options).push(image, to: "app", tags: ["1"]) { progress in
                        if progress.bytesSent > 1 << 20 { relay.sever() }
                    }
                }.result
                #expect {
                    try pushed.get()
                } throws: { error in
                    (error as? RegistryFailure)?.kind == .unreachable && "\(error)".contains(name)
                }
                #expect(try await isWhole(Registry(process.name), "app", "1"))
            }
        }
    }

    @Test("a silent registry is given up, and a slow one is not")
    func silence() async throws {
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            guard exchange.request.method == "POST" else { return false }
            // Nothing comes, until the client goes away.
            try await Task.sleep(for: .seconds(3600))
            return true
        }) { process, scratch in
            let image = try await Self.image(1 << 20, scratch)
            var options = Registry.Options.brief
            options.patience.idle = .milliseconds(50)
            options.patience.recovery = .milliseconds(200)
            let registry = Registry(process.name, options: options)
            await #expect {
                try await registry.push(image, to: "app", tags: ["1"])
            } throws: { error in
                (error as? RegistryFailure)?.kind == .unreachable && "\(error)".contains("no progress")
            }
        }
        try await PlaygroundRegistry.run { process, scratch in
            let port = UInt16(process.name.split(separator: ":")[1]) ?? 0
            let rule = Relay.Rule(trickle: (32 << 10, .milliseconds(20)))
            try await withRelay(to: .tcp(host: "127.0.0.1", port: port)) { _ in
                rule
            } _: { relay in
                let image = try await Self.image(2 << 20, scratch)
                var options = Registry.Options.brief
                options.patience.idle = .seconds(1)
                let registry = Registry(relay.name, options: options)
                #expect(try await registry.push(image, to: "app", tags: ["1"]).blobsSent == 2)
            }
        }
    }

    @Test("a blob that the registry loses after it was accepted brings no tag")
    func lost() async throws {
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            guard exchange.request.method == "HEAD", exchange.request.target.contains("/blobs/") else { return false }
            try await exchange.respond(HTTPResponse(404))
            return true
        }) { process, scratch in
            let image = try await Self.image(1000, scratch)
            let registry = Registry(process.name, options: .brief)
            await #expect {
                try await registry.push(image, to: "app", tags: ["1"])
            } throws: { error in
                "\(error)".contains("does not have it")
            }
            #expect(try await registry.head("1", in: "app") == nil)
        }
    }

    @Test("a file that changes between its digest and its upload is named, and no tag comes")
    func changed() async throws {
        try await PlaygroundRegistry.run { process, scratch in
            let file = try scratch.write("large", noise(33 << 20))
            var image = ImageContent(scratch: .host)
            image.append(try await Layer.pack([.file("large", from: file)]))
            try scratch.write("large", noise(33 << 20, seed: 2))
            let registry = Registry(process.name, options: .brief)
            await #expect(throws: LayerProblem.changed(file)) {
                try await registry.push(image, to: "app", tags: ["1"])
            }
            #expect(try await registry.head("1", in: "app") == nil)
        }
    }

    @Test("a cancelled push ends, leaves no tag, and gives its upload up")
    func cancelled() async throws {
        let reached = Gate()
        let abandoned = Gate()
        try await PlaygroundRegistry.run(fault: { exchange, _ in
            if exchange.request.method == "DELETE" { abandoned.signal() }
            guard exchange.request.method == "PUT" else { return false }
            reached.signal()
            try await Task.sleep(for: .seconds(3600))
            return true
        }) { process, scratch in
            let image = try await Self.image(1000, scratch)
            let registry = Registry(process.name)
            let push = Task { try await registry.push(image, to: "app", tags: ["1"]) }
            await reached.pass()
            push.cancel()
            await #expect(throws: CancellationError.self) { try await push.value }
            await abandoned.pass()
            #expect(try await registry.head("1", in: "app") == nil)
        }
    }
}
