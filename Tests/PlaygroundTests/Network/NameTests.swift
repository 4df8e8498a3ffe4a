import JSON
import Testing

@testable import Playground

@Suite("Names of the cluster")
struct NameTests {
    /// A query as resolvers send it.
    static func query(_ name: String, _ kind: UInt16 = 1, id: UInt16 = 0x1234, size: UInt16? = nil) -> [UInt8] {
        var bytes: [UInt8] = [UInt8(id >> 8), UInt8(id & 255), 0x01, 0, 0, 1, 0, 0, 0, 0, 0, size == nil ? 0 : 1]
        for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
        bytes += [0, UInt8(kind >> 8), UInt8(kind & 255), 0, 1]
        if let size { bytes += [0, 0, 41, UInt8(size >> 8), UInt8(size & 255), 0, 0, 0, 0, 0, 0] }
        return bytes
    }

    private static let endpoints = [
        ServiceEndpoint(address: IPv4(10, 244, 0, 5), isReady: true, hostname: "db-0", ports: ["sql": 5432]),
        ServiceEndpoint(address: IPv4(10, 244, 0, 6), isReady: true, hostname: nil, ports: ["sql": 5433]),
        ServiceEndpoint(address: IPv4(10, 244, 0, 7), isReady: false, hostname: "db-2", ports: ["sql": 5432]),
    ]

    private static let names = ClusterNames(
        service: { namespace, name in
            switch (namespace, name) {
            case ("shop", "web"):
                ["spec": ["clusterIP": "10.96.1.2", "ports": [["name": "http", "port": 80, "protocol": "TCP"]]]]
            case ("shop", "db"):
                ["spec": ["clusterIP": "None", "ports": [["name": "sql", "port": 5432, "protocol": "TCP"]]]]
            case ("shop", "empty"): ["spec": ["clusterIP": "None"]]
            case ("shop", "far"): ["spec": ["type": "ExternalName", "externalName": "db.example.com"]]
            default: nil
            }
        },
        endpoints: { _, name in name == "db" ? endpoints : [] },
        owner: { $0 == IPv4(10, 96, 1, 2) ? ("shop", "web") : nil })

    private func ask(_ name: String, _ kind: UInt16 = 1) throws -> DNSAnswer {
        let question = try #require(DNSQuestion(Self.query(name, kind)))
        return try #require(Self.names.answer(question))
    }

    private func addresses(_ name: String) throws -> [String] {
        try ask(name).answers.map { if case .address(let address) = $0.data { "\(address)" } else { "\($0.data)" } }
    }

    @Test(
        "names lead to addresses",
        arguments: [
            ("web.shop.svc.cluster.local", ["10.96.1.2"]), ("WEB.Shop.svc.Cluster.local", ["10.96.1.2"]),
            ("db.shop.svc.cluster.local", ["10.244.0.5", "10.244.0.6"]),
            ("db-0.db.shop.svc.cluster.local", ["10.244.0.5"]),
            ("10-244-0-6.db.shop.svc.cluster.local", ["10.244.0.6"]),
            ("10-244-0-9.shop.pod.cluster.local", ["10.244.0.9"]),
        ])
    func known(_ name: String, _ expected: [String]) throws { #expect(try addresses(name) == expected) }

    @Test(
        "what is not there is said not to be",
        arguments: [
            "cluster.local", "svc.cluster.local", "nosuch.shop.svc.cluster.local", "web.other.svc.cluster.local",
            "empty.shop.svc.cluster.local", "db-2.db.shop.svc.cluster.local", "x.web.shop.svc.cluster.local",
            "_nosuch._tcp.web.shop.svc.cluster.local", "a-b-c-d.shop.pod.cluster.local", "a.b.c.d.e.svc.cluster.local",
        ])
    func unknown(_ name: String) throws {
        let answer = try ask(name)
        #expect(answer.code == .noSuchName)
        #expect(answer.answers.isEmpty && answer.authority.map(\.data) == [.authority])
    }

    @Test("a Service has no IPv6 address, which is not to say that there is no such name")
    func otherKind() throws {
        let answer = try ask("web.shop.svc.cluster.local", DNSQuestion.Kind.aaaa)
        #expect(answer.code == .success && answer.answers.isEmpty)
    }

    @Test("an external name is an alias")
    func alias() throws {
        #expect(try ask("far.shop.svc.cluster.local").answers.map(\.data) == [.alias(["db", "example", "com"])])
    }

    @Test("a named port leads to its number and to who serves it")
    func ports() throws {
        let web = try ask("_http._tcp.web.shop.svc.cluster.local", DNSQuestion.Kind.srv)
        #expect(web.answers.map(\.data) == [.service(port: 80, target: ["web", "shop", "svc", "cluster", "local"])])
        let db = try ask("_sql._tcp.db.shop.svc.cluster.local", DNSQuestion.Kind.srv)
        #expect(
            db.answers.map(\.data) == [
                .service(port: 5432, target: ["db-0", "db", "shop", "svc", "cluster", "local"]),
                .service(port: 5433, target: ["10-244-0-6", "db", "shop", "svc", "cluster", "local"]),
            ])
        #expect(db.additional.map(\.data) == [.address(IPv4(10, 244, 0, 5)), .address(IPv4(10, 244, 0, 6))])
    }

    @Test("an address of the cluster has its Service's name, or none; others are left to others")
    func reverse() throws {
        let pointer = DNSQuestion.Kind.pointer
        let web = try ask("2.1.96.10.in-addr.arpa", pointer)
        #expect(web.answers.map(\.data) == [.pointer(["web", "shop", "svc", "cluster", "local"])])
        #expect(try ask("9.0.244.10.in-addr.arpa", pointer).code == .noSuchName)
        for foreign in ["1.1.1.1.in-addr.arpa", "example.com"] {
            let question = try #require(DNSQuestion(Self.query(foreign, pointer)))
            #expect(Self.names.answer(question) == nil)
        }
    }

    @Test("an answer has the bytes of RFC 1035")
    func bytes() throws {
        let query = Self.query("web.shop.svc.cluster.local")
        let question = try #require(DNSQuestion(query))
        let message = try ask("web.shop.svc.cluster.local").message(for: question)
        let name = query[12..<(query.count - 4)]
        let record = Array(name) + [0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 96, 1, 2]
        #expect(message == [0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0] + query[12...] + record)
    }

    @Test("an answer that is too long for the asker is cut, and says so")
    func cut() throws {
        let records = (0..<40).map { DNSRecord(name: ["db", "shop"], data: .address(IPv4(10, 0, 0, $0))) }
        let answer = DNSAnswer(answers: records)
        for (size, isCut) in [(nil, true), (4096, false)] as [(UInt16?, Bool)] {
            let question = try #require(DNSQuestion(Self.query("db.shop", size: size)))
            let message = answer.message(for: question, limit: question.limit)
            #expect((message[2] & 0x02 != 0) == isCut)
            #expect(message.count <= question.limit)
        }
    }

    @Test("whatever bytes come, the server lives, and a question that is read is repeated as it was")
    func fuzz() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var generator = SeededNumbers(state: seed)
        let valid = Self.query("db-0.db.shop.svc.cluster.local", DNSQuestion.Kind.srv, size: 1232)
        for _ in 0..<20_000 {
            var bytes =
                Bool.random(using: &generator)
                ? valid
                : (0..<Int.random(in: 0...64, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
            for _ in 0..<Int.random(in: 0...4, using: &generator) where !bytes.isEmpty {
                bytes[Int.random(in: bytes.indices, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &generator)))
            guard let question = DNSQuestion(bytes) else { continue }
            #expect(Array(bytes[12..<(12 + question.bytes.count)]) == question.bytes)
            let answer = Self.names.answer(question) ?? DNSAnswer(code: .failure)
            let message = answer.message(for: question, limit: question.limit)
            #expect(message.count <= max(question.limit, 12 + question.bytes.count))
            #expect(Array(message[12..<(12 + question.bytes.count)]) == question.bytes)
        }
    }
}
