import HTTP
import JSON
@testable import LoopServer
import Reactor
import Testing

@Suite("Following a workload", .turn)
struct WorkloadWatchTests {
    /// Reads states until one fits.
    private func until(_ watch: WorkloadWatch, _ fits: (WorkloadState) -> Bool) async -> WorkloadState? {
        while let state = await watch.next() {
            if fits(state) { return state }
        }
        return nil
    }

    private func following(
        _ target: Target, _ cluster: SmallCluster, _ body: (WorkloadWatch) async throws -> Void
    ) async throws {
        try await withAPI({ try await cluster.handle($0) }) { client, _ in
            let watch = WorkloadWatch(client, target, namespace: "default")
            let running = Task { await watch.run() }
            defer { running.cancel() }
            try await body(watch)
            running.cancel()
            await running.value
        }
    }

    @Test("a Deployment's running pod is found, and a new revision's pods take its place")
    func rollout() async throws {
        let cluster = SmallCluster()
        for set in try Recording.json("objects/replicasets.json")["items"]?.array ?? [] {
            cluster.put("replicasets", set)
        }
        var deployment = try Recording.json("deployments/app.json")
        let new = try #require(try Recording.json("pods/running.json")["items"]?[0])
        let old = try #require(try JSON(parsing: try Recording.lines("watch/pods-during-rollout.jsonl")[0])["object"])
        deployment["metadata"]?["annotations"]?["deployment.kubernetes.io/revision"] = "5"
        cluster.put("deployments", deployment)
        cluster.put("pods", old)
        try await following(.workload(.deployment, name: "app"), cluster) { watch in
            let before = await until(watch) { $0.pods.count == 1 }
            #expect(before?.pods.map(\.name) == ["app-5f856bfd8d-mwkxd"])
            cluster.put("pods", new)
            deployment["metadata"]?["annotations"]?["deployment.kubernetes.io/revision"] = "4"
            cluster.put("deployments", deployment)
            let after = await until(watch) { $0.pods.map(\.name) == ["app-84f897f96b-fcssn"] }
            #expect(after?.instances(of: nil).map(\.pod) == ["app-84f897f96b-fcssn"])
            #expect(after?.reason(container: nil) == nil)
            cluster.remove("pods", new)
            let gone = await until(watch) { $0.pods.isEmpty }
            #expect(gone?.reason(container: nil) == "there is no pod")
        }
    }

    @Test("where the ReplicaSets may not be seen, every pod counts", arguments: [403, 404])
    func hiddenRevisions(code: Int) async throws {
        let cluster = SmallCluster()
        cluster.refuse("replicasets", with: code)
        cluster.put("deployments", try Recording.json("deployments/app.json"))
        cluster.put("pods", try #require(try Recording.json("pods/running.json")["items"]?[0]))
        try await following(.workload(.deployment, name: "app"), cluster) { watch in
            let state = await watch.next()
            #expect(state?.pods.map(\.name) == ["app-84f897f96b-fcssn"])
            #expect(state?.disconnection == nil)
        }
    }

    @Test("ReplicaSets that cannot be had for the moment are waited for, and no pod is given up meanwhile")
    func revisionsLater() async throws {
        let cluster = SmallCluster()
        cluster.refuse("replicasets", with: 500)
        cluster.put("deployments", try Recording.json("deployments/app.json"))
        cluster.put("pods", try #require(try Recording.json("pods/running.json")["items"]?[0]))
        for set in try Recording.json("objects/replicasets.json")["items"]?.array ?? [] {
            cluster.put("replicasets", set)
        }
        try await following(.workload(.deployment, name: "app"), cluster) { watch in
            #expect(await watch.next()?.disconnection == "list replicasets: refused")
            cluster.refuse("replicasets", with: nil)
            let state = await until(watch) { $0.disconnection == nil }
            #expect(state?.pods.isEmpty == false)
        }
    }

    @Test("a workload that is not there is missing, and is found when it comes")
    func missing() async throws {
        let cluster = SmallCluster()
        try await following(.workload(.statefulset, name: "db"), cluster) { watch in
            let state = await watch.next()
            #expect(state?.isMissing == true)
            cluster.put("statefulsets", try Recording.json("objects/statefulset.json"))
            #expect(await until(watch) { !$0.isMissing && $0.workload != nil } != nil)
        }
    }

    @Test("a selector finds pods without a workload, also later ones")
    func selector() async throws {
        let cluster = SmallCluster()
        try await following(.selector("app=app"), cluster) { watch in
            #expect(await watch.next()?.pods.isEmpty == true)
            cluster.put("pods", try #require(try Recording.json("pods/running.json")["items"]?[0]))
            #expect(await until(watch) { $0.instances(of: "app").count == 1 } != nil)
        }
    }

    @Test("a cluster that does not answer is told with its reason")
    func unreachable() async throws {
        let client = KubeClient(HTTPClient(endpoint: .unix(path: "/tmp/loopd-no-such.sock")))
        let watch = WorkloadWatch(client, .workload(.deployment, name: "web"), namespace: "d")
        let running = Task { await watch.run() }
        let state = await watch.next()
        #expect(state?.disconnection?.contains("/tmp/loopd-no-such.sock") == true)
        #expect(state?.reason(container: nil)?.hasPrefix("the cluster does not answer: ") == true)
        running.cancel()
        await running.value
    }
}
