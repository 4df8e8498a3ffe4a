import Glibc
import HTTP
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import OCI

@Suite("Ways to registries")
struct TransportTests {
    @Test(
        "what is on this machine is told by name and address",
        arguments: [
            ("localhost", ["127.0.0.1", "::1"]), ("k3d-registry.localhost", ["127.0.0.1", "::1"]),
            ("Registry.LOCALHOST", ["127.0.0.1", "::1"]), ("127.0.0.1", ["127.0.0.1"]), ("127.9.9.9", ["127.9.9.9"]),
            ("::1", ["::1"]), ("10.0.0.1", nil), ("1270.0.0.1", nil), ("::2", nil), ("localhost.example.invalid", nil),
            ("notlocalhost", nil), ("0.0.0.0", nil),
        ] as [(String, [String]?)])
    func loopback(host: String, addresses: [String]?) async {
        #expect(await Loopback.addresses(of: host) == addresses)
    }

    @Test(
        "a name is this machine where all that it leads to is",
        arguments: [
            (["127.0.0.1"], true), (["127.0.1.1", "::1"], true), ([], false), (["192.0.2.7"], false),
            (["127.0.0.1", "192.0.2.7"], false), (["::1", "2001:db8::7"], false),
        ] as [([String], Bool)])
    func resolvedName(found: [String], isHere: Bool) async {
        let addresses = await Loopback.addresses(of: "Registry.Inside") { $0 == "registry.inside" ? found : [] }
        #expect(addresses == (isHere ? found : nil))
    }

    @Test("a resolver that does not answer does not know the name, and does not hold up who asks")
    func silentResolver() async {
        let answer = Mutex(false)
        let addresses = await Loopback.addresses(of: "registry.inside", limit: .milliseconds(50)) { _ in
            while !answer.withLock({ $0 }) { usleep(1000) }
            return ["127.0.0.1"]
        }
        #expect(addresses == nil)
        answer.withLock { $0 = true }
    }

    @Test(
        "a name that /etc/hosts gives to the loopback is spoken to in plain HTTP",
        .enabled(if: !Self.loopbackNames.isEmpty, "/etc/hosts names nothing but localhost"))
    func hostsFile() async {
        for name in Self.loopbackNames { #expect(await Registry.isNearby("\(name):5000"), "\(name)") }
    }

    /// The names in `/etc/hosts` that lead here and nowhere else, but for those that always do.
    private static let loopbackNames: [String] = {
        let text = (try? Disk.read("/etc/hosts")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        var places: [String: [String]] = [:]
        for line in text.split(separator: "\n") {
            let words = line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" }.map(String.init)
            for name in words.dropFirst() { places[name, default: []].append(words[0]) }
        }
        return places.filter { name, addresses in
            addresses.allSatisfy(Loopback.isLoopback) && name != "localhost" && !name.hasSuffix(".localhost")
        }.keys.sorted()
    }()

    @Test(
        "URLs that registries name are read, and nothing else is",
        arguments: [
            ("/v2/x", "https://r.example/v2/x"), ("https://a.example/b?c=d#e", "https://a.example/b?c=d"),
            ("http://A.example:5000", "http://a.example:5000/"), ("https://[::1]:5000/x", "https://[::1]:5000/x"),
            ("x?y", "https://r.example/v2/x?y"), ("?y", "https://r.example/v2/base?y"), ("//evil/x", nil), ("", nil),
            ("ftp://a/b", nil), ("https://", nil), ("https://user@a/b", nil), ("https://a:99999/", nil), ("/a b", nil),
            ("https://a\r\nX: y/", nil),
        ] as [(String, String?)])
    func urls(text: String, result: String?) throws {
        let base = try #require(RegistryURL("https://r.example/v2/base?state=1"))
        #expect(RegistryURL(text, relativeTo: base)?.description == result)
    }

    @Test("a value in a query is encoded, whatever is there already")
    func query() throws {
        let plain = try #require(RegistryURL("http://a/u"))
        #expect(plain.adding("digest", "sha256:ab").target == "/u?digest=sha256%3Aab")
        #expect(
            try #require(RegistryURL("http://a/u?_state=x%3D")).adding("d", "a&b").target == "/u?_state=x%3D&d=a%26b")
    }

    @Test(
        "challenges are read",
        arguments: [
            (
                ["Bearer realm=\"https://a/token\",service=\"r\", scope=\"repository:x:pull,push\""], "bearer",
                ["realm": "https://a/token", "service": "r", "scope": "repository:x:pull,push"]
            ),
            (["Basic realm=\"a \\\"b\\\"\""], "basic", ["realm": "a \"b\""]),
            (["Basic realm=x", "bearer realm=y"], "bearer", ["realm": "y"]), (["Negotiate"], nil, [:]),
            ([""], nil, [:]),
            (["Bearer realm="], "bearer", ["realm": ""]), (["Bearer =,=\"\\"], "bearer", ["": "\\"]),
        ] as [([String], String?, [String: String])])
    func challenges(fields: [String], scheme: String?, parameters: [String: String]) {
        let best = Challenge.best(of: fields)
        #expect(best?.scheme == scheme)
        #expect(best?.parameters ?? [:] == parameters)
    }

    @Test("curl gets everything by its configuration, and nothing breaks out of a value")
    func curl() throws {
        var configuration = CurlConfiguration()
        let url = try #require(RegistryURL("https://r.example/v2/"))
        var call = Call("PATCH", url, headers: ["Authorization": "Basic c2VjcmV0"])
        call.headers["X-Odd"] = "a\"\nurl = \"https://evil\\"
        configuration.describe(call, Patience(), certificates: "/ca.pem", resolutions: ["a:1:127.0.0.1"])
        let lines = configuration.text.split(separator: "\n")
        #expect(lines.contains("url = \"https://r.example/v2/\""))
        #expect(lines.contains("header = \"Authorization: Basic c2VjcmV0\""))
        #expect(lines.contains("header = \"X-Odd: a\\\"\\nurl = \\\"https://evil\\\\\""))
        #expect(lines.contains("cacert = \"/ca.pem\""))
        #expect(lines.contains("proto = \"=https\""))
        #expect(lines.count { $0.hasPrefix("url") } == 1)
    }

    /// A double of curl that takes notes.
    private struct Notes: ProgramRunner {
        let status: Int32
        let said: String
        let check: @Sendable ([String], String) -> Void

        func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output {
            check(arguments, String(decoding: input, as: UTF8.self))
            let program = ["sh", "-c", "printf '%b' \"$1\"; echo 'curl: (7) refused' >&2; exit \(status)", "sh", said]
            return try await DirectRunner().run(program, input: [], limit: limit)
        }
    }

    @Test("a secret reaches curl by its input, never by an argument")
    func secrets() async throws {
        let url = try #require(RegistryURL("https://r.example/token"))
        let said = "HTTP/1.1 200 OK\\r\\n\\r\\nok"
        let programs = Notes(status: 0, said: said) { arguments, input in
            #expect(arguments == ["curl", "--disable", "--config", "-"])
            #expect(input.contains("Bearer hunter2"))
            #expect(input.contains("refresh_token=hunter3"))
        }
        let transport = CurlTransport(programs: programs, patience: Patience(), temporaryFolder: "/tmp")
        let call = Call("POST", url, headers: ["Authorization": "Bearer hunter2"], body: .form("refresh_token=hunter3"))
        #expect(try await transport.send(call).body == Array("ok".utf8))
    }

    @Test(
        "how curl ends says what went wrong",
        arguments: [
            (7, .unreachable("curl: (7) refused")), (6, .unreachable("curl: (7) refused")),
            (60, .certificate("curl: (7) refused")), (28, .broken("curl: (7) refused")),
            (56, .broken("curl: (7) refused")), (3, .unusable("curl: (7) refused")),
        ] as [(Int32, TransportFailure)])
    func codes(code: Int32, failure: TransportFailure) async throws {
        let url = try #require(RegistryURL("https://r.example/v2/"))
        let programs = Notes(status: code, said: "") { _, _ in }
        let transport = CurlTransport(programs: programs, patience: Patience(), temporaryFolder: "/tmp")
        await #expect(throws: failure) { try await transport.send(Call("GET", url)) }
    }

    @Test(
        "a handshake that fails is plain HTTP, a moment's trouble, or a certificate",
        arguments: [
            ("OpenSSL/3.0.19: error:0A00010B:SSL routines::wrong version number", "plain"),
            ("error:0A0000C6:SSL routines::packet length too long", "plain"),
            ("TLS connect error: error:0A000139:SSL routines::record layer failure", "plain"),
            ("gnutls_handshake() failed: An unexpected TLS packet was received.", "plain"),
            ("Recv failure: Connection reset by peer", "broken"),
            ("OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to r.example:443", "broken"),
            ("error:0A000126:SSL routines::unexpected eof while reading", "broken"),
            ("gnutls_handshake() failed: The TLS connection was non-properly terminated.", "broken"),
            ("error:14094410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure", "certificate"),
        ])
    func handshakes(said: String, kind: String) {
        let line = "curl: (35) \(said)"
        let expected: [String: TransportFailure] = [
            "plain": .plain(line), "broken": .broken(line), "certificate": .certificate(line),
        ]
        #expect(CurlTransport.failure(35, "\n\(CurlConfiguration.sent)0\n\(line)\n") == expected[kind])
    }

    /// An address of this machine that is not its own alone; `nil` where it has none.
    private static let outside: String? = {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            guard let about = entry.ifa_addr, about.pointee.sa_family == sa_family_t(AF_INET) else { continue }
            var text = [CChar](repeating: 0, count: 64)
            let size = socklen_t(MemoryLayout<sockaddr_in>.size)
            guard getnameinfo(about, size, &text, 64, nil, 0, NI_NUMERICHOST) == 0 else { continue }
            let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if !address.hasPrefix("127.") { return address }
        }
        return nil
    }()

    @Test(
        "plain HTTP of another machine is told as that",
        .enabled(if: outside != nil && (Installed.program("curl") != nil), "another address than loopback is needed"))
    func elsewhere() async throws {
        let address = try #require(Self.outside)
        let listener = try Listener(.tcp(host: address, port: 0))
        let server = HTTPServer(listener) { exchange in try? await exchange.respond(HTTPResponse(200)) }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await server.run() }
            let name = "\(listener.endpoint)"
            await #expect {
                try await Registry(name).check()
            } throws: { error in
                let failure = error as? RegistryFailure
                return failure?.kind == .untrusted && failure?.nextStep.contains("TLS") == true
                    && failure?.summary.hasSuffix("\(name) speaks plain HTTP; loopd does that only to this machine")
                        == true
            }
            group.cancelAll()
        }
    }

    @Test("a slow link that breaks is not given up while bytes go, and what cuts them for ever is")
    func movement() async throws {
        var patience = Patience()
        patience.pause = .nanoseconds(1)
        let trouble = Recovery.Trouble(.broken("cut"))
        let start = ContinuousClock.now
        var still = Recovery(patience)
        let first = try await still.pause(after: trouble, at: start)
        let second = try await still.pause(after: trouble, at: start + .seconds(40))
        #expect(first && !second)

        let movement = Movement()
        var slow = Recovery(patience)
        var now = start
        var count = 0
        while count < 100 {
            slow.noteMovement(movement)
            guard try await slow.pause(after: trouble, at: now) else { break }
            count += 1
            now += .seconds(40)
            movement.note(at: now)
        }
        #expect((10..<100).contains(count))
    }

    @Test("without curl the program that is missing is named", arguments: [127, nil] as [Int32?])
    func noCurl(status: Int32?) async throws {
        struct Nobody: ProgramRunner {
            let status: Int32?
            func run(_ arguments: [String], input: [UInt8], limit: Int) async throws -> Output {
                guard let status else { throw SystemError(code: 2, attempt: "start curl") }
                return try await DirectRunner().run(["sh", "-c", "exit \(status)"], input: [], limit: limit)
            }
        }
        var options = Registry.Options()
        options.programs = Nobody(status: status)
        let registry = Registry("registry.example.invalid", options: options)
        await #expect {
            try await registry.head("1", in: "app")
        } throws: { error in
            (error as? RegistryFailure)?.nextStep == "install curl"
        }
    }

    @Test("what curl printed is taken apart, announcements left out")
    func answer() throws {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nLocation: /x\r\n\r\nbo\r\n\r\ndy"
        let answer = try CurlTransport.parse(Array(text.utf8), hasOutput: false)
        #expect(answer.status == 202)
        #expect(answer.headers["Location"] == "/x")
        #expect(String(decoding: answer.body, as: UTF8.self) == "bo\r\n\r\ndy")
        #expect(throws: TransportFailure.self) { try CurlTransport.parse(Array("HTTP/1.1 200".utf8), hasOutput: false) }
    }

    @Test(
        "how much a registry has of an upload",
        arguments: [
            ("0-99", 100), ("bytes=0-99", 100), ("0-0", nil), ("5-99", nil), ("0-", nil), ("x", nil), ("0--5", nil),
            ("0-9223372036854775807", nil), (nil, nil),
        ] as [(String?, Int64?)])
    func received(range: String?, count: Int64?) {
        var headers: HTTPHeaders = [:]
        headers["Range"] = range
        #expect(BlobUpload.received(Answer(status: 204, headers: headers, body: [])) == count)
    }

    @Test("an error holds what the registry says, and what to do")
    func errors() {
        let registry = Registry("localhost:5000")
        let body = Array("{\"errors\":[{\"code\":\"DENIED\",\"message\":\"no\",\"detail\":{}}]}".utf8)
        let failure = registry.failure(Answer(status: 403, headers: [:], body: body), "push web", "web")
        #expect(failure.kind == .denied)
        #expect(failure.details == ["DENIED: no"])
        #expect(failure.summary == "cannot push web: the login for localhost:5000 may not do this")
        let html = registry.failure(Answer(status: 502, headers: [:], body: Array("<html>".utf8)), "push web", "web")
        #expect(html.kind == .failing)
        #expect(html.details == ["status 502"])
    }
}
