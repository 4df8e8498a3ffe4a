import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

/// The pods of a namespace, each of which runs as soon as it is created.
private final class StoredPods: Sendable {
    private struct State {
        var pods: [String: JSON] = [:]
        var created = 0
        var trials = 0
    }
    private let state = Mutex(State())
    /// Why no pod is taken.
    private let refusal: (code: Int, message: String)?

    /// What a deletion is refused with, or that it is never answered; `nil` where pods go.
    private let deletion: Int??

    init(refusal: (code: Int, message: String)? = nil, deletion: Int?? = nil) {
        self.refusal = refusal
        self.deletion = deletion
    }

    var names: [String] { state.withLock { $0.pods.keys.sorted() } }
    var created: Int { state.withLock(\.created) }
    var trials: Int { state.withLock(\.trials) }

    func pod(_ name: String) -> JSON? { state.withLock { $0.pods[name] } }
    func set(_ name: String, _ pod: JSON) { state.withLock { $0.pods[name] = pod } }

    func handle(_ exchange: HTTPExchange) async throws {
        let name = exchange.request.path.count > 5 ? exchange.request.path[5] : nil
        switch (exchange.request.method, name) {
        case ("GET", let name?):
            guard let pod = pod(name) else { return try await exchange.fail(404, "NotFound", "no such pod") }
            try await exchange.answer(pod)
        case ("GET", nil) where exchange.query("watch") != nil:
            try await exchange.respond(HTTPResponse(200), body: [])
        case ("GET", nil):
            let wanted = exchange.query("fieldSelector").map { String($0.dropFirst("metadata.name=".count)) }
            let labels = exchange.query("labelSelector")?.split(separator: ",").map(String.init) ?? []
            let items = state.withLock { $0.pods.values.filter { StoredPods.fits($0, name: wanted, labels) } }
            try await exchange.answer(["metadata": ["resourceVersion": "1"], "items": .array(items)])
        case ("POST", _):
            var pod = try JSON(parsing: try await exchange.body())
            if let refusal { return try await exchange.fail(refusal.code, "Forbidden", refusal.message) }
            if exchange.query("dryRun") == "All" {
                state.withLock { $0.trials += 1 }
                return try await exchange.answer(201, pod)
            }
            let name = pod.at("metadata", "name")?.string ?? ""
            state.withLock { state in
                state.created += 1
                pod["metadata"]?["uid"] = .string("uid-\(state.created)")
                pod["status"] = [
                    "phase": "Running",
                    "containerStatuses": [
                        ["name": "helper", "containerID": "c://1", "state": ["running": [:]]]
                    ],
                ]
                state.pods[name] = pod
            }
            try await exchange.answer(201, pod)
        case ("DELETE", _) where deletion != nil:
            // Without a code it is an API that never answers.
            guard let code = deletion ?? nil else { return try await Task.sleep(for: .seconds(600)) }
            try await exchange.fail(code, "Forbidden", "not yours")
        case ("DELETE", let name?):
            state.withLock { $0.pods[name] = nil }
            try await exchange.answer([:])
        default: try await exchange.fail(405, "", exchange.request.method)
        }
    }

    private static func fits(_ pod: JSON, name: String?, _ labels: [String]) -> Bool {
        let own = pod.at("metadata", "labels")?.object ?? JSONObject()
        let terms = labels.map { $0.split(separator: "=").map(String.init) }
        return (name == nil || pod.at("metadata", "name")?.string == name)
            && terms.allSatisfy { own[$0[0]]?.string == $0[1] }
    }
}

@Suite("Helper pods in a cluster", .turn) struct NodePodsTests {
    private func run(
        _ stored: StoredPods = StoredPods(), _ body: ((String) -> NodePods, KubeClient) async throws -> Void
    ) async throws {
        try await withAPI({ try await stored.handle($0) }) { client, _ in
            let pods = KubePods(client: client, namespace: "demo", kubectl: Kubectl(program: "kubectl"), leash: "")
            try await body({ NodePods(pods, service: $0, image: "image", folders: ["/opt"]) }, client)
        }
    }

    private func name(_ node: String) -> String {
        NodePodSpec(service: "web", node: node, image: "image", folders: ["/opt"]).name
    }

    @Test("a pod is made where there is none, and used again by the next run")
    func reuses() async throws {
        let stored = StoredPods()
        try await run(stored) { pods, _ in
            for _ in 1...2 {
                let instance = try await pods("web").start(on: "n1")
                #expect(instance.pod == name("n1"))
                #expect(instance.node == "n1")
            }
        }
        #expect(stored.created == 1)
    }

    @Test("a pod that does not fit is replaced", arguments: ["other folders", "ended"])
    func replaces(why: String) async throws {
        let stored = StoredPods()
        let folders = why == "ended" ? ["/opt"] : ["/srv"]
        var old = NodePodSpec(service: "web", node: "n1", image: "image", folders: folders).object
        old["metadata"]?["uid"] = "old"
        if why == "ended" { old["status"] = ["phase": "Succeeded"] }
        stored.set(name("n1"), old)
        try await run(stored) { pods, _ in
            _ = try await pods("web").start(on: "n1")
        }
        #expect(stored.created == 1)
        #expect(stored.pod(name("n1"))?.at("metadata", "uid") == "uid-1")
    }

    @Test("a pod of that name that is not loopd's stays, and is named")
    func foreign() async throws {
        let stored = StoredPods()
        stored.set(name("n1"), ["metadata": ["name": .string(name("n1")), "uid": "theirs"]])
        try await run(stored) { pods, _ in
            let failure = await #expect(throws: LoopFailure.self) { try await pods("web").start(on: "n1") }
            #expect(failure?.failure.summary == "node n1: pod \(name("n1")) is not loopd's")
        }
        #expect(stored.created == 0)
    }

    @Test("the cluster is asked before anything is made")
    func asks() async throws {
        let stored = StoredPods()
        try await run(stored) { pods, _ in try await pods("web").check("n1") }
        #expect(stored.trials == 1)
        #expect(stored.created == 0)
        let refusing = StoredPods(
            refusal: (403, "pods \"x\" is forbidden: violates PodSecurity \"baseline:latest\": x"))
        try await run(refusing) { pods, _ in
            let failure = await #expect(throws: LoopFailure.self) { try await pods("web").check("n1") }
            #expect(failure?.failure.summary.hasSuffix("it violates PodSecurity \"baseline:latest\"") == true)
        }
    }

    @Test("a webhook that cannot tell without doing it is no refusal")
    func dryRunUnsupported() async throws {
        let stored = StoredPods(refusal: (400, "admission webhook \"x\" does not support dry run"))
        try await run(stored) { pods, _ in try await pods("web").check("n1") }
    }

    @Test(
        "helper pods that the cluster does not delete in time, or at all, are named", arguments: ["silent", "refused"])
    func stay(why: String) async throws {
        let stored = StoredPods(deletion: why == "silent" ? .some(nil) : .some(403))
        try await run(stored) { pods, _ in
            let web = pods("web")
            for node in ["n1", "n2"] { _ = try await web.start(on: node) }
            let left = await web.end(limit: why == "silent" ? .milliseconds(50) : .seconds(240)) ?? ""
            #expect(stored.names.count == 2 && stored.names.allSatisfy(left.contains), "\(left)")
            #expect(left.contains("no answer within") == (why == "silent"), "\(left)")
        }
    }

    @Test("a restart that the cluster does not answer in time is told with its pod")
    func restarts() async throws {
        let stored = StoredPods(deletion: .some(nil))
        try await run(stored) { _, client in
            let said = Mutex<[LoopEvent.Kind]>([])
            let restarts = NodeRestarts(client, namespace: "demo") { kind in said.withLock { $0.append(kind) } }
            restarts.update([
                PodState([
                    "metadata": [
                        "name": "web-1", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
                        "ownerReferences": [["controller": true, "uid": "o", "kind": "DaemonSet", "name": "web"]],
                    ],
                    "spec": ["nodeName": "n1", "containers": [["name": "app"]]],
                    "status": [
                        "phase": "Running",
                        "containerStatuses": [
                            ["name": "app", "state": ["running": ["startedAt": "2026-01-01T00:00:00Z"]]]
                        ],
                    ],
                ])
            ])
            restarts.land(on: "n1")
            await restarts.finish(limit: .milliseconds(50))
            let failures = said.withLock { $0 }.compactMap {
                if case .failed(let one) = $0 { one.summary } else { nil }
            }
            #expect(failures == ["web-1 was not restarted: the cluster did not answer"])
        }
    }

    @Test("the end removes this run's pods, another service's stay until all are removed")
    func removes() async throws {
        let stored = StoredPods()
        try await run(stored) { pods, client in
            let (web, api) = (pods("web"), pods("api"))
            for node in ["n1", "n2", "n3"] { _ = try await web.start(on: node) }
            _ = try await api.start(on: "n1")
            #expect(stored.names.count == 4)
            await pods("web").remove(except: ["n1", "n2"])
            #expect(stored.names.count == 3)
            #expect(await web.end(limit: .seconds(30)) == nil)
            #expect(stored.names.count == 1)
            let left = stored.names
            #expect(try await NodePods.remove(namespace: "demo", client) == left)
            #expect(stored.names.isEmpty)
        }
    }
}
