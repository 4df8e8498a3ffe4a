import Glibc
import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

@Suite("Ways out of the cluster", .timeLimit(.minutes(5)))
struct WayOutTests {
    init() { #expect(OrphanReaper.isStarted) }

    static let hasPrograms = ["pasta", "iptables"].allSatisfy { Preflight.program($0) != nil }

    @Test(
        "pods reach the machine's own loopback at one address, several at a time", .onRunc,
        .enabled(if: Disk.exists("/bin/busybox"), "busybox is not installed"),
        .enabled(if: hasPrograms, "pasta (passt) or iptables is not installed"))
    func loopback() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let port) = listener.endpoint else { return }
        // Each answer comes when both have asked: the connections are there at the same time.
        let serving = Task {
            var clients: [Stream] = []
            while clients.count < 2 { clients.append(try await listener.accept()) }
            for client in clients {
                let body = [UInt8](repeating: 65, count: 300_000)
                try await client.write(Array("HTTP/1.0 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body)
                client.shutdownWrite()
                while !(try await client.read()).isEmpty {}
                client.close()
            }
        }
        defer { listener.close() }
        try await Laboratory.run(hasWayOut: true) { lab in
            #expect(lab.node.notes == [])
            let ask = "busybox wget -q -O - http://\(WayOut.host):\(port)/ | wc -c; exec sleep 1000"
            for name in ["one", "two"] { try lab.create(name, spec: ["containers": [Laboratory.script(ask)]]) }
            for name in ["one", "two"] {
                _ = try await lab.untilReady(name)
                while try await lab.log(name).text.isEmpty {}
                #expect(try await lab.log(name).text == "300000\n")
            }
        }
        try await serving.value
    }

    @Test(
        "a Service with Endpoints that somebody wrote leads out of the cluster", .onRunc,
        .enabled(if: Disk.exists("/bin/busybox"), "busybox is not installed"),
        .enabled(if: hasPrograms, "pasta (passt) or iptables is not installed"))
    func outside() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let port) = listener.endpoint else { return }
        let serving = Task {
            while true {
                let client = try await listener.accept()
                try await client.write(Array("from the machine\n".utf8))
                client.close()
            }
        }
        defer {
            serving.cancel()
            listener.close()
        }
        try await PodNetworkTests.run(hasWayOut: true) { lab in
            try PodNetworkTests.service("machine", ["ports": [["port": 80]]], in: lab)
            _ = try lab.store.create(
                .endpoints,
                [
                    "metadata": ["name": "machine", "namespace": "default"],
                    "subsets": [
                        [
                            "addresses": [["ip": .string("\(WayOut.host)")]],
                            "ports": [["port": .integer(Int64(port)), "protocol": "TCP"]],
                        ]
                    ],
                ])
            try lab.create("client", spec: ["containers": [PodNetworkTests.idle]])
            _ = try await lab.untilReady("client")
            try await PodNetworkTests.until("client", "busybox nc machine 80 < /dev/null", in: lab) {
                $0 == "from the machine\n"
            }
        }
    }

    @Test("names of the rest of the world are asked of the machine's own server, by UDP and by TCP", .onRunc)
    func forwarding() async throws {
        let server = IPv4(127, 77, 0, 53)
        let datagrams = try DatagramSocket(binding: server, port: 53)
        let listener = try Listener(.tcp(host: "\(server)", port: 53))
        let serving = Task {
            await withDiscardingTaskGroup { group in
                group.addTask {
                    while let (bytes, peer) = try? await datagrams.receive() { datagrams.send(bytes + [1], to: peer) }
                }
                group.addTask {
                    while let client = try? await listener.accept() {
                        let message = (try? await client.read()) ?? []
                        try? await client.write([0, message[1] + 1] + message.dropFirst(2) + [2])
                        client.close()
                    }
                }
            }
        }
        defer { serving.cancel() }
        try await Laboratory.run { lab in
            let file = "\(lab.folder)/resolv.conf"
            try Disk.write(Array("# none\nnameserver \(server)\noptions ndots:1\n".utf8), to: file)
            let names = NameServer(
                names: ClusterNames(lab.store), network: try #require(lab.node.context.network), resolver: file,
                patience: .seconds(60))
            let query = NameTests.query("example.com")
            #expect(await names.answer(to: query, overTCP: false) == query + [1])
            #expect(await names.answer(to: query, overTCP: true) == query + [2])
            #expect(await names.answer(to: [1, 2, 3], overTCP: false) == nil)
            // A name of the cluster is nobody else's business.
            let own = await names.answer(to: NameTests.query("web.default.svc.cluster.local"), overTCP: false)
            #expect(own?[3] == 0x83)
            try Disk.write([], to: file)
            let failed = await names.answer(to: query, overTCP: false)
            #expect(failed?.prefix(4) == [0x12, 0x34, 0x81, 0x82])
        }
        datagrams.close()
        listener.close()
    }
}
