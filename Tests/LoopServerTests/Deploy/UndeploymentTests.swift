import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

@Suite("What undeploy may not look at", .turn) struct UndeploymentTests {
    private static func map(_ name: String) -> ObjectReference {
        ObjectReference(apiVersion: "v1", kind: "ConfigMap", namespace: "a", name: name)
    }

    /// An API in which one list and what it names may be got, but two objects; nothing may be listed.
    private static func api(
        _ deleted: @escaping @Sendable (String) -> Void
    ) -> @Sendable (HTTPExchange) async throws -> Void {
        let list = Inventory([map("mine"), map("secret"), map("theirs")], found: [map("theirs")])
            .configMap(named: "loopd-inventory-web", of: "web", in: "shop", namespace: "a")
        return { exchange in
            let path = exchange.request.path
            if exchange.request.method == "DELETE" {
                deleted(path.last ?? "")
                return try await exchange.answer([:])
            }
            switch path {
            case ["api", "v1"]:
                try await exchange.answer([
                    "resources": [["name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": ["get"]]]
                ])
            case ["api", "v1", "namespaces", "a", "configmaps", "loopd-inventory-web"]: try await exchange.answer(list)
            case ["api", "v1", "namespaces", "a", "configmaps", "mine"]:
                let entry: JSON = ["manager": "loopd", "operation": "Apply"]
                try await exchange.answer(["metadata": ["name": "mine", "uid": "u", "managedFields": [entry]]])
            case ["api", "v1", "namespaces", "a", "configmaps", "secret"],
                ["api", "v1", "namespaces", "a", "configmaps", "theirs"],
                ["api", "v1", "namespaces", "a", "configmaps"], ["api", "v1", "namespaces", "a", "secrets"]:
                try await exchange.fail(403, "Forbidden", "configmaps is forbidden: not for you")
            default: try await exchange.fail(404, "NotFound", "none")
            }
        }
    }

    @Test("stays, and keeps nothing else from going")
    func forbidden() async throws {
        let scratch = try Scratch()
        let deleted = Mutex<[String]>([])
        try await withAPI(Self.api { name in deleted.withLock { $0.append(name) } }) { client, endpoint in
            let kubeconfig = try scratch.kubeconfig(server: "http://\(endpoint)", contexts: ["kind-test"])
            let kubectl = Kubectl(program: try Kubectl.find().program, kubeconfig: kubeconfig, context: "kind-test")
            let context = KubeContext(name: "kind-test", server: "http://\(endpoint)", kubectl: kubectl)
            let proxy = try await KubectlProxy.start(context, programs: Programs.find())
            let leash = try BuildLaneTests.leash
            let connection = ClusterConnection(
                context: context, proxy: proxy, client: client, leash: leash, registries: Registries(leash: leash))
            let found = try await Undeployment(
                of: [Service(name: "web", root: scratch.path)], in: "shop", connection, namespace: "a")
            #expect(
                Set(found.kept) == [
                    "configmap/secret stays: configmaps is forbidden: not for you",
                    "configmap/theirs stays: it was there before",
                ])
            #expect(found.lines == ["- configmap/mine"])
            try await found.carryOut(until: ContinuousClock.now + .seconds(60)) { _ in }
            await proxy.stop()
        }
        #expect(deleted.withLock { $0 } == ["mine", "loopd-inventory-web"])
    }
}
