import Glibc
import HTTP
import JSON
import Testing

@testable import Playground

struct AccessTests {
    @Test("without the secret, from a browser or under a foreign host, there is nothing here")
    func strangers() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let secret = api.address.url.split(separator: "/").last.map(String.init) ?? ""
            #expect(secret.count == 64)
            let wrong = String(repeating: "0", count: 64)
            for path in ["/", "/version", "/api/v1/pods", "/\(wrong)/version", "/\(secret)x/version", "//version"] {
                let answer = try await api.raw("GET", path)
                #expect(answer.status == 404, "\(path)")
                #expect(answer.body == "", "\(path)")
            }
            let strangers: [HTTPHeaders] = [
                ["Origin": "http://localhost"], ["Origin": "null"], ["Host": "example.com"],
                ["Host": "127.0.0.1:1"], ["Host": "127.0.0.1"],
            ]
            for headers in strangers {
                let answer = try await api.raw("GET", "/\(secret)/version", headers: headers)
                #expect(answer.status == 404)
                #expect(answer.body == "")
            }
            let known = try await api.raw("GET", "/\(secret)/version")
            #expect(known.status == 200)
            #expect(known.body["gitVersion"] == "v1.36.2")
        }
    }

    @Test("the kubeconfig is for its owner alone, and names the context")
    func kubeconfig() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            var facts = stat()
            #expect(stat(api.address.kubeconfig, &facts) == 0)
            #expect(facts.st_mode & 0o777 == 0o600)
            let config = try JSON(parsing: try #require(FileTree.read(api.address.kubeconfig)))
            #expect(config["current-context"] == "loopd-playground")
            #expect(config["clusters"]?[0]?.at("cluster", "server") == .string(api.address.url))
            let address = try JSON(parsing: try #require(FileTree.read("\(api.directory)/state/address.json")))
            #expect(address["url"] == .string(api.address.url))
            #expect(address["pid"]?.integer == Int64(getpid()))
        }
    }

    @Test("a restarted playground has its address, its objects, and one server at a time")
    func restart() async throws {
        let directory = try RunningAPI.temporaryDirectory()
        defer { FileTree.remove(directory) }
        let urls = Collected()
        for round in 0..<2 {
            try await RunningAPI.with(directory: directory, kubelet: false) { api in
                urls.add(api.address.url)
                if round == 0 {
                    _ = try api.store.create(.configMap, ["metadata": ["name": "kept"]])
                    await #expect(throws: PlaygroundServer.InUse.self) {
                        try await PlaygroundServer(stateDirectory: "\(directory)/state").run()
                    }
                } else {
                    let answer = try await api.request("GET", "/api/v1/namespaces/default/configmaps/kept")
                    #expect(answer.status == 200)
                    let old = try await api.request("GET", "/api/v1/pods?watch=true&resourceVersion=1")
                    #expect(old.status == 200)
                    let recorded = try #require(
                        FileTree.read("\(Recording.folder)/watch/resource-version-too-old.jsonl"))
                    let expected = Self.withoutVersions(String(decoding: recorded, as: UTF8.self))
                    #expect(Self.withoutVersions(old.body.string ?? "").contains(expected))
                }
            }
            #expect(access("\(directory)/state/address.json", F_OK) != 0)
        }
        #expect(Set(urls.all).count == 1)
    }

    private static func withoutVersions(_ text: String) -> String {
        text.replacing(/version: [0-9]+ \([0-9]+\)/, with: "version").replacing(/\s+$/, with: "")
    }

    @Test("a watch that asks for it gets what is there, and a mark where that ends")
    func initialEvents() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let answer = try await api.request(
                "GET",
                "/api/v1/namespaces?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
                    + "&allowWatchBookmarks=true&timeoutSeconds=1&labelSelector=kubernetes.io/metadata.name%3Ddefault")
            let text = answer.body.string ?? ""
            #expect(text.contains(#"{"type":"ADDED","object":{"kind":"Namespace""#))
            #expect(!text.contains("kube-system"))
            #expect(text.contains(#""annotations":{"k8s.io/initial-events-end":"true"}"#))
        }
    }

    @Test(
        "what is not served is refused by its name",
        arguments: [
            (
                "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                "selfsubjectaccessreviews.authorization.k8s.io"
            ),
            ("GET", "/apis/example.com/v1/namespaces/default/widgets/a", "widgets.example.com"),
            ("GET", "/api/v1/gadgets", "gadgets"), ("GET", "/metrics", "/metrics"),
            ("POST", "/api/v1/namespaces/default/pods/web/binding", "pods/binding"),
            ("GET", "/api/v1/namespaces/kube-public/status/x/y", "status"),
        ])
    func unserved(_ method: String, _ path: String, _ name: String) async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let answer = try await api.request(method, path)
            #expect(answer.status == 404)
            #expect(answer.body["reason"] == "NotFound")
            #expect(answer.body["message"]?.string?.hasSuffix("the playground does not serve \(name)") == true)
        }
    }

    @Test("a list of another state than the present one is refused, never answered with this one")
    func listVersions() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let now = api.store.currentVersion
            for (query, status) in [
                ("limit=1", 200), ("resourceVersion=0", 200), ("resourceVersion=1", 200),
                ("resourceVersion=1&resourceVersionMatch=NotOlderThan", 200),
                ("resourceVersion=1&resourceVersionMatch=Exact", 410), ("resourceVersion=\(now + 10_000)", 504),
                ("resourceVersion=x", 400), ("continue=abc", 400),
            ] {
                let answer = try await api.request("GET", "/api/v1/namespaces?\(query)")
                #expect(answer.status == status, "\(query)")
            }
        }
    }

    @Test("a body that is too large is refused as such")
    func largeBody() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let answer = try await api.request(
                "POST", "/api/v1/namespaces/default/configmaps",
                body: ["data": ["a": .string(String(repeating: "x", count: 4 << 20))]])
            #expect(answer.status == 413)
            #expect(answer.body["reason"] == "RequestEntityTooLarge")
        }
    }

    @Test("errors are Status objects as recorded")
    func status() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let answer = try await api.request("GET", "/api/v1/namespaces/default/pods/nosuch")
            let recorded = try #require(FileTree.read("\(Recording.folder)/errors-pod-not-found.json"))
            #expect(answer.status == 404)
            #expect(answer.body == (try JSON(parsing: recorded)))
        }
    }
}
