import Glibc
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The proxy into the cluster", .serialized, .turn)
struct ProxyTests {
    @Test("curl reaches a Service by its name, by SOCKS5 and by HTTP", arguments: [true, false])
    func curl(socks: Bool) async throws {
        try await ProxyFixture.run { fixture in
            try await withEcho { port in
                fixture.api.service("api", "127.0.0.3", ports: [port])
                let plain = try await fixture.curl(socks: socks, ["http://api:\(port)/a?b=c"])
                #expect(plain.text.hasPrefix("GET /a?b=c\nhost api:\(port)\n"), "\(plain.text)\(plain.errorText)")
                #expect(plain.text.contains("proxy none\n"))
                let posted = try await fixture.curl(
                    socks: socks, ["-H", "Transfer-Encoding: chunked", "-d", "hello", "http://api.web.svc:\(port)/x"])
                #expect(posted.text.contains("bytes 5 "), "\(posted.text)\(posted.errorText)")
                let tunnel = try await fixture.curl(socks: socks, ["-p", "http://api.web:\(port)/t"])
                #expect(tunnel.text.hasPrefix("GET /t\n"), "\(tunnel.text)\(tunnel.errorText)")
                // Many requests of one program, and one to loopback, which is this machine's.
                let urls = (0..<20).map { "http://api:\(port)/\($0)" } + ["http://127.0.0.3:\(port)/last"]
                let many = try await fixture.curl(socks: socks, urls)
                #expect(many.text.split(separator: "\n").count { $0.hasPrefix("GET /") } == 21, "\(many.errorText)")
            }
        }
    }

    @Test("large bodies arrive as they are, whole or in chunks, by every way")
    func large() async throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        let content = Noise(&generator).bytes(20_000_000, from: 0)
        let hash = content.reduce(UInt64(7)) { $0 &* 31 &+ UInt64($1) }
        let file = "/tmp/loopd-proxy-\(getpid())-\(seed)"
        let stream = fopen(file, "w")
        #expect(content.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, stream) } == content.count)
        fclose(stream)
        defer { unlink(file) }
        try await ProxyFixture.run { fixture in
            try await withEcho { port in
                fixture.api.service("api", "127.0.0.3", ports: [port])
                for (socks, chunked) in [(true, false), (false, false), (false, true)] {
                    let coding = chunked ? ["-H", "Transfer-Encoding: chunked"] : []
                    let sent = try await fixture.curl(
                        socks: socks, coding + ["-H", "Expect:", "--data-binary", "@\(file)", "http://api:\(port)/"])
                    #expect(sent.text.contains("bytes \(content.count) \(hash)"), "\(sent.text)\(sent.errorText)")
                }
            }
        }
    }

    @Test("a failure is told in words to HTTP, by its number to SOCKS5, and once in a line")
    func failures() async throws {
        try await ProxyFixture.run { fixture in
            fixture.api.service("postgres", "127.0.0.3", ports: [5432])
            let closed = try Reactor.Listener(.tcp(host: "127.0.0.3", port: 0))
            fixture.api.service("dead", "127.0.0.3", ports: [closed.port])
            closed.close()
            for _ in 0..<2 {
                let unknown = try await fixture.curl(
                    socks: false, ["-w", "%{http_code}", "http://postgre.web.svc:5432/"])
                #expect(unknown.text.hasSuffix("502"))
                #expect(unknown.text.contains("(did you mean \"postgres\"?)"), "\(unknown.text)")
            }
            let refused = try await fixture.curl(socks: false, ["-w", "%{http_code}", "http://dead:\(closed.port)/"])
            #expect(refused.text.contains("connection refused") || refused.text.contains("Connection refused"))
            #expect(refused.text.hasSuffix("502"))
            let port = try await fixture.curl(socks: false, ["http://postgres:5433/"])
            #expect(port.text.contains("Service postgres in namespace web has no port 5433, but 5432"), "\(port.text)")
            let socks = try await fixture.curl(socks: true, ["http://dead:\(closed.port)/"])
            #expect(socks.status == .exited(97) || socks.status == .exited(7), "\(socks.status) \(socks.errorText)")
            let lines = fixture.events.compactMap { if case .notice(let line) = $0 { line } else { nil } }
            #expect(lines.count { $0.contains("postgre.web.svc:5432") } == 1)
            #expect(lines.count { $0.hasPrefix("dead:") } == 1, "\(lines)")
        }
    }

    @Test("a name that neither the cluster nor this machine knows: both are said")
    func unknown() async throws {
        try await ProxyFixture.run { fixture in
            fixture.api.service("postgres", "127.0.0.3", ports: [5432])
            let output = try await fixture.curl(socks: false, ["http://postgre:5432/"])
            #expect(
                output.text
                    == "loopd: postgre:5432: no Service \"postgre\" in namespace web (did you mean \"postgres\"?), and this "
                    + "machine does not know the name either\n", "\(output.errorText)")
        }
    }

    @Test("a cluster that cannot be asked: a name of the outside is reached, one of the cluster is an error in words")
    func withoutCluster() async throws {
        let listener = try Reactor.Listener(.tcp(host: "127.0.0.3", port: 0))
        defer { listener.close() }
        try await LinkedHelper.run { helper in
            let names = ClusterNames(.nowhere, namespace: "web")
            let dialer = Dialer(names: names, route: FixedRoute(helper: helper.link))
            let outside = try await names.resolve("www.example.com")
            guard case .outside("www.example.com", let hint?) = outside else {
                Issue.record("\(outside)")
                return
            }
            #expect(hint.hasPrefix("the cluster cannot be asked for it: "))
            // An address that nobody can tell of.
            let remote = try await dialer.connect(to: "::ffff:127.0.0.3", port: listener.port)
            remote.close()
            for name in ["postgres", "postgres.web.svc"] {
                let failure = await #expect(throws: DialFailure.self) { try await dialer.connect(to: name, port: 80) }
                #expect(failure?.text.hasPrefix("\(name):80: the cluster cannot be asked for it: ") == true)
            }
        }
    }

    @Test("what goes wrong on the way is a failure in words, whatever it is")
    func strangeRoute() async throws {
        struct Broken: ClusterRoute, Error {
            func link(to target: ClusterTarget) async throws -> HelperLink { throw self }
        }
        let api = NamesAPI()
        api.service("api", "127.0.0.3", ports: [80])
        try await withNames(api) { names in
            let dialer = Dialer(names: names, route: Broken())
            let failure = await #expect(throws: DialFailure.self) { try await dialer.connect(to: "api", port: 80) }
            #expect(failure?.text == "api:80: Broken()")
        }
    }

    @Test("an upgraded connection carries whatever comes, both ways", arguments: [true, false])
    func upgrade(tunnel: Bool) async throws {
        try await ProxyFixture.run { fixture in
            let listener = try Reactor.Listener(.tcp(host: "127.0.0.3", port: 0))
            fixture.api.service("live", "127.0.0.3", ports: [listener.port])
            let server = Task {
                let stream = try await listener.accept()
                var head: [UInt8] = []
                while head.headEnd == nil { head += try await stream.read() }
                try await stream.write(
                    Array(
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\u{1}"
                            .utf8))
                while true {
                    let bytes = try await stream.read()
                    if bytes.isEmpty { break }
                    try await stream.write(bytes)
                }
                stream.shutdownWrite()
                return String(decoding: head, as: UTF8.self)
            }
            let client = try await fixture.connect()
            if tunnel {
                try await client.write(Array("CONNECT live:\(listener.port) HTTP/1.1\r\nHost: live\r\n\r\n".utf8))
                #expect(try await until("\r\n\r\n", client).hasPrefix("HTTP/1.1 200 "))
            }
            let target = tunnel ? "/ws" : "http://live:\(listener.port)/ws"
            // The first bytes of the other protocol at once, before the answer.
            let request = "GET \(target) HTTP/1.1\r\nHost: live\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
            try await client.write(Array(request.utf8))
            #expect(try await until("\u{1}", client).contains("HTTP/1.1 101 "))
            try await client.write([0, 255, 1, 2])
            var echoed: [UInt8] = []
            while echoed.count < 4 { echoed += try await client.read() }
            #expect(echoed == [0, 255, 1, 2])
            client.shutdownWrite()
            #expect(try await client.read() == [])
            let head = try await server.value
            #expect(head.contains("GET /ws HTTP/1.1\r\n") && head.contains("Connection: Upgrade\r\n"), "\(head)")
            listener.close()
        }
    }

    private func until(_ end: String, _ stream: Reactor.Stream) async throws -> String {
        var text = ""
        while true {
            let bytes = try await stream.read()
            if bytes.isEmpty { return text }
            text += String(decoding: bytes, as: UTF8.self)
            if text.contains(end) { return text }
        }
    }

    @Test("each end may finish first, and a reader that stops holds the sender up")
    func halfClose() async throws {
        try await ProxyFixture.run { fixture in
            let listener = try Reactor.Listener(.tcp(host: "127.0.0.3", port: 0))
            fixture.api.service("sink", "127.0.0.3", ports: [listener.port])
            let client = try await fixture.connect()
            let name = Array("sink".utf8)
            let port = [UInt8(listener.port >> 8), UInt8(listener.port & 255)]
            // All at once, as clients may that do not wait: greeting, request and the first bytes.
            try await client.write([5, 1, 0, 5, 1, 0, 3, UInt8(name.count)] + name + port + Array("first".utf8))
            let far = try await listener.accept()
            var answer: [UInt8] = []
            while answer.count < 12 { answer += try await client.read() }
            #expect(answer == [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0])
            #expect(try await far.read() == Array("first".utf8))
            // Nobody reads there: what is under way has a limit.
            let sent = Mutex(0)
            let sender = Task {
                let block = [UInt8](repeating: 7, count: 1 << 20)
                for _ in 0..<128 {
                    try await client.write(block)
                    sent.withLock { $0 += block.count }
                }
                client.shutdownWrite()
            }
            var last = -1
            // Until nothing has gone on for a while.
            while sent.withLock({ $0 }) != last {
                last = sent.withLock { $0 }
                try await Task.sleep(for: .milliseconds(500))
            }
            #expect(last < 64 << 20)
            #expect(try await far.all().count == 128 << 20)
            try await sender.value
            try await far.write(Array("last".utf8))
            far.shutdownWrite()
            #expect(try await client.all() == Array("last".utf8))
            listener.close()
        }
    }

    @Test("another user's program is refused, root's is not", .enabled(if: getuid() == 0))
    func otherUser() async throws {
        try await ProxyFixture.run { fixture in
            try await withEcho { port in
                fixture.api.service("api", "127.0.0.3", ports: [port])
                let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
                for socks in [true, false] {
                    let output = try await fixture.curl(socks: socks, ["http://api:\(port)/"], as: nobody)
                    #expect(!output.status.isSuccess)
                    #expect(output.text == "")
                    #expect(try await fixture.curl(socks: socks, ["http://api:\(port)/"]).status.isSuccess)
                }
                #expect(
                    fixture.events.contains {
                        if case .notice(let line) = $0 { line.contains("(uid 65534) was refused") } else { false }
                    })
            }
        }
    }

    @Test("whatever a client sends, it gets an answer or an end, and the next one is served")
    func random() async throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var generator = SeededGenerator(seed: seed)
        try await ProxyFixture.run { fixture in
            try await withEcho { port in
                fixture.api.service("api", "127.0.0.3", ports: [port])
                let good: [[UInt8]] = [
                    Array("GET http://api:\(port)/ HTTP/1.1\r\nHost: api\r\nContent-Length: 3\r\n\r\nabc".utf8),
                    Array(
                        "POST http://api:\(port)/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                            .utf8),
                    Array("CONNECT api:\(port) HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8),
                    [5, 1, 0, 5, 1, 0, 3, 3] + Array("api".utf8) + [UInt8(port >> 8), UInt8(port & 255)],
                    [5, 2, 0, 2, 5, 1, 0, 1, 127, 0, 0, 3, UInt8(port >> 8), UInt8(port & 255)],
                ]
                for _ in 0..<300 {
                    var bytes = good[Int.random(in: 0..<good.count, using: &generator)]
                    for _ in 0..<Int.random(in: 0...4, using: &generator) where !bytes.isEmpty {
                        let place = Int.random(in: 0..<bytes.count, using: &generator)
                        switch Int.random(in: 0..<4, using: &generator) {
                        case 0: bytes[place] = UInt8.random(in: .min ... .max, using: &generator)
                        case 1: bytes.remove(at: place)
                        case 2: bytes.insert(UInt8.random(in: .min ... .max, using: &generator), at: place)
                        default: bytes.removeLast(bytes.count - place)
                        }
                    }
                    let client = try await fixture.connect()
                    try? await client.write(bytes)
                    client.shutdownWrite()
                    _ = try? await client.all()
                    client.close()
                }
                let after = try await fixture.curl(socks: true, ["http://api:\(port)/"])
                #expect(after.status.isSuccess)
            }
        }
    }

    @Test(
        "a request that could mean two things is refused",
        arguments: [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET https://api/ HTTP/1.1\r\n\r\n", "CONNECT api HTTP/1.1\r\n\r\n",
            "GET http://api/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET http://api/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET http://api/ HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", "GET http://api/ HTTP/2\r\n\r\n",
            "GET http://api/ HTTP/1.1\r\n folded\r\n\r\n", "GET http://api:99999/ HTTP/1.1\r\n\r\n",
            "GET http:/// HTTP/1.1\r\n\r\n", "G(T http://api/ HTTP/1.1\r\n\r\n",
        ])
    func ambiguous(text: String) async throws {
        #expect(throws: ProxyRequest.Malformed.self) { try ProxyRequest(parsing: Array(text.utf8)) }
    }

    @Test("a head passed on has no field that is the proxy's")
    func forwarded() throws {
        let head = [
            "GET http://user@api:8080?x HTTP/1.1", "Host: other", "Proxy-Connection: keep-alive", "X-Hop: 1",
            "Connection: keep-alive, X-Hop", "Proxy-Authorization: Basic eA==", "Accept: */*", "Cookie: a", "", "",
        ].joined(separator: "\r\n")
        let request = try ProxyRequest(parsing: Array(head.utf8))
        #expect(
            String(decoding: request.forwarded(), as: UTF8.self)
                == "GET /?x HTTP/1.1\r\nHost: api:8080\r\nAccept: */*\r\nCookie: a\r\nConnection: close\r\n\r\n")
    }

    @Test("dependencies have ports of this machine, also those that come later, and variables that lead there")
    func needs() async throws {
        try await ProxyFixture.run { fixture in
            try await withEcho { port in
                fixture.api.service("api", "127.0.0.3", ports: [port])
                let variables = try await fixture.egress.needs([
                    Dependency(name: "api", port: port), Dependency(name: "later", port: port),
                ])
                let host = try #require(variables["API_SERVICE_HOST"])
                #expect(host == "127.0.0.1" && variables["API_SERVICE_PORT"] == "\(port)")
                let late = try #require(variables["LATER_SERVICE_HOST"])
                #expect(late == "127.0.0.2")
                let rewritten = fixture.egress.rewritten(["API": "http://api.web:\(port)/x", "OTHER": "http://b/"])
                #expect(rewritten == ["API": "http://127.0.0.1:\(port)/x", "OTHER": "http://b/"])
                func ask(_ host: String) async throws -> Output {
                    try await Child.run(Launch(["curl", "-sS", "--noproxy", "*", "http://\(host):\(port)/n"]))
                }
                #expect(try await ask(host).text.hasPrefix("GET /n\n"))
                #expect(try await !ask(late).status.isSuccess)
                #expect(
                    fixture.events.contains {
                        if case .failed(let failure) = $0 {
                            failure.summary.hasPrefix("needs later:\(port): no Service \"later\"")
                        } else {
                            false
                        }
                    })
                fixture.api.service("later", "127.0.0.3", ports: [port])
                while try await !ask(late).status.isSuccess {}
            }
        }
    }

    @Test("a client that does not say what it wants is given up, and one that says too much is refused")
    func slow() async throws {
        try await LinkedHelper.run { helper in
            let names = ClusterNames(.nowhere, namespace: "web")
            var proxy = try Proxy(
                Dialer(names: names, route: FixedRoute(helper: helper.link)), notices: Notices { _ in },
                slots: ConnectionSlots())
            proxy.patience = .milliseconds(200)
            let running = Task { [proxy] in await proxy.run() }
            for bytes in [[], [5], [5, 1, 0, 5, 1], Array("GET http://api/ HTTP/1.1\r\nHost".utf8)] as [[UInt8]] {
                let client = try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: proxy.listener.port))
                try await client.write(bytes)
                // Its end, or a break, whichever the kernel makes of it.
                _ = try? await client.all()
                client.close()
            }
            running.cancel()
            await running.value
        }
        try await ProxyFixture.run { fixture in
            let client = try await fixture.connect()
            let long = "GET http://api/ HTTP/1.1\r\n" + String(repeating: "X: 1234567890\r\n", count: 8000)
            try? await client.write(Array(long.utf8))
            let answer = String(decoding: (try? await client.all()) ?? [], as: UTF8.self)
            #expect(answer.hasPrefix("HTTP/1.1 400 ") && answer.contains("a head of more than"), "\(answer)")
            client.close()
        }
    }

    @Test("beyond the number of connections of all ports together the next ones wait, and a line says so")
    func full() async throws {
        let told = Mutex<[String]>([])
        let listeners = [try LoopbackListener(port: 0), try LoopbackListener(port: 0)]
        let slots = ConnectionSlots(2)
        let notices = Notices { event in
            if case .notice(let line) = event { told.withLock { $0.append(line) } }
        }
        let running = Task {
            await withDiscardingTaskGroup { group in
                for listener in listeners {
                    group.addTask {
                        await listener.run(notices: notices, slots: slots) { stream in
                            try? await stream.write([1])
                            _ = try? await stream.all()
                            stream.close()
                        }
                    }
                }
            }
        }
        var clients: [Reactor.Stream] = []
        for index in 0..<2 {
            clients.append(try await .connect(to: .tcp(host: "127.0.0.1", port: listeners[index].port)))
            #expect(try await clients[index].read() == [1])
        }
        for listener in listeners {
            clients.append(try await .connect(to: .tcp(host: "127.0.0.1", port: listener.port)))
        }
        let lines = listeners.map { "127.0.0.1:\($0.port): 2 connections are open: the next ones wait" }
        while told.withLock({ $0.count }) < 2 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(Set(told.withLock { $0 }) == Set(lines))
        for client in clients[2...] { #expect(try client.readNow() == nil) }
        for client in clients[..<2] { client.close() }
        for client in clients[2...] { #expect(try await client.read() == [1]) }
        running.cancel()
        await running.value
    }
}
