import Glibc
import JSON
import Reactor
import Testing

@testable import Playground

@Suite(
    "Networks of pods, on runc", .onRunc, .enabled(if: Disk.exists("/bin/busybox"), "busybox is not installed"),
    .serialized, .timeLimit(.minutes(5)))
struct PodNetworkTests {
    init() { #expect(OrphanReaper.isStarted) }

    /// A container that serves its pod's name by HTTP, on the same port in every pod.
    static let web: JSON = {
        var container = Laboratory.script(
            "mkdir /tmp/www; hostname > /tmp/www/index.html; touch /tmp/ready; "
                + "exec busybox httpd -f -p 8080 -h /tmp/www")
        container["ports"] = [["name": "http", "containerPort": 8080, "protocol": "TCP"]]
        container["readinessProbe"] = ["httpGet": ["port": "http"], "periodSeconds": 1]
        return container
    }()

    static let idle = Laboratory.script("exec sleep 1000")

    /// Runs a laboratory with the controller of endpoints.
    static func run(
        folder: String? = nil, keeping: Bool = false, hasWayOut: Bool = false,
        _ body: @Sendable (Laboratory) async throws -> Void
    ) async throws {
        try await Laboratory.run(folder: folder, keeping: keeping, hasWayOut: hasWayOut) { lab in
            let controller = Task { await EndpointsController(store: lab.store).run() }
            defer { controller.cancel() }
            try await body(lab)
        }
    }

    @discardableResult
    static func service(_ name: String, _ spec: JSON, in lab: Laboratory) throws -> String {
        var object: JSON = ["metadata": ["name": .string(name), "namespace": "default"], "spec": spec]
        object.edit("spec", ServiceAdmission.defaults)
        try ServiceAddresses(of: .service, in: lab.store).complete(&object)
        return try lab.store.create(.service, object).at("spec", "clusterIP")?.string ?? ""
    }

    /// Waits until so many endpoints of a Service are ready.
    static func until(_ count: Int, ready name: String, in lab: Laboratory) async throws {
        while ServiceEndpoint.of("default", name, in: lab.store).filter(\.isReady).count != count {
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Runs a command in a pod again and again, until its output is as it should be.
    static func until(
        _ name: String, _ command: String, in lab: Laboratory, says isRight: @Sendable (String) -> Bool
    ) async throws {
        while !isRight(try await lab.output(name, ["sh", "-c", command])) {
            // Each is a process of its own: others want the machine, too.
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    private func address(_ pod: JSON) -> String { pod.at("status", "podIP")?.string ?? "" }

    @Test("two pods listen on the same port, and a third one reaches both by their Service's name, in turn")
    func byName() async throws {
        try await Self.run { lab in
            try Self.service(
                "web", ["selector": ["app": "web"], "ports": [["port": 80, "targetPort": "http"]]], in: lab)
            try Self.service(
                "webs",
                ["selector": ["app": "web"], "clusterIP": "None", "ports": [["port": 80, "targetPort": "http"]]],
                in: lab)
            for name in ["one", "two"] {
                try lab.create(name, spec: ["containers": [Self.web]], metadata: ["labels": ["app": "web"]])
            }
            try lab.create("client", spec: ["containers": [Self.idle]])
            let addresses = [address(try await lab.untilReady("one")), address(try await lab.untilReady("two"))]
            #expect(Set(addresses).count == 2)
            #expect(addresses.allSatisfy { $0.hasPrefix("10.244.0.") })
            _ = try await lab.untilReady("client")
            try await Self.until(2, ready: "web", in: lab)
            var seen: Set<String> = []
            // The proxy may know the second pod a moment later than its list does.
            while seen.count < 2 {
                seen.insert(try await lab.output("client", ["busybox", "wget", "-q", "-O", "-", "http://web/"]))
            }
            #expect(seen == ["one\n", "two\n"])
            // Without an address of its own, a Service is its pods.
            let found = try await lab.output("client", ["getent", "ahostsv4", "webs.default.svc.cluster.local"])
            let streams = found.split(separator: "\n").filter { $0.contains("STREAM") }
            #expect(Set(streams.compactMap { $0.split(separator: " ").first.map(String.init) }) == Set(addresses))
            #expect(try await lab.output("client", ["getent", "hosts", "nosuch.default.svc.cluster.local"]) == "")
            let variables = try await lab.output("client", ["env"])
            #expect(variables.contains("WEB_SERVICE_PORT=80\n"))
        }
    }

    @Test("a pod that is not ready gets no connections, and without any the Service refuses them")
    func readiness() async throws {
        try await Self.run { lab in
            var container = Self.web
            container["readinessProbe"] = ["exec": ["command": ["test", "-e", "/tmp/ready"]], "periodSeconds": 1]
            try Self.service(
                "web", ["selector": ["app": "web"], "ports": [["port": 80, "targetPort": 8080]]], in: lab)
            try lab.create("web", spec: ["containers": [container]], metadata: ["labels": ["app": "web"]])
            try lab.create("client", spec: ["containers": [Self.idle]])
            _ = try await lab.untilReady("web")
            _ = try await lab.untilReady("client")
            let ask = "busybox wget -q -O - http://web/ 2>&1"
            try await Self.until("client", ask, in: lab) { $0 == "web\n" }
            _ = try await lab.output("web", ["rm", "/tmp/ready"])
            try await Self.until("client", ask, in: lab) { $0.contains("Connection refused") }
            _ = try await lab.output("web", ["touch", "/tmp/ready"])
            try await Self.until("client", ask, in: lab) { $0 == "web\n" }
            try lab.delete("web")
            try await Self.until("client", ask, in: lab) { $0.contains("Connection refused") }
        }
    }

    @Test("a connection through a Service carries all bytes, and its end in one direction before the other's")
    func halfClose() async throws {
        try await Self.run { lab in
            let echo = Laboratory.script("exec busybox nc -ll -p 9000 -e cat")
            let address = try Self.service("echo", ["selector": ["app": "echo"], "ports": [["port": 9000]]], in: lab)
            try lab.create("echo", spec: ["containers": [echo]], metadata: ["labels": ["app": "echo"]])
            _ = try await lab.untilReady("echo")
            let network = try #require(lab.node.context.network)
            let sent = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 256) }
            var received: [UInt8] = []
            while received.isEmpty {
                // Refused until the proxy knows the pod, and nc listens.
                guard
                    let stream = try? await Stream.connect(
                        to: .tcp(host: address, port: 9000), in: network.node)
                else {
                    try await Task.sleep(for: .milliseconds(10))
                    continue
                }
                defer { stream.close() }
                async let writing: Void = {
                    try? await stream.write(sent)
                    stream.shutdownWrite()
                }()
                while let part = try? await stream.read(), !part.isEmpty { received += part }
                await writing
            }
            #expect(received.count == sent.count && received == sent)
        }
    }

    @Test("a pod knows its address, by its environment, its hosts file and its names")
    func ownAddress() async throws {
        try await Self.run { lab in
            var container = Laboratory.script("echo $IP $NODE; exec sleep 1000")
            container["env"] = [
                ["name": "IP", "valueFrom": ["fieldRef": ["fieldPath": "status.podIP"]]],
                ["name": "NODE", "valueFrom": ["fieldRef": ["fieldPath": "status.hostIP"]]],
            ]
            try Self.service("db", ["selector": ["app": "db"], "clusterIP": "None", "ports": [["port": 1]]], in: lab)
            let spec: JSON = [
                "containers": [container], "hostname": "db-0", "subdomain": "db",
                "hostAliases": [["ip": "10.1.2.3", "hostnames": ["far", "farther"]]],
                "dnsConfig": ["searches": ["example.org"], "options": [["name": "ndots", "value": "2"]]],
            ]
            try lab.create("db-0", spec: spec, metadata: ["labels": ["app": "db"]])
            let own = address(try await lab.untilReady("db-0"))
            while try await lab.log("db-0").text != "\(own) 10.244.0.1\n" {}
            let hosts = try await lab.output("db-0", ["cat", "/etc/hosts"])
            #expect(hosts.contains("\(own)\tdb-0.db.default.svc.cluster.local\tdb-0\n"))
            #expect(hosts.contains("# Entries added by HostAliases.\n10.1.2.3\tfar\tfarther\n"))
            let resolver = try await lab.output("db-0", ["cat", "/etc/resolv.conf"])
            #expect(resolver.hasPrefix("search default.svc.cluster.local svc.cluster.local cluster.local "))
            #expect(
                resolver.contains("example.org\nnameserver 10.96.0.10\n") && resolver.hasSuffix("options ndots:2\n"))
            try await Self.until(1, ready: "db", in: lab)
            let name = "db-0.db.default.svc.cluster.local"
            let found = try await lab.output("db-0", ["busybox", "nslookup", name])
            #expect(found.contains(own), "\(found)")
        }
    }

    @Test("with hostNetwork a pod is in the machine's network, and its Service leads there")
    func hostNetwork() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let port) = listener.endpoint else { return }
        let serving = Task {
            while true {
                let client = try await listener.accept()
                try await client.write(Array("served\n".utf8))
                client.close()
            }
        }
        defer {
            serving.cancel()
            listener.close()
        }
        try await Self.run { lab in
            try Self.service(
                "web", ["selector": ["app": "web"], "ports": [["port": .integer(Int64(port))]]], in: lab)
            let spec: JSON = ["hostNetwork": true, "containers": [Self.idle]]
            try lab.create("web", spec: spec, metadata: ["labels": ["app": "web"]])
            try lab.create("client", spec: ["containers": [Self.idle]])
            let pod = try await lab.untilReady("web")
            _ = try await lab.untilReady("client")
            #expect(pod.at("status", "podIP") == "127.0.0.1" && pod.at("status", "hostIP") == "127.0.0.1")
            let networks = [
                try await lab.output("web", ["readlink", "/proc/self/ns/net"]),
                try await lab.output("client", ["readlink", "/proc/self/ns/net"]),
            ]
            var link = [CChar](repeating: 0, count: 64)
            #expect(readlink("/proc/self/ns/net", &link, 63) > 0)
            let own = String(decoding: link.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) + "\n"
            #expect(networks[0] == own && networks[1] != own)
            #expect(!(try await lab.output("web", ["cat", "/etc/resolv.conf"])).contains("10.96.0.10"))
            // What listens on the machine's loopback is the pod's there.
            try await Self.until("client", "busybox nc web \(port) < /dev/null", in: lab) { $0 == "served\n" }
        }
    }

    @Test("the address of a pod that has come to its end is free again")
    func finished() async throws {
        try await Self.run { lab in
            try lab.create("job", spec: ["restartPolicy": "Never", "containers": [Laboratory.script("true")]])
            let pod = try await lab.until("job", "ends") { $0.at("status", "phase") == "Succeeded" }
            #expect(address(pod).hasPrefix("10.244.0."))
            let file = lab.node.context.layout.network(ofPod: pod.at("metadata", "uid")?.string ?? "")
            while !Mounts.points(below: file).isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
    }

    @Test("a playground that was killed leaves pods with their network, and the next one serves it again")
    func restart() async throws {
        let folder = "/tmp/loopd-node-\(Identifier.random(bytes: 6))"
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
            try await PodNetworkTests.run(folder: folder, keeping: true) { lab in
                try PodNetworkTests.service(
                    "web", ["selector": ["app": "web"], "ports": [["port": 80, "targetPort": 8080]]], in: lab)
                try lab.create(
                    "web", spec: ["containers": [PodNetworkTests.web]], metadata: ["labels": ["app": "web"]])
                try lab.create("client", spec: ["containers": [PodNetworkTests.idle]])
                _ = try await lab.untilReady("web")
                _ = try await lab.untilReady("client")
                kill(getpid(), SIGKILL)
            }
        }
        try await Self.run(folder: folder) { lab in
            let before = try #require(lab.store.get(.pod, "default", "web"))
            try await Self.until("client", "busybox wget -q -O - http://web/", in: lab) { $0 == "web\n" }
            try lab.create("late", spec: ["containers": [Self.idle]])
            let late = try await lab.untilReady("late")
            let after = try #require(lab.store.get(.pod, "default", "web"))
            #expect(address(after) == address(before))
            #expect(after.at("status", "containerStatuses")?[0]?["restartCount"] == 0)
            #expect(address(late) != address(after))
        }
    }
}
