import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

@Suite("The Kubernetes API", .turn)
struct KubeClientTests {
    @Test("a list is read page by page")
    func pages() async throws {
        try await withAPI({ exchange in
            #expect(exchange.request.path == ["api", "v1", "namespaces", "a b", "pods"])
            #expect(exchange.query("labelSelector") == "app in (x,y)")
            let page = Int(exchange.query("continue") ?? "0") ?? 0
            let more: JSON = page < 2 ? .string("\(page + 1)") : ""
            try await exchange.answer([
                "metadata": ["resourceVersion": "9", "continue": more], "items": [.integer(Int64(page))],
            ])
        }) { client, _ in
            let list = try await client.list(.init(.pods, namespace: "a b", labels: "app in (x,y)"))
            #expect(list.items == [0, 1, 2])
            #expect(list.resourceVersion == "9")
        }
    }

    @Test("what may be asked again is, when the connection breaks in its answer; what changes something is not")
    func brokenAnswer() async throws {
        let asked = Mutex<[String]>([])
        try await withAPI({ exchange in
            let method = exchange.request.method
            let count = asked.withLock { asked in
                asked.append(method)
                return asked.count { $0 == method }
            }
            if count > 1 { return try await exchange.answer(["metadata": ["name": "a"]]) }
            // Begun, and never brought to its end.
            try await exchange.startBody(HTTPResponse(200))
            try await exchange.write([UInt8(ascii: "{")])
            throw CancellationError()
        }) { client, _ in
            let read = try await client.get(.pods, "a", namespace: "d")
            #expect(read.at("metadata", "name") == "a")
            let applied = try await client.apply(.configMaps, "a", namespace: "d", ["kind": "ConfigMap"], manager: "m")
            #expect(applied.at("metadata", "name") == "a")
            await #expect(throws: HTTPError.self) {
                _ = try await client.create(.configMaps, namespace: "d", ["metadata": ["name": "a"]])
            }
        }
        #expect(asked.withLock { $0 } == ["GET", "GET", "PATCH", "PATCH", "POST"])
    }

    @Test("a page that has expired makes the list start again, whole")
    func expiredPage() async throws {
        try await withAPI({ exchange in
            if exchange.query("continue") != nil {
                try await exchange.fail(410, "Expired", "The provided continue parameter is too old")
            } else if exchange.query("limit") != nil {
                try await exchange.answer(["metadata": ["continue": "x"], "items": [1]])
            } else {
                try await exchange.answer(["metadata": ["resourceVersion": "5"], "items": [1, 2]])
            }
        }) { client, _ in
            let list = try await client.list(.init(.deployments))
            #expect(list.items == [1, 2])
        }
    }

    @Test("a recorded refusal keeps its reason, code and message")
    func refusal() async throws {
        let recording = try Recording.json("errors-pod-not-found.json")
        try await withAPI({ try await $0.answer(404, recording) }) { client, _ in
            let error = await #expect(throws: KubeError.self) {
                try await client.get(.pods, "nosuch", namespace: "default")
            }
            #expect(error?.reason == "NotFound")
            #expect(error?.isNotFound == true)
            #expect(error?.message == recording["message"]?.string)
            #expect(error?.description.hasPrefix("get pods/nosuch: ") == true)
        }
    }

    @Test("a server that is too busy is asked again when it says", arguments: [429, 503])
    func retryAfter(code: Int) async throws {
        let left = Mutex(3)
        try await withAPI({ exchange in
            let body = try await exchange.body()
            #expect(body == Array("{\"a\":1}".utf8))
            let isBusy = left.withLock { left in
                left -= 1
                return left > 0
            }
            guard isBusy else { return try await exchange.answer(["b": 2]) }
            try await exchange.respond(HTTPResponse(code, headers: ["Retry-After": "0"]), body: [65])
        }) { client, _ in
            let answer = try await client.patch(.pods, "p", namespace: "d", as: .merge, ["a": 1])
            #expect(answer == ["b": 2])
        }
        // One that never has time, and one that does not say when, are told.
        for headers in [["Retry-After": "0"], [:]] as [HTTPHeaders] {
            try await withAPI({ try await $0.respond(HTTPResponse(code, headers: headers), body: [65]) }) { client, _ in
                let error = await #expect(throws: KubeError.self) { try await client.version() }
                #expect(error?.code == code)
            }
        }
    }

    @Test("an answer that is no Status is shown as it is")
    func plainRefusal() async throws {
        try await withAPI({ try await $0.respond(HTTPResponse(502), body: Array("bad\ngateway\n".utf8)) }) {
            client, _ in
            await #expect(
                throws: KubeError(code: 502, reason: "", message: "gateway", attempt: "ask for the version")
            ) {
                try await client.version()
            }
        }
        try await withAPI({ try await $0.respond(HTTPResponse(200), body: Array("<html>".utf8)) }) { client, _ in
            await #expect(throws: KubeError.self) { try await client.version() }
        }
    }

    @Test(
        "each kind of patch has its media type",
        arguments: [
            (KubeClient.PatchKind.merge, "application/merge-patch+json"),
            (.strategic, "application/strategic-merge-patch+json"), (.json, "application/json-patch+json"),
        ])
    func patches(kind: KubeClient.PatchKind, type: String) async throws {
        try await withAPI({ exchange in
            #expect(exchange.request.method == "PATCH")
            #expect(exchange.request.headers["Content-Type"] == type)
            #expect(exchange.request.path == ["apis", "apps", "v1", "namespaces", "d", "deployments", "web", "scale"])
            #expect(exchange.query("dryRun") == "All")
            try await exchange.answer(try JSON(parsing: try await exchange.body()))
        }) { client, _ in
            let patch: JSON = ["spec": ["replicas": 2]]
            let answer = try await client.patch(
                .deployments, "web", namespace: "d", part: "scale", as: kind, patch, dryRun: true)
            #expect(answer == patch)
        }
    }

    @Test("objects are created and deleted")
    func createAndDelete() async throws {
        let methods = Mutex<[String]>([])
        try await withAPI({ exchange in
            methods.withLock { $0.append("\(exchange.request.method) \(exchange.request.target)") }
            let body = try JSON(parsing: try await exchange.body())
            if exchange.request.method == "DELETE" { #expect(body["gracePeriodSeconds"] == 0) }
            try await exchange.answer(201, body)
        }) { client, _ in
            let object: JSON = ["metadata": ["name": "x"]]
            #expect(try await client.create(.namespaces, object) == object)
            try await client.delete(.pods, "p", namespace: "d", gracePeriodSeconds: 0)
            #expect(
                methods.withLock { $0 } == [
                    "POST /api/v1/namespaces?fieldManager=loopd", "DELETE /api/v1/namespaces/d/pods/p",
                ])
        }
    }

    @Test("a followed log arrives as it is written")
    func log() async throws {
        let (signals, next) = AsyncStream<Void>.makeStream()
        try await withAPI({ exchange in
            #expect(exchange.query("follow") == "true")
            #expect(exchange.query("container") == "web")
            try await exchange.startBody(HTTPResponse(200))
            try await exchange.write([65])
            var iterator = signals.makeAsyncIterator()
            await iterator.next()
            try await exchange.write([66])
            try await exchange.finish()
        }) { client, _ in
            let log = try await client.log(pod: "p", namespace: "d", container: "web", follow: true)
            #expect(try await log.read() == [65])
            next.yield()
            #expect(try await log.read() == [66])
            #expect(try await log.read() == [])
        }
    }

    @Test("a node's platform comes from its labels")
    func platform() async throws {
        let node = try #require(try Recording.json("nodes.json")["items"]?[0])
        try await withAPI({ try await $0.answer(node) }) { client, _ in
            let platform = try await client.get(.nodes, "lab").nodePlatform
            #expect(platform.architecture == "amd64")
            #expect(platform.system == "linux")
        }
    }
}
