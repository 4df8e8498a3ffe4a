import HTTP
import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("Names of the cluster, resolved as a pod would", .turn)
struct ClusterNamesTests {
    @Test(
        "a name means what a pod's search path makes of it",
        arguments: [
            ("postgres", ["postgres.web"], false), ("postgres.db", ["postgres/db.web", "postgres.db"], false),
            ("postgres.db.svc", ["postgres.db"], true), ("Postgres.DB.svc.Cluster.Local", ["postgres.db"], true),
            ("postgres.db.svc.cluster.local.", ["postgres.db"], true), ("db-0.db", ["db-0/db.web", "db-0.db"], false),
            ("db-0.db.web.svc.cluster.local", ["db-0/db.web"], true),
            ("10-244-0-5.web.pod.cluster.local", ["10.244.0.5"], true), ("10-244-0-5.web.pod", ["10.244.0.5"], true),
            ("example.com.", [], false), ("api.github.com", ["api/github.com"], false), ("a.b.c.d.e", [], false),
            ("bad name", [], false), ("a..b", [], false), ("web.svc", ["web/svc.web", "web.svc"], false),
            ("postgres.db.svc.corp.example", ["postgres.db"], false), ("db-0.db.web.svc.k8s.", ["db-0/db.web"], false),
            ("svc.example.com", ["svc/example.com"], false), ("x.svc.example.com", [], false),
        ])
    func readings(name: String, expected: [String], isExplicit: Bool) {
        let found = ClusterName.readings(of: name, namespace: "web", domain: "cluster.local")
        let texts = found.names.map { reading in
            switch reading {
            case .service(let service, let namespace): "\(service).\(namespace)"
            case .member(let host, let service, let namespace): "\(host)/\(service).\(namespace)"
            case .pod(let address): "\(address)"
            }
        }
        #expect(texts == expected)
        #expect(found.isExplicit == isExplicit)
    }

    @Test("Services lead to their addresses, headless ones to their ready pods, and pods of them by their host names")
    func services() async throws {
        let api = NamesAPI()
        api.service("postgres", "10.96.0.7", ports: [5432])
        api.service("api", "10.96.0.8", ports: [80], namespace: "shop")
        api.service("db", "None", ports: [5432])
        api.endpoints(
            "db",
            [
                ["addresses": ["10.244.0.5"], "hostname": "db-0", "conditions": ["ready": true]],
                ["addresses": ["10.244.0.6"], "hostname": "db-1", "conditions": ["ready": false]],
                ["addresses": ["10.244.0.7"], "hostname": "db-2"],
            ])
        try await withNames(api) { names in
            for (name, addresses) in [
                ("postgres", ["10.96.0.7"]), ("postgres.web", ["10.96.0.7"]), ("POSTGRES.web.svc", ["10.96.0.7"]),
                ("api.shop.svc.cluster.local", ["10.96.0.8"]), ("db", ["10.244.0.5", "10.244.0.7"]),
                ("db-2.db.web.svc.cluster.local", ["10.244.0.7"]), ("db-0.db", ["10.244.0.5"]),
            ] {
                guard case .cluster(let target) = try await names.resolve(name) else {
                    Issue.record("\(name) is outside")
                    continue
                }
                #expect(target.addresses == addresses, "\(name)")
            }
            guard case .cluster(let target) = try await names.resolve("postgres") else { return }
            #expect(target.ports == [ClusterTarget.Port(number: 5432, name: "db")])
            #expect(target.selector == "app=postgres")
        }
    }

    @Test("an ExternalName leads to its target, outside or inside, and a circle of them to an error")
    func externalNames() async throws {
        let api = NamesAPI()
        func alias(_ name: String, _ target: String) {
            api.service(name, "", ports: [], more: ["type": "ExternalName", "externalName": .string(target)])
        }
        alias("search", "search.example.com")
        alias("store", "postgres.web.svc.cluster.local")
        alias("one", "two.web.svc.cluster.local")
        alias("two", "one.web.svc.cluster.local")
        api.service("postgres", "10.96.0.7", ports: [5432])
        try await withNames(api) { names in
            guard case .outside(let name, _) = try await names.resolve("search") else {
                Issue.record("search is inside")
                return
            }
            #expect(name == "search.example.com")
            guard case .cluster(let target) = try await names.resolve("store") else {
                Issue.record("store is outside")
                return
            }
            #expect(target.addresses == ["10.96.0.7"])
            await #expect(throws: LoopFailure.self) { try await names.resolve("one") }
        }
    }

    @Test("what is no Service is outside, with a word about it; what can only be the cluster's is an error")
    func absence() async throws {
        let api = NamesAPI()
        api.service("postgres", "10.96.0.7", ports: [5432])
        try await withNames(api) { names in
            let outside = try await names.resolve("postgre")
            #expect(outside == .outside("postgre", hint: "no Service \"postgre\" in namespace web"))
            let nearest = await names.nearest(to: "postgre")
            #expect(nearest == "postgres")
            let error = await #expect(throws: LoopFailure.self) {
                try await names.resolve("postgre.web.svc.cluster.local")
            }
            #expect(error?.failure.summary.contains("no Service \"postgre\" in namespace web") == true)
            #expect(error?.failure.nextStep == "did you mean \"postgres\"?")
            let local = try await names.resolve("localhost")
            #expect(local == .outside("localhost", hint: nil))
        }
    }

    @Test("a namespace that may not be looked at is named where the name can only be the cluster's")
    func forbidden() async throws {
        let api = NamesAPI()
        api.forbid("shop")
        try await withNames(api) { names in
            let error = await #expect(throws: LoopFailure.self) { try await names.resolve("api.shop.svc") }
            #expect(error?.failure.summary == "api.shop.svc: no right to get Services in namespace shop")
            guard case .outside(_, let hint) = try await names.resolve("api.shop") else {
                Issue.record("inside")
                return
            }
            #expect(hint?.contains("no right to get Services in namespace shop") == true)
        }
    }

    @Test("an address is the cluster's where a Service, pod, node or range of it tells so")
    func addresses() async throws {
        let api = NamesAPI()
        api.service("postgres", "10.96.0.7", ports: [5432])
        api.put("/api/v1/namespaces/web/pods/a", ["status": ["podIPs": [["ip": "10.9.0.1"], ["ip": "fd00::9"]]]])
        api.put("/api/v1/nodes/n", ["spec": ["podCIDRs": ["10.244.1.0/24", "fd01::/64"]]])
        api.put("/apis/networking.k8s.io/v1/servicecidrs/kubernetes", ["spec": ["cidrs": ["10.112.0.0/12"]]])
        try await withNames(api) { names in
            for (address, isInside) in [
                ("10.96.0.7", true), ("10.96.0.8", false), ("10.9.0.1", true), ("fd00::9", true), ("10.244.1.77", true),
                ("10.244.2.1", false), ("fd01::1", true), ("10.127.255.255", true), ("10.128.0.0", false),
                ("127.0.0.1", false), ("169.254.169.254", false), ("192.168.1.1", false), ("::1", false),
                ("fe80::1", false), ("8.8.8.8", false),
            ] {
                let isFound = if case .cluster = try await names.resolve(address) { true } else { false }
                #expect(isFound == isInside, "\(address)")
            }
        }
    }

    @Test("an API that fails for a moment takes no address away, and is asked again soon")
    func failingRanges() async throws {
        let api = NamesAPI()
        api.service("postgres", "10.96.0.7", ports: [5432])
        let isBroken = Mutex(true)
        try await withAPI({ exchange in
            if isBroken.withLock({ $0 }) { return try await exchange.fail(500, "InternalError", "etcd is away") }
            try await api.handle(exchange)
        }) { client, _ in
            let address = try #require(IPAddress("10.96.0.7"))
            let ranges = ClusterRanges(client, namespace: "web", patience: .seconds(60))
            #expect(await !ranges.contains(address))
            isBroken.withLock { $0 = false }
            var asked = ContinuousClock.now
            while await !ranges.contains(address) {
                // A failure counts for a moment, and nothing tells when that is over.
                try await Task.sleep(for: .milliseconds(50))
                asked = .now
            }
            while true {
                let (count, looked) = (api.requests.count, ContinuousClock.now)
                #expect(await ranges.contains(address))
                if api.requests.count == count { break }
                // What is known is asked for again after five seconds, and a busy machine may have taken them.
                try #require(ContinuousClock.now - asked >= .seconds(5))
                asked = looked
            }
            isBroken.withLock { $0 = true }
            // What is not known has everything asked for again.
            let other = try #require(IPAddress("8.8.8.8"))
            #expect(await !ranges.contains(other))
            #expect(await ranges.contains(address))
        }
    }

    @Test("what the cluster has said of a name stays true while it does not answer, and no longer")
    func failing() async throws {
        let api = NamesAPI()
        api.service("api", "10.96.0.8", ports: [80], namespace: "shop")
        let isBroken = Mutex(false)
        let asked = Mutex(0)
        try await withAPI({ exchange in
            asked.withLock { $0 += 1 }
            if isBroken.withLock({ $0 }) { return try await exchange.fail(500, "InternalError", "etcd is away") }
            try await api.handle(exchange)
        }) { client, _ in
            let names = ClusterNames(client, namespace: "web", patience: .seconds(60))
            /// Where a name leads, once the API has been asked for it.
            func address(_ name: String) async throws -> String? {
                let count = asked.withLock { $0 }
                while true {
                    let found = try await names.resolve(name)
                    if asked.withLock({ $0 }) > count {
                        return if case .cluster(let target) = found { target.addresses.first } else { nil }
                    }
                    // The answer of before is kept for two seconds at most.
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            /// Where both spellings of the name lead.
            func addresses() async throws -> [String?] {
                [try await address("api.shop"), try await address("api.shop.svc")]
            }
            let found = try await addresses()
            isBroken.withLock { $0 = true }
            let kept = try await addresses()
            #expect(found == ["10.96.0.8", "10.96.0.8"] && kept == found)
            let unknown = try await address("other.shop")
            isBroken.withLock { $0 = false }
            api.remove("/api/v1/namespaces/shop/services/api")
            let gone = try await address("api.shop")
            isBroken.withLock { $0 = true }
            let forgotten = try await address("api.shop")
            #expect([unknown, gone, forgotten] == [nil, nil, nil])
        }
    }

    @Test("answers are kept for a moment, and asked for once when many ask at the same time")
    func cache() async throws {
        let api = NamesAPI()
        api.service("postgres", "10.96.0.7", ports: [5432])
        try await withNames(api) { names in
            try await withThrowingTaskGroup(of: Resolved.self) { group in
                for _ in 0..<50 { group.addTask { try await names.resolve("postgres") } }
                for try await answer in group { if case .outside = answer { Issue.record("outside") } }
            }
            let count = api.requests.count { $0.hasSuffix("/services/postgres") }
            // A machine that is very busy may take longer than an answer is kept.
            #expect(count < 25)
            api.service("postgres", "10.96.0.99", ports: [5432])
            // Until the answer has gone: two seconds at most.
            while case .cluster(let target) = try await names.resolve("postgres"), target.addresses == ["10.96.0.7"] {
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(api.requests.count { $0.hasSuffix("/services/postgres") } > count)
        }
    }

    @Test("who is cancelled does not wait for an API that does not answer")
    func cancelled() async throws {
        let answers = Gate()
        try await withAPI({ exchange in
            await answers.pass()
            try await exchange.fail(404, "NotFound", "not found")
        }) { client, _ in
            let names = ClusterNames(client, namespace: "web", patience: .seconds(60))
            let asking = Task { try await names.resolve("postgres") }
            asking.cancel()
            await #expect(throws: CancellationError.self) { try await asking.value }
            answers.close()
            // The answer is there for the next one.
            let outside = try await names.resolve("postgres")
            #expect(outside == .outside("postgres", hint: "no Service \"postgres\" in namespace web"))
        }
    }
}
