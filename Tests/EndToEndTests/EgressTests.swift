import Glibc
import JSON
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

@Suite("Programs of this machine reach the cluster", .turn) struct EgressTests {
    /// Runs `body` with an egress by the pods behind each Service.
    private func run(
        _ scene: Scene, _ body: (Egress, _ variables: [String: String]) async throws -> Void
    ) async throws {
        try scene.project.configure(scene.configuration(["host": ["workload": "deployment/app"]]))
        let (loaded, problems) = Configuration.load(path: "\(scene.project.path)/loop.json")
        let configuration = try #require(loaded, "\(problems)")
        let architecture = try await scene.kubectl(
            ["get", "nodes", "-o", "jsonpath={.items[0].status.nodeInfo.architecture}"], scoped: false
        ).text
        let programs = Programs(leash: Built.leash, helpers: [architecture: Built.helper])
        let connection = try await ClusterConnection.open(configuration.cluster, programs: programs)
        let session = SessionRun(
            configuration: configuration,
            options: Session.Options(stateDirectory: scene.stateDirectory, programs: programs), emit: { _ in })
        let routes = session.endpointRoutes(connection) { _ in }
        let egress = Egress(
            names: ClusterNames(connection.client, namespace: scene.namespace), route: routes, emit: { _ in })
        do {
            try await body(egress, try await egress.start())
        } catch {
            await egress.end()
            await routes.end()
            await connection.close()
            throw error
        }
        await egress.end()
        await routes.end()
        await connection.close()
    }

    private func service(_ scene: Scene, _ name: String, port: Int64, target: Int64) async throws {
        let service: JSON = [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": .string(name)],
            "spec": [
                "selector": ["app": .string(name)],
                "ports": [["port": .integer(port), "targetPort": .integer(target)]],
            ],
        ]
        try await scene.kubectl(["apply", "-f", "-"], input: service.bytes)
    }

    @Test("a Service by its names, by both kinds of proxy and by a port, also after its pod was replaced")
    func names() async throws {
        try await Scene.run { scene in
            try await scene.deploy(ForwardTests.server)
            try await service(scene, "app", port: 8000, target: 8080)
            let old = try await scene.running()[0].name
            try await run(scene) { egress, variables in
                let variables = variables.merging(try await egress.needs([Dependency(name: "app", port: 8000)])) { $1 }
                let port = try #require(variables["HTTP_PROXY"]?.split(separator: ":").last)
                let local = try #require(variables["APP_SERVICE_HOST"])
                let localPort = try #require(variables["APP_SERVICE_PORT"])
                func page(_ arguments: [String]) async throws -> Output {
                    try await Child.run(Launch(["curl", "-sS", "-m", "60"] + arguments))
                }
                func ways(_ name: String) -> [[String]] {
                    [
                        ["--noproxy", "", "-x", "http://127.0.0.1:\(port)", "http://\(name):8000/"],
                        ["--noproxy", "", "--socks5-hostname", "127.0.0.1:\(port)", "http://\(name):8000/"],
                    ]
                }
                let names = ["app", "app.\(scene.namespace)", "app.\(scene.namespace).svc.cluster.local"]
                let all = names.flatMap(ways) + [["--noproxy", "*", "http://\(local):\(localPort)/"]]
                for way in all {
                    let output = try await page(way)
                    #expect(output.text == "\(old)\n", "\(way) \(output.errorText)")
                }
                try await scene.kubectl(["delete", "pod", old, "--wait=false"])
                let pods = try await scene.pods().until("another pod") { $0.contains { $0.succeeds(old) } }
                let new = try #require(pods.first { $0.succeeds(old) }).name
                for way in all {
                    // Until the Service's endpoints have followed.
                    while try await page(way).text != "\(new)\n" { try Task.checkCancellation() }
                }
            }
            let pods = try await scene.pods().until("one pod") { $0.count { $0.isRunning } == 1 }
            let running = pods.first { $0.isRunning }
            let pod = try #require(running)
            let left = try await scene.exec(pod.name, ["sh", "-c", "ls -a /tmp /dev/shm; ps"]).text
            #expect(!left.contains("loopd"), "\(left)")
        }
    }

    @Test(
        "psql reaches a PostgreSQL Service by a port of its own, and through SOCKS5",
        .enabled(if: Ability.isPlayground, "its pod runs this machine's programs, which the playground can"))
    func database() async throws {
        try await Scene.run { scene in
            try await DatabaseForwardTests.deploy(scene)
            try await run(scene) { egress, variables in
                let more = try await egress.needs([Dependency(name: "postgres", port: 5432)])
                let rewritten = egress.rewritten(["DATABASE_URL": "postgresql://app@postgres:5432/postgres"])
                let address = try #require(rewritten["DATABASE_URL"])
                #expect(address.hasPrefix("postgresql://app@127.0.0."), "\(address) \(more)")
                let direct = try await Child.succeed(["psql", address, "-Atc", "select 6 * 7"])
                #expect(direct.text == "42\n")
                let port = try #require(variables["HTTP_PROXY"]?.split(separator: ":").last)
                try scene.project.write(
                    "proxychains.conf", "strict_chain\nquiet_mode\nproxy_dns\n[ProxyList]\nsocks5 127.0.0.1 \(port)\n")
                let socks = try await Child.succeed([
                    "proxychains4", "-f", "\(scene.project.path)/proxychains.conf", "psql", "-h", "postgres", "-U",
                    "app",
                    "-d", "postgres", "-Atc", "select 'by socks'",
                ])
                #expect(socks.text == "by socks\n")
            }
        }
    }
}
