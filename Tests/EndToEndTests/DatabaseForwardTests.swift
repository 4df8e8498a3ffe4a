import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite(
    "A real PostgreSQL in a pod", .turn,
    .enabled(if: Ability.isPlayground, "its pod runs this machine's programs, which the playground can"))
struct DatabaseForwardTests {
    /// Where Debian has the server's programs.
    private static let programs = "/usr/lib/postgresql/*/bin"

    static func deploy(_ scene: Scene) async throws {
        let script = """
            set -e; bin=$(echo \(programs)); $bin/initdb -D /tmp/data -U app -A trust >/dev/null
            echo 'host all all all trust' >> /tmp/data/pg_hba.conf
            exec $bin/postgres -D /tmp/data -c listen_addresses='*' -c unix_socket_directories=/tmp
            """
        let workload = Workload(
            "postgres",
            container: [
                "image": "host", "command": ["sh", "-c", .string(script)], "ports": [["containerPort": 5432]],
                "env": [["name": "LC_ALL", "value": "C"]],
                "readinessProbe": ["tcpSocket": ["port": 5432], "periodSeconds": 1],
                // The server refuses to be root; initdb wants a name for its user.
                "securityContext": ["runAsUser": 65534, "runAsGroup": 65534],
            ])
        try await scene.deploy(workload)
        let service: JSON = [
            "apiVersion": "v1", "kind": "Service", "metadata": ["name": "postgres"],
            "spec": ["selector": ["app": "postgres"], "ports": [["port": 5432, "name": "sql"]]],
        ]
        try await scene.kubectl(["apply", "-f", "-"], input: service.bytes)
    }

    @Test("psql and a client library work through a forward, with a result of several megabytes")
    func forward() async throws {
        try await Scene.run { scene in
            try await Self.deploy(scene)
            try scene.project.configure(scene.configuration(["db": ["workload": "deployment/postgres"]]))
            let loopd = try await scene.loopd("forward", "db", "0:5432")
            let event = try await loopd.event("forwarding", limit: .seconds(60))
            let port = try #require(event["local"]?.string?.split(separator: ":").last.map(String.init))
            let psql = try await Child.succeed([
                "psql", "-h", "127.0.0.1", "-p", port, "-U", "app", "-d", "postgres", "-Atc", "select 6 * 7",
            ])
            #expect(psql.text.trimmed == "42")
            let script = """
                import hashlib, psycopg2
                link = psycopg2.connect(host="localhost", port=\(port), user="app", dbname="postgres")
                cursor = link.cursor()
                cursor.execute("select repeat('loopd', 1000000)")
                print(hashlib.sha256(cursor.fetchone()[0].encode()).hexdigest())
                """
            // Debian's own Python has Debian's library.
            let python = try await Child.succeed(["/usr/bin/python3", "-c", script])
            let expected = try await Child.succeed([
                "sh", "-c", "yes loopd | head -n 1000000 | tr -d '\\n' | sha256sum",
            ])
            #expect(python.text.trimmed == expected.text.split(separator: " ").first.map(String.init))
            try await loopd.stop()
        }
    }
}
