import HTTP
import JSON
import Testing

@testable import LoopServer

@Suite("What keeps a namespace", .turn) struct NamespaceContentsTests {
    private static func contents(_ client: KubeClient) -> NamespaceContents {
        NamespaceContents(
            client: client, namespace: "a",
            going: [ObjectReference(apiVersion: "apps/v1beta1", kind: "Deployment", namespace: "a", name: "web")],
            releases: ["mine"], lists: ["loopd-inventory-web"])
    }

    static let objects: [(kind: String, group: String, metadata: JSON, words: String?)] = [
        ("ConfigMap", "", ["name": "theirs"], "configmap/theirs is not loopd's"),
        ("ConfigMap", "", ["name": "default"], "configmap/default is not loopd's"),
        ("ServiceAccount", "", ["name": "default"], nil),
        ("ConfigMap", "", ["name": "kube-root-ca.crt"], nil),
        ("Secret", "", ["name": "t", "annotations": ["kubernetes.io/service-account.name": "default"]], nil),
        ("Secret", "", ["name": "h", "labels": ["owner": "helm", "name": "mine"]], nil),
        ("Secret", "", ["name": "h", "labels": ["owner": "helm", "name": "theirs"]], "secret/h is not loopd's"),
        ("ReplicaSet", "apps", ["name": "web-1", "ownerReferences": [["uid": "u"]]], nil),
        ("Deployment", "apps", ["name": "web"], nil),
        ("Deployment", "apps", ["name": "api"], "deployment/api is not loopd's"),
        ("Deployment", "example.org", ["name": "web"], "deployment/web is not loopd's"),
        ("Widget", "example.org", ["name": "w"], "widget/w is not loopd's"),
        ("Secret", "", ["name": "s", "labels": ["app.kubernetes.io/managed-by": "loopd"]], nil),
        (
            "ConfigMap", "",
            ["name": "loopd-inventory-web", "labels": ["app.kubernetes.io/managed-by": "loopd"]], nil
        ),
        (
            "ConfigMap", "",
            [
                "name": "loopd-inventory-old",
                "labels": ["app.kubernetes.io/managed-by": "loopd", "loopd.dev/service": "old"],
            ], "what was deployed for service old is in it"
        ),
    ]

    @Test("objects of others, and none that goes anyway or that the cluster puts there", arguments: objects)
    func judges(kind: String, group: String, metadata: JSON, words: String?) async throws {
        let served = ServedKind(
            kind: kind, resource: KubeResource(group: group, version: "v1", plural: kind.lowercased() + "s"), verbs: [])
        try await withAPI({ try await $0.answer([:]) }) { client, _ in
            #expect(Self.contents(client).obstacle(served, metadata) == words)
        }
    }

    /// Two groups, one of which serves a kind in its older version only; `silent` is a path that does not answer.
    private static func api(silent: [String] = [], widgets: JSON = []) -> @Sendable (HTTPExchange) async throws -> Void
    {
        let all: JSON = ["list", "delete", "get"]
        return { exchange in
            let path = exchange.request.path
            if path == silent { return try await exchange.respond(HTTPResponse(503), body: Array("no service".utf8)) }
            switch path {
            case ["apis"]:
                let versions: JSON = [["groupVersion": "example.org/v1"], ["groupVersion": "example.org/v1beta1"]]
                try await exchange.answer([
                    "groups": [
                        [
                            "name": "example.org", "versions": versions,
                            "preferredVersion": ["groupVersion": "example.org/v1"],
                        ],
                        ["name": "metrics.k8s.io", "versions": [["groupVersion": "metrics.k8s.io/v1beta1"]]],
                    ]
                ])
            case ["api", "v1"]:
                try await exchange.answer([
                    "resources": [
                        ["name": "configmaps", "kind": "ConfigMap", "namespaced": true, "verbs": all],
                        ["name": "events", "kind": "Event", "namespaced": true, "verbs": all],
                        ["name": "bindings", "kind": "Binding", "namespaced": true, "verbs": ["create"]],
                        ["name": "nodes", "kind": "Node", "namespaced": false, "verbs": all],
                    ]
                ])
            case ["apis", "example.org", "v1"]:
                try await exchange.answer([
                    "resources": [["name": "gadgets", "kind": "Gadget", "namespaced": true, "verbs": all]]
                ])
            case ["apis", "example.org", "v1beta1"]:
                try await exchange.answer([
                    "resources": [
                        ["name": "gadgets", "kind": "Gadget", "namespaced": true, "verbs": all],
                        ["name": "widgets", "kind": "Widget", "namespaced": true, "verbs": all],
                        ["name": "widgets/status", "kind": "Widget", "namespaced": true, "verbs": ["get"]],
                    ]
                ])
            case ["apis", "metrics.k8s.io", "v1beta1"]:
                try await exchange.answer([
                    "resources": [
                        ["name": "pods", "kind": "PodMetrics", "namespaced": true, "verbs": ["get", "list"]]
                    ]
                ])
            case ["apis", "example.org", "v1beta1", "namespaces", "a", "widgets"]:
                try await exchange.answer(["items": widgets])
            case ["api", "v1", "namespaces", "a", "configmaps"],
                ["apis", "example.org", "v1", "namespaces", "a", "gadgets"]:
                try await exchange.answer(["items": []])
            default: try await exchange.fail(500, "InternalError", "nobody should ask for \(path)")
            }
        }
    }

    @Test("every kind is looked at in one of its versions, and nothing that holds no objects")
    func kinds() async throws {
        try await withAPI(Self.api()) { client, _ in
            let words = try await Self.contents(client).obstacle()
            #expect(words == nil)
        }
        try await withAPI(Self.api(widgets: [["metadata": ["name": "w"]]])) { client, _ in
            let words = try await Self.contents(client).obstacle()
            #expect(words == "widget/w is not loopd's")
        }
    }

    @Test(
        "where the cluster does not answer for a group, or for a kind, nobody knows what is in the namespace",
        arguments: [
            (["apis", "metrics.k8s.io", "v1beta1"], "list the kinds of metrics.k8s.io/v1beta1"),
            (["apis"], "list the groups of kinds"),
            (["apis", "example.org", "v1beta1", "namespaces", "a", "widgets"], "list widgets"),
        ])
    func silence(path: [String], attempt: String) async throws {
        try await withAPI(Self.api(silent: path)) { client, _ in
            let words = try await Self.contents(client).obstacle()
            #expect(words == "the cluster does not say what is in it: \(attempt): no service")
        }
    }
}
