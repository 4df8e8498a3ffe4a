import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("Outside names by this machine's own proxy", .serialized, .turn)
struct OutsideProxyTests {
    /// Runs `body` with a proxy that alone knows the name `api.far`: that of a loopd whose cluster is another one.
    private func withFar(_ body: (_ proxy: ProxyFixture, _ target: String) async throws -> Void) async throws {
        try await ProxyFixture.run { outer in
            try await withEcho { port in
                outer.api.service("api", "127.0.0.3", ports: [port], namespace: "far")
                try await body(outer, "api.far:\(port)")
            }
        }
    }

    /// Runs `body` with this machine's own name, which is none of loopback and known to everyone, and the port of a server there.
    private func withOwnName(_ body: (_ name: String, _ port: UInt16) async throws -> Void) async throws {
        var buffer = [CChar](repeating: 0, count: 256)
        gethostname(&buffer, buffer.count - 1)
        let name = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
        let address = try #require(try await Dialer.addresses(of: name).first, "this machine does not know itself")
        try await withEcho(at: address) { port in try await body(name, port) }
    }

    private func environment(_ url: String) -> [String: String] {
        ["HTTP_PROXY": url, "HTTPS_PROXY": url]
    }

    @Test(
        "a name that only the proxy knows is reached, by whatever a program and the proxy speak",
        arguments: [true, false])
    func names(socks: Bool) async throws {
        try await withFar { outer, target in
            // The outer one is what a program that loopd has started finds: another loopd in it goes by it.
            let variables = socks ? ["ALL_PROXY": outer.variables["ALL_PROXY"] ?? ""] : outer.variables
            try await ProxyFixture.run(environment: variables) { inner in
                for (way, arguments) in [(true, []), (false, ["-p"]), (false, [])] {
                    let output = try await inner.curl(socks: way, arguments + ["http://\(target)/a?b"])
                    #expect(output.text.hasPrefix("GET /a?b\nhost \(target)\n"), "\(output.text)\(output.errorText)")
                }
                let posted = try await inner.curl(
                    socks: false, ["-H", "Transfer-Encoding: chunked", "-d", "hello", "http://\(target)/"])
                #expect(posted.text.contains("bytes 5 "), "\(posted.text)\(posted.errorText)")
                // The server is told the name that the program knows it by.
                let port = try #require(target.split(separator: ":").last)
                inner.api.service(
                    "alias", "127.0.0.3", ports: [], more: ["type": "ExternalName", "externalName": "api.far"])
                let alias = try await inner.curl(socks: false, ["http://alias:\(port)/"])
                #expect(alias.text.hasPrefix("GET /\nhost alias:\(port)\n"), "\(alias.text)\(alias.errorText)")
                #expect(inner.notices == [])
            }
        }
    }

    @Test(
        "a proxy program with a password leads there, and says when it is another one",
        .enabled(if: OutsideProxyFixture.isInstalled, "apt-get install tinyproxy microsocks"))
    func password() async throws {
        try await withFar { outer, target in
            let lines = ["Upstream http 127.0.0.1:\(outer.port)", "BasicAuth me secret"]
            try await OutsideProxyFixture.tinyproxy(lines) { port in
                try await ProxyFixture.run(environment: environment("http://me:secret@127.0.0.1:\(port)")) { inner in
                    for (way, arguments) in [(true, []), (false, ["-p"]), (false, [])] {
                        let output = try await inner.curl(socks: way, arguments + ["http://\(target)/x"])
                        #expect(output.text.hasPrefix("GET /x\n"), "\(output.text)\(output.errorText)")
                    }
                }
                // This proxy does not take a wrong password for none.
                for (user, answer) in [
                    ("me:wrong@", "401 Unauthorized"), ("", "407 Proxy Authentication Required"),
                ] {
                    let variables = environment("http://\(user)127.0.0.1:\(port)")
                    try await ProxyFixture.run(environment: variables) { inner in
                        let tunnel = try await inner.curl(socks: false, ["-p", "http://\(target)/"])
                        #expect(!tunnel.status.isSuccess)
                        #expect(
                            inner.notices == [
                                "\(target): no pod \"api\" of a Service \"far\" in namespace web, and this machine's proxy "
                                    + "127.0.0.1:\(port) (HTTPS_PROXY) answers \(answer); "
                                    + "directly: this machine does not know the name"
                            ])
                        // A plain request's answer is the proxy's own.
                        let plain = try await inner.curl(
                            socks: false, ["-o", "/dev/null", "-w", "%{http_code}", "http://\(target)/"])
                        #expect(plain.text == answer.prefix(3))
                        // One that a program has to answer is told.
                        let line =
                            "\(target): this machine's proxy 127.0.0.1:\(port) (HTTP_PROXY) wants a user and a password"
                        #expect(inner.notices.dropFirst() == (user.isEmpty ? [line] : []))
                    }
                }
            }
        }
    }

    @Test(
        "a SOCKS5 proxy with a password leads there, and says when it is another one",
        .enabled(if: OutsideProxyFixture.isInstalled, "apt-get install tinyproxy microsocks"))
    func socksPassword() async throws {
        try await withEcho { port in
            try await OutsideProxyFixture.microsocks(user: "me", password: "secret") { proxy in
                // An address that the proxy takes for one of its own machine's.
                let target = "127.0.0.3"
                let right = try #require(OutsideProxy("socks5://me:secret@127.0.0.1:\(proxy)", variable: "ALL_PROXY"))
                let stream = try await right.tunnel(to: target, port: port)
                try await stream.send(Array("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".utf8))
                var answer: [UInt8] = []
                while true {
                    let bytes = try await stream.receive()
                    if bytes.isEmpty { break }
                    answer += bytes
                }
                stream.close()
                #expect(String(decoding: answer, as: UTF8.self).contains("GET /x\n"))
                for (user, reason) in [
                    ("me:wrong@", "does not take this user and password"), ("", "wants a user and a password"),
                ] {
                    let wrong = try #require(OutsideProxy("socks5://\(user)127.0.0.1:\(proxy)", variable: "ALL_PROXY"))
                    let failure = await #expect(throws: DialFailure.self) {
                        try await wrong.tunnel(to: target, port: port)
                    }
                    #expect(
                        failure?.text == "this machine's proxy 127.0.0.1:\(proxy) (ALL_PROXY) \(reason)")
                }
                let closed = try freePort()
                let failure = await #expect(throws: DialFailure.self) {
                    try await right.tunnel(to: target, port: closed)
                }
                #expect(failure?.text.hasSuffix("answers: connection refused") == true)
            }
        }
    }

    @Test(
        "what HTTPS_PROXY refuses at a port that is not the web's is reached directly",
        .enabled(if: OutsideProxyFixture.isInstalled, "apt-get install tinyproxy microsocks"))
    func otherPorts() async throws {
        try await withOwnName { name, port in
            try await OutsideProxyFixture.tinyproxy(["ConnectPort 443"]) { proxy in
                let url = "http://127.0.0.1:\(proxy)"
                try await ProxyFixture.run(environment: ["HTTPS_PROXY": url]) { inner in
                    let output = try await inner.curl(socks: true, ["http://\(name):\(port)/x"])
                    #expect(output.text.hasPrefix("GET /x\n"), "\(output.errorText)")
                    // Both ways are told.
                    #expect(try await !inner.curl(socks: true, ["http://no.invalid:\(port)/"]).status.isSuccess)
                    let line = inner.notices.first ?? ""
                    let end =
                        "(HTTPS_PROXY) answers 403 Access violation; directly: this machine does not know the name"
                    #expect(line.hasSuffix("127.0.0.1:\(proxy) \(end)"), "\(line)")
                }
                // It is for everything.
                try await ProxyFixture.run(environment: ["ALL_PROXY": url]) { inner in
                    let output = try await inner.curl(socks: true, ["http://\(name):\(port)/x"])
                    #expect(!output.status.isSuccess)
                }
            }
        }
    }

    @Test("what a silent HTTPS_PROXY keeps waiting at a port that is not the web's is reached directly")
    func silentThenDirect() async throws {
        try await withOwnName { name, port in
            try await withAnswer([], ends: false) { url in
                try await ProxyFixture.run(environment: ["HTTPS_PROXY": url]) { inner in
                    let output = try await inner.curl(socks: true, ["http://\(name):\(port)/x"])
                    #expect(output.text.hasPrefix("GET /x\n"), "\(output.errorText)")
                    #expect(inner.notices == [])
                }
            }
        }
    }

    @Test("a proxy that is not there is named, with what the cluster has to say about the name")
    func absent() async throws {
        let port = try freePort()
        try await ProxyFixture.run(environment: environment("http://me:secret@127.0.0.1:\(port)")) { fixture in
            fixture.api.service("postgres", "127.0.0.3", ports: [443])
            for (target, variable) in [("postgre:443", "HTTPS_PROXY"), ("postgre:80", "HTTP_PROXY")] {
                _ = try await fixture.curl(socks: variable == "HTTPS_PROXY", ["http://\(target)/"])
                #expect(
                    fixture.notices.last
                        == "\(target): no Service \"postgre\" in namespace web (did you mean \"postgres\"?)"
                        + ", and this machine's proxy 127.0.0.1:\(port) (\(variable)) cannot be reached: Connection refused"
                )
            }
        }
    }

    @Test("what is loopback's or excepted is reached without the proxy")
    func excepted() async throws {
        var variables = environment("http://127.0.0.1:\(try freePort())")
        variables["NO_PROXY"] = "api.far"
        try await withEcho { port in
            try await ProxyFixture.run(environment: variables) { fixture in
                let near = try await fixture.curl(socks: false, ["http://127.0.0.3:\(port)/x"])
                #expect(near.text.hasPrefix("GET /x\n"), "\(near.text)")
                let far = try await fixture.curl(socks: false, ["http://api.far:\(port)/x"])
                #expect(far.text.hasSuffix("and this machine does not know the name either\n"), "\(far.text)")
            }
        }
    }

    @Test("a dependency that only the proxy may know is no failure, and its port leads there")
    func needs() async throws {
        try await withFar { outer, target in
            let port = try #require(target.split(separator: ":").last.flatMap { UInt16($0) })
            try await ProxyFixture.run(environment: outer.variables) { inner in
                _ = try await inner.egress.needs([Dependency(name: "api.far", port: port)])
                #expect(!inner.events.contains { if case .failed = $0 { true } else { false } }, "\(inner.events)")
                let local = try #require(
                    inner.events.compactMap { if case .forwarding(let local, _) = $0 { local } else { nil } }.first)
                let output = try await Child.run(Launch(["curl", "-sS", "--noproxy", "*", "http://\(local)/n"]))
                #expect(output.text.hasPrefix("GET /n\n"), "\(output.errorText)")
                // A name like one of the cluster's is told as without a proxy.
                _ = try await inner.egress.needs([Dependency(name: "no-such-service", port: port)])
                #expect(inner.events.contains { if case .failed = $0 { true } else { false } }, "\(inner.events)")
            }
        }
    }

    @Test("variables that cannot be read are told once, and names are reached without them")
    func unreadable() async throws {
        try await withEcho { port in
            try await ProxyFixture.run(environment: environment("https://proxy:3128")) { fixture in
                #expect(fixture.notices.count == 1 && fixture.notices[0].hasPrefix("HTTP_PROXY, HTTPS_PROXY: only "))
                let output = try await fixture.curl(socks: false, ["http://127.0.0.3:\(port)/"])
                #expect(output.status.isSuccess)
            }
        }
    }

    @Test(
        "what a proxy answers: a tunnel whose first bytes are kept, or a line",
        arguments: [
            ("HTTP/1.1 200 OK\r\n\r\nfirst", "first"),
            ("HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nfirst", "first"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nfirst", "first"),
            ("HTTP/1.1 502 \u{1B}[31mno\r\n\r\n", "answers 502 "),
            ("SSH-2.0-x\r\n\r\n", "does not speak HTTP"),
            ("HTTP/1.1 200 OK\r\n", "has closed the connection without an answer"),
            ("", "has closed the connection without an answer"),
        ])
    func answers(answer: String, expected: String) async throws {
        #expect(try await heard(answer) == expected)
    }

    @Test("a proxy's answer without end is no answer")
    func endless() async throws {
        let head = "HTTP/1.1 200 OK\r\n" + String(repeating: "X: 1234567890\r\n", count: 8000)
        #expect(try await heard(head) == "answers with a head of more than 65536 bytes")
    }

    /// The first bytes through a tunnel by a proxy that answers so, or what is said of that proxy.
    private func heard(_ answer: String) async throws -> String {
        try await withAnswer(Array(answer.utf8), ends: true) { url in
            let proxy = try #require(OutsideProxy(url, variable: "HTTPS_PROXY"))
            do {
                let stream = try await proxy.tunnel(to: "fd00::1", port: 443)
                defer { stream.close() }
                return String(decoding: try await stream.receive(), as: UTF8.self)
            } catch let failure as DialFailure {
                return failure.text.replacing("\(proxy) ", with: "")
            }
        }
    }

    @Test("a proxy that does not answer is given up", arguments: ["http://", "socks5://"])
    func silent(scheme: String) async throws {
        try await withAnswer([], ends: false) { url in
            var proxy = try #require(OutsideProxy(url.replacing("http://", with: scheme), variable: "HTTPS_PROXY"))
            proxy.patience = .milliseconds(200)
            let hasty = proxy
            let failure = await #expect(throws: DialFailure.self) {
                try await hasty.tunnel(to: "example.com", port: 443)
            }
            #expect(failure?.kind == .timedOut)
        }
    }

    /// Runs `body` with a double of a proxy, which answers the first bytes with these and then ends, or does nothing.
    private func withAnswer<Result>(
        _ answer: [UInt8], ends: Bool, _ body: (_ url: String) async throws -> Result
    ) async throws -> Result {
        let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        let server = Task {
            let stream = try await listener.accept()
            _ = try await stream.read()
            try await stream.write(answer)
            if ends { stream.shutdownWrite() }
            _ = try? await stream.all()
            stream.close()
        }
        defer { server.cancel() }
        return try await body("http://127.0.0.1:\(listener.port)")
    }
}
