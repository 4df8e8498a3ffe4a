import Glibc
import HTTP
import JSON
@testable import LoopServer
import Reactor
import Testing

@Suite("kubectl proxy", .turn)
struct KubectlProxyTests {
    /// A proxy to an API server of the test's own, behind a path.
    private func withProxy(
        _ handler: @escaping @Sendable (HTTPExchange) async throws -> Void,
        _ body: (KubectlProxy, KubeClient) async throws -> Void
    ) async throws {
        try await withAPI(handler) { _, endpoint in
            let scratch = try Scratch()
            let config = try scratch.kubeconfig(server: "http://\(endpoint)/clusters/one", contexts: ["kind-test"])
            var cluster = Cluster()
            cluster.kubeconfig = config
            let context = try await KubeContext.resolve(cluster, kubectl: try Kubectl.find())
            let proxy = try await KubectlProxy.start(context, programs: Programs.find())
            do {
                try await body(proxy, KubeClient(proxy))
            } catch {
                await proxy.stop()
                throw error
            }
            await proxy.stop()
        }
    }

    private static let api: @Sendable (HTTPExchange) async throws -> Void = { exchange in
        let path = exchange.request.path
        guard path.starts(with: ["clusters", "one"]) else { return try await exchange.fail(404, "NotFound", "outside") }
        switch path.last {
        case "version": try await exchange.answer(["gitVersion": "v1.36.2"])
        case "exec":
            let socket = try await exchange.upgrade(protocol: exchange.offeredProtocols.first)
            guard let message = try await socket.receive() else { return }
            try await socket.send(channel: 1, Array(message.bytes.dropFirst()))
            try await socket.send(channel: 3, Array(#"{"status":"Success"}"#.utf8))
            await socket.close()
        case "pods" where exchange.query("watch") != nil:
            try await exchange.startBody(HTTPResponse(200))
            try await exchange.write(Array("{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"b\"}}}\n".utf8))
            try await Task.sleep(for: .seconds(3600))
        default:
            try await exchange.answer(["metadata": ["resourceVersion": "1"], "items": []])
        }
    }

    @Test("requests, watches and exec pass through it to a server behind a path")
    func passesThrough() async throws {
        try await withProxy(KubectlProxyTests.api) { proxy, client in
            #expect(try await client.version()["gitVersion"] == "v1.36.2")

            let watch = ResourceWatch(client, .init(.pods, namespace: "d"))
            let running = Task { await watch.run() }
            #expect(await watch.next() == .synced([]))
            #expect(await watch.next() == .changed(["metadata": ["name": "b"]]))
            running.cancel()
            await running.value

            let bytes = [UInt8](repeating: 7, count: 1_000_000)
            let session = try await ExecSession.open(
                client, .init(namespace: "d", pod: "p", container: "c", command: ["cat"]))
            try await session.write(bytes)
            var echoed: [UInt8] = []
            while case .standardOutput(let some)? = try await session.next() { echoed += some }
            #expect(echoed == bytes)
            #expect(session.result?.exitCode == 0)
        }
    }

    @Test("a killed proxy comes back at the same place, and a watch goes on")
    func restart() async throws {
        try await withProxy(KubectlProxyTests.api) { proxy, client in
            let watch = ResourceWatch(client, .init(.pods, namespace: "d"), firstPause: .milliseconds(10))
            let running = Task { await watch.run() }
            #expect(await watch.next() == .synced([]))
            #expect(await watch.next() != nil)
            let first = try #require(proxy.pid)
            // The leash has one child: kubectl.
            let children = try await Child.run(Launch(["cat", "/proc/\(first)/task/\(first)/children"])).text
            let kubectl = try #require(children.split(separator: " ").compactMap { Int32($0) }.first)
            #expect(kill(kubectl, SIGKILL) == 0)
            var isBack = false
            while !isBack, let change = await watch.next() {
                if case .synced = change { isBack = true }
            }
            #expect(isBack)
            #expect(proxy.pid != first)
            #expect(try await client.version()["gitVersion"] == "v1.36.2")
            running.cancel()
            await running.value
        }
    }

    @Test("stopping ends the process and removes the folder")
    func stop() async throws {
        let scratch = try Scratch()
        let config = try scratch.kubeconfig(server: "http://127.0.0.1:1", contexts: ["kind-test"])
        var cluster = Cluster()
        cluster.kubeconfig = config
        let context = try await KubeContext.resolve(cluster, kubectl: try Kubectl.find())
        let proxy = try await KubectlProxy.start(context, programs: Programs.find())
        let pid = try #require(proxy.pid)
        guard case .unix(let socket) = proxy.endpoint else { return #expect(Bool(false)) }
        #expect(access(socket, F_OK) == 0)
        // Nothing listens at the server's address: the proxy says so itself.
        await #expect(throws: KubeError.self) { try await KubeClient(proxy).version() }
        await proxy.stop()
        #expect(kill(pid, 0) != 0)
        #expect(access(socket, F_OK) != 0)
        await proxy.stop()
    }

    @Test("why a cluster cannot be reached is one line in plain words, with what a login plugin said")
    func loginFails() async throws {
        let scratch = try Scratch()
        let plugin = try scratch.write("login", "#!/bin/sh\necho 'your session has expired' >&2\nexit 1\n", mode: 0o755)
        let config = try scratch.write(
            "plugin.yaml",
            """
            {"apiVersion": "v1", "kind": "Config", "current-context": "kind-x",
             "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
             "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
               "command": "\(plugin)", "interactiveMode": "IfAvailable"}}}],
             "contexts": [{"name": "kind-x", "context": {"cluster": "c", "user": "u"}}]}
            """)
        var cluster = Cluster()
        cluster.kubeconfig = config
        let error = await #expect(throws: ClusterError.self) {
            try await ClusterConnection.open(cluster, programs: Programs.find())
        }
        let summary = error?.summary ?? ""
        #expect(summary.contains("getting credentials: exec: executable \(plugin) failed with exit code 1"))
        #expect(summary.hasSuffix("(your session has expired)") && !summary.contains("proxy_server.go"), "\(summary)")
        #expect(error?.nextStep.contains("--context kind-x get --raw /version") == true)
    }

    @Test(
        "lines of kubectl's log are told from what it says",
        arguments: [
            ("E1121 10:54:56.900404    2897 proxy_server.go:147] Error while proxying request: EOF", true),
            ("W1121 10:54:56.900404       1 transport.go:1] x", true), ("error: no such thing", false),
            ("Exxxx log in at https://x", false), ("E1234", false), ("", false),
        ])
    func logLines(line: String, isLog: Bool) {
        #expect(KubectlProxy.isLog(line) == isLog)
    }

    @Test("a proxy that does not start says why, and leaves nothing behind")
    func doesNotStart() async throws {
        let scratch = try Scratch()
        let program = try scratch.write("kubectl", "#!/bin/sh\necho 'error: no such thing' >&2\nexit 1\n", mode: 0o755)
        let context = KubeContext(name: "kind-x", server: "s", kubectl: Kubectl(program: program, context: "kind-x"))
        let parent = try Scratch()
        let error = await #expect(throws: ClusterError.self) {
            try await KubectlProxy.start(context, programs: Programs.find(), parents: [parent.path])
        }
        #expect(error?.kind == .unreachable)
        #expect(error?.summary.contains("\"kind-x\"") == true)
        #expect(rmdir(parent.path) == 0)

        let noLeash = await #expect(throws: ClusterError.self) {
            try await KubectlProxy.start(context, programs: Programs(leash: nil, helpers: [:]))
        }
        #expect(noLeash?.kind == .leashMissing)
    }
}
