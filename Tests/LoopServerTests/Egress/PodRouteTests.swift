import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The way by a pod", .turn)
struct PodRouteTests {
    /// A double that finds the same helper in every pod, and notes them.
    private final class OneHelper: ContainerConnector {
        private let link: HelperLink
        private let entered = Mutex<[String]>([])
        var pods: [String] { entered.withLock { $0 } }

        init(_ link: HelperLink) { self.link = link }

        func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
            entered.withLock { $0.append(instance.pod) }
            return LinkAccess(link, removesHelper: false, description: "helper")
        }
    }

    private func pod(_ name: String) throws -> JSON {
        var pod = try #require(try Recording.json("pods/running.json")["items"]?[0])
        pod["metadata"]?["name"] = .string(name)
        pod["metadata"]?["uid"] = .string("uid-\(name)")
        return pod
    }

    @Test("another pod is entered when the first one goes, and what waits for it is served then")
    func replacement() async throws {
        let cluster = SmallCluster()
        try await LinkedHelper.run { helper in
            try await withAPI({ try await cluster.handle($0) }) { client, _ in
                let connector = OneHelper(helper.link)
                let route = PodRoute(
                    .selector("app=app"), client: client, namespace: "default", connector: connector,
                    patience: .seconds(60))
                async let first = route.way()
                cluster.put("pods", try pod("one"))
                #expect(try await first.pod.name == "one")
                cluster.remove("pods", try pod("one"))
                while connector.pods == ["one"] {
                    cluster.put("pods", try pod("two"))
                    if try await route.way().pod.name == "two" { break }
                }
                #expect(try await route.way().pod.name == "two")
                #expect(connector.pods == ["one", "two"])
                await route.end()
                await #expect(throws: LoopFailure.self) { try await route.way() }
            }
        }
    }

    @Test(
        "forwards are kept one by one: a taken port is told once and works when it is free; ::1 in the pod is reached")
    func kept() async throws {
        guard let server = try? Reactor.Listener(.tcp(host: "::1", port: 0)) else { return }
        let serving = Task {
            while true {
                let stream = try await server.accept()
                try await stream.write([42])
                stream.close()
            }
        }
        let holder = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        let events = Mutex<[LoopEvent.Kind]>([])
        @Sendable func ports() -> [UInt16] {
            events.withLock { $0 }.compactMap { event in
                guard case .forwarding(let local, _) = event else { return nil }
                return local.split(separator: ":").last.flatMap { UInt16($0) }
            }
        }
        let cluster = SmallCluster()
        cluster.put("pods", try pod("one"))
        try await LinkedHelper.run { helper in
            try await withAPI({ try await cluster.handle($0) }) { client, _ in
                let route = PodRoute(
                    .selector("app=app"), client: client, namespace: "default", connector: OneHelper(helper.link),
                    patience: .seconds(60))
                let forwards = ServiceForwards(route: route, pause: .milliseconds(50)) { event in
                    events.withLock { $0.append(event) }
                }
                let running = Task {
                    await forwards.keep([
                        Forward(local: holder.port, remote: server.port), Forward(local: 0, remote: server.port),
                    ])
                }
                while ports().isEmpty { try await Task.sleep(for: .milliseconds(20)) }
                let free = try #require(ports().first)
                #expect(free != holder.port)
                #expect(try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: free)).read() == [42])
                holder.close()
                while ports().count < 2 { try await Task.sleep(for: .milliseconds(20)) }
                #expect(ports().last == holder.port)
                #expect(
                    try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: holder.port)).read() == [42])
                running.cancel()
                await running.value
            }
        }
        let failures = events.withLock { $0 }.compactMap { if case .failed(let failure) = $0 { failure } else { nil } }
        #expect(failures.count == 1)
        #expect(failures.first?.nextStep?.hasPrefix("it is tried again until it is free") == true)
        serving.cancel()
        server.close()
    }

    @Test("who waits too long is told why in one line: no pod, or no way into it", arguments: [false, true])
    func patience(hasPod: Bool) async throws {
        let cluster = SmallCluster()
        if hasPod { cluster.put("pods", try pod("one")) }
        try await withAPI({ try await cluster.handle($0) }) { client, _ in
            let route = PodRoute(
                .selector("app=app"), client: client, namespace: "default", connector: NoConnector(),
                patience: .seconds(2))
            let reason = hasPod ? "one: the connection to the helper ended: no way" : "there is no pod"
            var summary: String?
            // On a busy machine the first answer of the API, or the first try, may take longer.
            repeat {
                let error = await #expect(throws: LoopFailure.self) { try await route.way() }
                summary = error?.failure.summary
            } while summary?.hasSuffix(reason) == false
            #expect(summary == "pods with app=app: no way into a pod within 2 s: \(reason)")
            await route.end()
        }
    }
}
