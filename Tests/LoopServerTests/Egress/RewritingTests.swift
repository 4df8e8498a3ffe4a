import Testing

@testable import LoopServer

@Suite("Variables that lead to ports of this machine", .turn)
struct RewritingTests {
    private static func need(
        _ name: String, _ port: UInt16, host: String = "127.0.0.1", at local: UInt16? = nil,
        target: ClusterTarget? = nil
    ) -> LocalDependency {
        LocalDependency(
            Dependency(name: name, port: port), at: LocalAddress(host: host, port: local ?? port), namespace: "web",
            target: target)
    }

    private static let needs = [
        need("postgres", 5432), need("redis", 6379, host: "127.0.0.2"), need("queue.jobs", 5672, at: 40001),
        need("api", 80, at: 40002), need("mongo-0.mongo", 27017), need("mongo-1.mongo", 27017, host: "127.0.0.2"),
    ]

    @Test(
        "a name with its port becomes the local address, in every form that has one",
        arguments: [
            ("postgres://u:p@postgres:5432/db", "postgres://u:p@127.0.0.1:5432/db"),
            ("postgresql://postgres/db", "postgresql://127.0.0.1/db"),
            ("postgres://postgres:postgres@postgres/postgres", "postgres://postgres:postgres@127.0.0.1/postgres"),
            ("postgresql+asyncpg://u@postgres.web.svc/db", "postgresql+asyncpg://u@127.0.0.1/db"),
            ("jdbc:postgresql://POSTGRES.web:5432/db?user=u", "jdbc:postgresql://127.0.0.1:5432/db?user=u"),
            ("postgres:5432", "127.0.0.1:5432"), ("postgres.web.svc.cluster.local:5432", "127.0.0.1:5432"),
            ("postgres.web.svc.cluster.local.:5432", "127.0.0.1:5432"),
            ("redis:6379,other:6379", "127.0.0.2:6379,other:6379"), ("other:1, redis:6379", "other:1, 127.0.0.2:6379"),
            ("redis://redis", "redis://127.0.0.2"), ("redis://:pw@redis:6379/0", "redis://:pw@127.0.0.2:6379/0"),
            ("amqp://g:g@queue.jobs/", "amqp://g:g@127.0.0.1:40001/"),
            ("amqp://queue.jobs.svc.cluster.local:5672/%2f", "amqp://127.0.0.1:40001/%2f"),
            ("http://api/v1?next=http://api/x", "http://127.0.0.1:40002/v1?next=http://127.0.0.1:40002/x"),
            ("http://api:80", "http://127.0.0.1:40002"), ("ws://api/live", "ws://127.0.0.1:40002/live"),
            (
                "mongodb://u:p@mongo-0.mongo:27017,mongo-1.mongo/db?replicaSet=r",
                "mongodb://u:p@127.0.0.1:27017,127.0.0.2/db?replicaSet=r"
            ),
            ("host=postgres port=5432 user=postgres", "host=127.0.0.1 port=5432 user=postgres"),
            ("user=postgres dbname=postgres host=postgres", "user=postgres dbname=postgres host=127.0.0.1"),
            ("host='postgres' port='5432'", "host='127.0.0.1' port='5432'"),
            (
                "Host=postgres;Port=5432;Username=postgres;Password=postgres",
                "Host=127.0.0.1;Port=5432;Username=postgres;Password=postgres"
            ),
            ("user:pw@tcp(postgres:5432)/db", "user:pw@tcp(127.0.0.1:5432)/db"),
            ("{\"db\":\"postgres:5432\"}", "{\"db\":\"127.0.0.1:5432\"}"),
            ("--db=postgres:5432 --name=postgres", "--db=127.0.0.1:5432 --name=postgres"),
        ])
    func values(before: String, after: String) {
        #expect(Rewriting(needs: Self.needs).rewritten(before) == after)
    }

    static let unchanged = [
        "postgres", "postgres-admin:5432", "mypostgres:5432", "my.postgres:5432", "postgres.other:5432",
        "postgres:5433", "postgres:54321", "postgres:05432", "registry/postgres:5432", "postgres_1:5432",
        "postgres://postgres:5432@other/db", "postgres://postgres:5432@other:5432/postgres:5432x",
        "http://postgres/", "https://api/", "http://api:8080", "http://api-v2/", "http://myapi/", "http://other/api",
        "http://other/postgres:5432/", "host=postgres-admin port=5432", "host=postgres port=5433",
        "dbhost=postgres port=5432", "host=postgres,other port=5432", "host=postgres", "queue:5672", "queue.jobs",
        "queue.jobs.svc:5671", "redis", "redis6379", "redis:6379.5", "x-redis://postgres-1", "", ":", "://", "a=b",
        "postgres:", ":5432", "postgres:5432x", "postgres::5432", "postgres:5432:5432", "mongodb+srv://mongo",
        "mongo:27017", "mongo-0:27017", "name=postgres:latest", "postgres@5432", "C:\\postgres:5432x",
    ]

    @Test("a value where the name is part of another one, or has another port, stays as it is", arguments: unchanged)
    func stays(value: String) {
        #expect(Rewriting(needs: Self.needs).rewritten(value) == value)
    }

    @Test("a host and its port in two variables move together")
    func pairs() {
        let changed = Rewriting(needs: Self.needs).applied(to: [
            "PGHOST": "postgres", "PGPORT": "5432", "PGUSER": "postgres", "DB_HOST": "queue.jobs.svc",
            "DB_PORT": "5672",
            "REDIS_HOSTNAME": "redis", "redis_host": "redis", "redis_port": "6379", "QUEUE_HOST": "queue.jobs",
            "OTHER_HOST": "postgres", "OTHER_PORT": "5433", "HOSTNAME": "redis", "POSTGRES_DB": "postgres",
            "DB_ENGINE": "postgres", "GHOST": "casper",
        ])
        let expected = [
            "PGHOST": "127.0.0.1", "PGPORT": "5432", "PGUSER": "postgres", "DB_HOST": "127.0.0.1", "DB_PORT": "40001",
            "REDIS_HOSTNAME": "127.0.0.2", "redis_host": "127.0.0.2", "redis_port": "6379", "QUEUE_HOST": "127.0.0.1",
            "QUEUE_PORT": "40001", "OTHER_HOST": "postgres", "OTHER_PORT": "5433", "HOSTNAME": "redis",
            "POSTGRES_DB": "postgres", "DB_ENGINE": "postgres", "GHOST": "casper",
        ]
        #expect(changed == expected)
    }

    @Test("a Service's own address is led here, too, and its variables are the kubelet's with the local address")
    func serviceVariables() {
        let target = ClusterTarget(
            addresses: ["10.96.0.7"], service: "s", namespace: "web", selector: nil,
            ports: [ClusterTarget.Port(number: 5432, name: "sql-port")])
        let need = Self.need("my-db", 5432, at: 40003, target: target)
        #expect(
            need.variables == [
                "MY_DB_SERVICE_HOST": "127.0.0.1", "MY_DB_SERVICE_PORT": "40003", "MY_DB_PORT": "tcp://127.0.0.1:40003",
                "MY_DB_SERVICE_PORT_SQL_PORT": "40003", "MY_DB_PORT_5432_TCP": "tcp://127.0.0.1:40003",
                "MY_DB_PORT_5432_TCP_PROTO": "tcp", "MY_DB_PORT_5432_TCP_PORT": "40003",
                "MY_DB_PORT_5432_TCP_ADDR": "127.0.0.1",
            ])
        let rewriting = Rewriting(needs: [need])
        #expect(rewriting.rewritten("tcp://10.96.0.7:5432") == "tcp://127.0.0.1:40003")
        #expect(rewriting.rewritten("tcp://10.96.0.70:5432") == "tcp://10.96.0.70:5432")
    }

    @Test("whatever stands around other names, nothing changes; what is changed is stable")
    func random() {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let rewriting = Rewriting(needs: Self.needs)
        let pieces = [
            "postgres-admin", "mypostgres", "redis2", "api-gateway", "postgres.prod", "queue", "://", "http",
            "https://",
            "@", ":", ",", ";", " ", "/", "?", "=", "host", "port", "5432", "6379", "80", "user", "'", "\"", "(", ")",
            "%",
            "&", "é", "\n", "[", "]", "\\",
        ]
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...12, using: &generator)
            let value = (0..<count).map { _ in pieces[Int.random(in: 0..<pieces.count, using: &generator)] }.joined()
            #expect(rewriting.rewritten(value) == value)
        }
        let names = pieces + ["postgres", "redis", "api", "postgres.web.svc", "queue.jobs"]
        for _ in 0..<20_000 {
            let count = Int.random(in: 0...12, using: &generator)
            let value = (0..<count).map { _ in names[Int.random(in: 0..<names.count, using: &generator)] }.joined()
            let once = rewriting.rewritten(value)
            #expect(rewriting.rewritten(once) == once, "\(value)")
        }
    }
}
