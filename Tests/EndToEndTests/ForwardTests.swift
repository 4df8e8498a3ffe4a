import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Ports of this machine lead to pods", .turn) struct ForwardTests {
    /// A server whose page is its pod's name.
    static var server: Workload {
        Workload(
            container: [
                "command": [
                    "sh", "-c",
                    "mkdir -p /tmp/www && hostname > /tmp/www/index.html && exec busybox httpd -f -p 8080 -h /tmp/www",
                ],
                "ports": [["containerPort": 8080]],
                "readinessProbe": ["tcpSocket": ["port": 8080], "periodSeconds": 1],
            ])
    }

    private func configure(_ scene: Scene) throws {
        try scene.project.configure(scene.configuration(["web": ["workload": "deployment/app"]]))
    }

    /// The port that loopd chose for a target.
    private func port(_ loopd: Loopd) async throws -> String {
        let event = try await loopd.event("forwarding", limit: .seconds(60))
        let local = try #require(event["local"]?.string)
        #expect(local.hasPrefix("127.0.0.1:"))
        return try #require(local.split(separator: ":").last.map(String.init))
    }

    private func page(_ port: String) async throws -> Output {
        try await Child.run(Launch(["curl", "-sS", "--noproxy", "*", "-m", "30", "http://localhost:\(port)/"]))
    }

    @Test("a forward survives its pod, keeps its port, and leaves nothing in the pods")
    func replacement() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Self.server)
            try configure(scene)
            let old = try await scene.running()[0].name
            let loopd = try await scene.loopd("forward", "web", "0:8080")
            let port = try await port(loopd)
            let first = try await page(port)
            #expect(first.text.trimmed == old, "\(first.errorText)\(loopd.transcript)")
            try await scene.kubectl(["delete", "pod", old, "--wait=false"])
            let pods = try await scene.pods().until("another pod") { $0.contains { $0.succeeds(old) } }
            let new = try #require(pods.first { $0.succeeds(old) }).name
            // Until the old one has gone it may answer.
            var second = try await page(port)
            while second.text.trimmed != new {
                #expect(second.text.trimmed == old || second.text == "", "\(second.text)")
                try Task.checkCancellation()
                second = try await page(port)
            }
            let helpers = try await scene.exec(new, ["sh", "-c", "ls -a /tmp /dev/shm"]).text
            #expect(helpers.contains("loopd"), "\(helpers)")
            #expect(try await loopd.stop().status == .exited(130))
            let after = try await scene.exec(new, ["sh", "-c", "ls -a /tmp /dev/shm; ps"]).text
            #expect(!after.contains("loopd"), "\(after)")
        }
    }

    @Test("in a rollout the port leads to the new revision once that is ready, and to the one before until then")
    func rollout() async throws {
        try await Scene.run { scene in
            var workload = Self.server
            try await scene.deploy(workload)
            try configure(scene)
            let old = try await scene.running()[0].name
            let loopd = try await scene.loopd("forward", "web", "0:8080")
            let port = try await port(loopd)
            #expect(try await page(port).text.trimmed == old)
            workload.container = workload.container.merged(with: [
                "readinessProbe": ["tcpSocket": ["port": 9999], "periodSeconds": 1]
            ])
            try await scene.deploy(workload, wait: false)
            try await scene.pods().until("a pod that never gets ready") {
                $0.contains { $0.name != old && $0.isRunning }
            }
            #expect(try await page(port).text.trimmed == old, "\(loopd.transcript)")
            workload.container = Self.server.container.merged(with: ["env": [["name": "REVISION", "value": "3"]]])
            try await scene.deploy(workload)
            let new = try #require(try await scene.running(1).first).name
            var answer = try await page(port)
            while answer.text.trimmed != new {
                try Task.checkCancellation()
                answer = try await page(port)
            }
            try await loopd.stop()
        }
    }

    @Test("a taken port is told with the program that has it, and the exit code is 1")
    func taken() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Self.server)
            try configure(scene)
            let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
            defer { listener.close() }
            guard case .tcp(_, let port) = listener.endpoint else { return }
            let loopd = try await scene.loopd("forward", "web", "\(port):8080")
            #expect(try await loopd.end() == .exited(1))
            let failed = try await loopd.event("failed")
            let summary = try #require(failed["summary"]?.string)
            #expect(summary.hasPrefix("port \(port) is taken by "), "\(summary)")
            #expect(summary.hasSuffix("(process \(getpid()))"), "\(summary)")
        }
    }

    @Test("a port that nobody listens at is told with those that the containers declare")
    func nobody() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Self.server)
            try configure(scene)
            let loopd = try await scene.loopd("forward", "web", "0:81")
            let port = try await port(loopd)
            #expect(try await !page(port).status.isSuccess)
            let notice = try await loopd.event("notice") { $0["text"]?.string?.contains("port 81") != false }
            #expect(notice.text.contains("nothing listens at port 81; its containers declare 8080"), "\(notice.text)")
            try await loopd.stop()
        }
    }

    @Test("a workload that is not there is an error, and bad ports are bad usage")
    func absent() async throws {
        try await Scene.run { scene in
            try configure(scene)
            let loopd = try await scene.loopd("forward", "web", "0:80")
            #expect(try await loopd.end(limit: .seconds(60)) == .exited(1))
            for ports in ["53/udp", "x", "1:2:3"] {
                let bad = try await scene.loopd("forward", "web", ports)
                #expect(try await bad.end() == .exited(2), "\(bad.transcript)")
            }
        }
    }
}
