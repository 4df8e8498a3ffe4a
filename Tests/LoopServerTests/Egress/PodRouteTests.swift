import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The way by a pod", .timeLimit(.minutes(3)))
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
