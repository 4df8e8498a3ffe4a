import Glibc
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

@Suite("Connections of pods that come to this machine", .turn) struct InterceptTests {
    @Test("the pod's own service answers until the program is wanted, while it is not, and after the end")
    func handOver() async throws {
        try await InterceptFixture.run { fixture in
            try await fixture.until("pod")
            fixture.program.value = true
            fixture.intercept.setWanted(true)
            try await fixture.until("host")
            #expect(fixture.log.all.contains(.intercepting(pods: ["web-1"], ports: fixture.ports)))
            fixture.intercept.setWanted(false)
            try await fixture.until("pod")
            #expect(fixture.log.all.last == .intercepting(pods: [], ports: fixture.ports))
            fixture.intercept.setWanted(true)
            try await fixture.until("host")
            await fixture.intercept.end()
            try await fixture.until("pod")
        }
    }

    @Test("a connection waits for the program, and is broken when that does not come")
    func waits() async throws {
        try await InterceptFixture.run(patience: .seconds(60)) { fixture in
            fixture.program.value = true
            fixture.intercept.setWanted(true)
            try await fixture.until("host")
            fixture.program.value = false
            async let answer = fixture.answer()
            // It has been accepted by then, and nobody is there.
            try await Task.sleep(for: .milliseconds(100))
            fixture.program.value = true
            #expect(try await answer == "host")
        }
        try await InterceptFixture.run(patience: .milliseconds(50)) { fixture in
            fixture.program.value = true
            fixture.intercept.setWanted(true)
            try await fixture.until("host")
            fixture.program.value = false
            #expect(try await fixture.answer() == "reset")
        }
    }

    @Test("a killed helper leaves the pod to its own service, and the next one takes over again")
    func killedHelper() async throws {
        try await InterceptFixture.run { fixture in
            fixture.program.value = true
            fixture.intercept.setWanted(true)
            try await fixture.until("host")
            fixture.container.holdsBack.value = true
            fixture.container.inner.killHelpers()
            try await fixture.until("pod")
            fixture.container.holdsBack.value = false
            try await fixture.until("host")
        }
    }

    @Test("with one replica only one pod is connected, and another one when that goes")
    func oneReplica() async throws {
        let connector = CountingConnector()
        let program = TestProgram()
        var host = Host(command: ["x"], directory: "/")
        host.replicas = .one
        let intercept = Intercept(host, by: connector, to: program, links: PodLinks()) { _ in }
        let pods = (1...3).map { InterceptFixture.instance($0) }
        await intercept.setInstances(Array(pods.reversed()), ports: [])
        #expect(try await connector.next() == "web-1")
        await intercept.setInstances([pods[2], pods[0]], ports: [])
        await intercept.setInstances([pods[2]], ports: [])
        #expect(try await connector.next() == "web-3")
        await intercept.end()
        #expect(connector.count == 2)
    }

    @Test("many connections at once are carried whole, each to its own end")
    func many() async throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let sizes = (0..<150).map { _ in Int.random(in: 0...200_000, using: &generator) }
        let noise = Noise(&generator)
        try await InterceptFixture.run(echoes: true) { fixture in
            fixture.program.value = true
            fixture.intercept.setWanted(true)
            try await fixture.untilTaken()
            try await withThrowingTaskGroup { group in
                for (number, size) in sizes.enumerated() {
                    group.addTask {
                        let bytes = noise.bytes(size, from: number * 7919)
                        let stream = try await fixture.connect()
                        defer { stream.close() }
                        async let sent: Void = {
                            try await stream.write(bytes)
                            stream.shutdownWrite()
                        }()
                        let back = try await stream.all()
                        try await sent
                        #expect(back == bytes, "connection \(number) of \(size) bytes, seed \(seed)")
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}

/// A program that the test says is up or down.
final class TestProgram: LocalProgram {
    let isUp = Wish(false)

    var value: Bool {
        get { isUp.value }
        set { isUp.value = newValue }
    }

    func untilUp(limit: Duration) async -> Bool {
        if isUp.value { return true }
        return await atMost(limit) {
            await self.isUp.untilChanged(from: false)
            return self.isUp.value
        } ?? false
    }
}

/// Names the pods that somebody wants to be connected to, and lets nobody in.
private final class CountingConnector: ContainerConnector {
    private let names = Mutex<[String]>([])
    private let (stream, sink) = AsyncStream.makeStream(of: String.self)

    var count: Int { names.withLock { $0.count } }

    func next() async throws -> String? {
        for await name in stream { return name }
        return nil
    }

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        let isNew = names.withLock { names in
            guard !names.contains(instance.pod) else { return false }
            names.append(instance.pod)
            return true
        }
        if isNew { sink.yield(instance.pod) }
        try await Task.sleep(for: .seconds(3600))
        throw LinkError.disconnected("the test is over")
    }
}

/// Lets helpers in only when the test wants it.
final class GuardedContainer: ContainerConnector {
    let inner: LocalContainer
    let holdsBack = Wish(false)

    init(_ inner: LocalContainer) { self.inner = inner }

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        while holdsBack.value {
            await holdsBack.untilChanged(from: true)
            try Task.checkCancellation()
        }
        return try await inner.connect(to: instance)
    }
}

/// A container in dev mode whose service answers "pod", and a program of this machine that answers "host".
final class InterceptFixture: Sendable {
    let container: GuardedContainer
    let intercept: Intercept
    let program = TestProgram()
    let log = EventLog()
    let ports: [HostPort]
    private let port: UInt16

    /// - Parameter echoes: whether the program sends back what it gets.
    static func run(
        patience: Duration = .seconds(30), echoes: Bool = false, _ body: (InterceptFixture) async throws -> Void
    ) async throws {
        let scratch = try ScratchTree()
        try scratch.write("site/index.html", "pod")
        let local = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        let served = Task { await serve(local, echoes: echoes) }
        defer {
            served.cancel()
            local.close()
        }
        let container = LocalContainer(others: scratch.path)
        let port = try freePort()
        try await container.supervise(
            ["busybox", "httpd", "-f", "-p", "\(port)", "-h", "\(scratch.path)/site"], state: "\(scratch.path)/state")
        let fixture = InterceptFixture(GuardedContainer(container), port, to: local.port, patience)
        await fixture.intercept.setInstances([instance(1)], ports: fixture.ports)
        do {
            try await body(fixture)
        } catch {
            await fixture.intercept.end()
            throw error
        }
        await fixture.intercept.end()
    }

    private init(_ container: GuardedContainer, _ port: UInt16, to local: UInt16, _ patience: Duration) {
        self.container = container
        self.port = port
        ports = [HostPort(container: port, host: local)]
        var host = Host(command: ["x"], directory: "/")
        host.patience = patience
        let log = log
        intercept = Intercept(host, by: container, to: program, links: PodLinks()) { log.add(LoopEvent($0)) }
    }

    static func instance(_ number: Int) -> ContainerInstance {
        ContainerInstance(
            id: .init(podUID: "uid-1", containerID: "run-\(number)"), namespace: "demo", pod: "web-\(number)",
            container: "web", node: "node", isInDevMode: true, gracePeriod: .seconds(5))
    }

    func connect() async throws -> Reactor.Stream {
        try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: port))
    }

    /// Who answers at the pod's port, in a word.
    func answer() async throws -> String {
        do {
            let stream = try await connect()
            defer { stream.close() }
            try await stream.write(Array("GET / HTTP/1.0\r\n\r\n".utf8))
            let text = String(decoding: try await stream.all(), as: UTF8.self)
            return String(text.split(separator: "\r\n").last ?? "nothing")
        } catch let error as SystemError {
            return error.code == ECONNREFUSED ? "refused" : error.code == ECONNRESET ? "reset" : "\(error)"
        }
    }

    func until(_ wanted: String) async throws {
        let log = log
        try await within(.seconds(60), "an answer of \(wanted)", state: { "\(log.all)" }) {
            while try await self.answer() != wanted { try await Task.sleep(for: .milliseconds(5)) }
        }
    }

    func untilTaken() async throws {
        try await within(.seconds(60), "the pod's connections") {
            while !self.log.all.contains(where: { if case .intercepting = $0 { true } else { false } }) {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    private static func serve(_ listener: Reactor.Listener, echoes: Bool) async {
        await withDiscardingTaskGroup { group in
            while let stream = try? await listener.accept() {
                group.addTask {
                    defer { stream.close() }
                    guard echoes else {
                        _ = try? await stream.read()
                        try? await stream.write(Array("HTTP/1.0 200 OK\r\n\r\nhost".utf8))
                        return
                    }
                    while let bytes = try? await stream.read(), !bytes.isEmpty { try? await stream.write(bytes) }
                }
            }
        }
    }
}
