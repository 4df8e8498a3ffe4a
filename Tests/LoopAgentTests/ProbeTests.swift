import Glibc
import Reactor
import Testing
import Wire

@Suite("Probes", .timeLimit(.minutes(5)))
struct ProbeTests {
    private static let failing = ["exec", "--", "sh", "-c", "echo bad >&2; exit 4"]

    private func probe(_ arguments: [String]) async throws -> (status: Reactor.ExitStatus, error: String) {
        let output = try await Child.run(Launch([Built.helper, "probe"] + arguments))
        return (output.status, output.errorText)
    }

    @Test("without a supervisor, and beside a service that just runs, a command decides")
    func exec() async throws {
        try await Supervised.run("exec sleep 1000") { supervised, folder in
            let client = try await supervised.connect()
            _ = try await client.follow().untilRunning()
            for state in [folder, folder + "/missing"] {
                let failed = try await probe(
                    ["--state", state, "--startup", "600", "--timeout", "60"] + ProbeTests.failing)
                #expect(failed.status == .exited(4) && failed.error == "bad\n")
                #expect(try await probe(["--state", state, "exec", "--", "true"]).status == .exited(0))
                let missing = try await probe(["--state", state, "exec", "--", "/no/such"])
                #expect(missing.status == .exited(127) && missing.error.contains("/no/such: no such program"))
            }
            try await client.end()
        }
    }

    @Test("a service that is held, ended, being restarted or just restarted need not answer")
    func excuses() async throws {
        let script = "trap 'read x; exit' TERM; echo ready; while :; do sleep 1000 & wait; done"
        try await Supervised.run(script) { supervised, folder in
            func fails(_ options: String...) async throws -> Bool {
                let status = try await probe(
                    ["--state", folder, "--timeout", "60"] + options + ProbeTests.failing
                ).status
                #expect(status == .exited(0) || status == .exited(4))
                return status == .exited(4)
            }
            let client = try await supervised.connect()
            let following = try await client.follow()
            #expect(try await supervised.printed() == "ready\n")
            #expect(try await fails("--startup", "600", "--initial-delay", "600"))
            // Being restarted.
            try await client.send(.service(.restart(graceMilliseconds: .max)), on: client.newStream())
            try await following.until(.stopping)
            #expect(try await !fails())
            try await supervised.child.standardInput?.write([10])
            let pid = try await following.untilRunning(starts: 2).pid
            // Just restarted.
            #expect(try await !fails("--startup", "600"))
            #expect(try await !fails("--initial-delay", "600", "--startup", "0"))
            #expect(try await fails())
            // Ended.
            kill(pid, SIGKILL)
            _ = try await following.untilEnded()
            #expect(try await !fails())
            // Held.
            try await client.service(.hold(graceMilliseconds: 0))
            #expect(try await !fails())
            // Being held.
            try await client.service(.release)
            try await client.send(.service(.hold(graceMilliseconds: .max)), on: client.newStream())
            try await following.until(.stopping)
            #expect(try await !fails())
            try await client.end()
        }
    }

    @Test("a service that is stopped, as at a breakpoint, need not answer for as long as that lasts")
    func stopped() async throws {
        try await Supervised.run("sleep 1000 & echo $!; wait") { supervised, folder in
            let child = try #require(Int32(try await supervised.printed().dropLast()))
            let client = try await supervised.connect()
            let main = try await client.follow().untilRunning().pid
            func probed(as status: Reactor.ExitStatus) async throws -> Bool {
                let arguments = ["--state", folder, "--timeout", "60"] + ProbeTests.failing
                return await eventually { (try? await probe(arguments).status) == status }
            }
            #expect(try await probed(as: .exited(4)))
            for process in [main, child] {
                kill(process, SIGSTOP)
                #expect(try await probed(as: .exited(0)))
                kill(process, SIGCONT)
                #expect(try await probed(as: .exited(4)))
            }
            try await client.end()
        }
    }

    @Test("a supervisor that does not answer is not waited for longer than half of the time")
    func silentSupervisor() async throws {
        try await withFolder { folder in
            let listener = try Listener(.unix(path: folder + "/s"))
            let result = try await probe(["--state", folder, "--timeout", "1"] + ProbeTests.failing)
            #expect(result.status == .exited(4))
            listener.close()
        }
    }

    @Test(
        "an HTTP check passes with what the kubelet passes, and says what it got otherwise",
        arguments: [
            ("HTTP/1.1 200 OK\r\n\r\n", nil), ("HTTP/1.0 302 Found\r\nLocation: /x\r\n\r\n", nil),
            ("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", nil),
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "HTTP probe failed with statuscode: 503\n"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP probe failed with statuscode: 404\n"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "malformed HTTP response\n"), ("HTTP/1.1 abc\n", "malformed HTTP response\n"),
            ("", "EOF\n"), ("HTTP/1.1", "malformed HTTP response\n"),
        ] as [(String, String?)])
    func http(_ answer: String, _ complaint: String?) async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        guard case .tcp(_, let port) = listener.endpoint else { return }
        let serving = Task {
            let stream = try await listener.accept()
            var request = ""
            while !request.hasSuffix("\r\n\r\n") { request += try await stream.read().text }
            try await stream.write([UInt8](answer))
            stream.close()
            return request
        }
        let result = try await probe(["--timeout", "60", "http", "\(port)", "healthz?a=b", "--header", "X-Probe: yes"])
        #expect(result.status == .exited(complaint == nil ? 0 : 1))
        #expect(complaint.map { result.error.hasSuffix($0) } ?? (result.error == ""), "\(result.error)")
        let request = try await serving.value
        #expect(request.hasPrefix("GET /healthz?a=b HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n"))
        #expect(request.contains("\r\nX-Probe: yes\r\n") && request.contains("\r\nConnection: close\r\n"))
    }

    @Test("a given Host header replaces the address")
    func host() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        guard case .tcp(_, let port) = listener.endpoint else { return }
        let serving = Task {
            let stream = try await listener.accept()
            defer { stream.close() }
            return try await stream.read().text
        }
        _ = try await probe(
            ["--timeout", "60", "http", "\(port)", "/", "--host", "127.0.0.1", "--header", "host:example.org"])
        let request = try await serving.value
        #expect(request.contains("\r\nhost:example.org\r\n") && !request.contains("Host: "))
    }

    @Test("a connection decides a TCP check; who refuses, is silent or has no address is named in one line")
    func network() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let port) = listener.endpoint else { return }
        #expect(try await probe(["--timeout", "60", "tcp", "\(port)"]).status == .exited(0))
        // Nobody accepts, so nobody answers.
        let silent = try await probe(["http", "\(port)", "/"])
        #expect(silent.status == .exited(1) && silent.error.hasSuffix("no answer within 1 s\n"))
        listener.close()
        // A port that is freed may be another test's by now; nobody listens at the first one.
        let refused = try await probe(["--timeout", "60", "tcp", "1"])
        #expect(refused.status == .exited(1))
        #expect(refused.error == "dial tcp 127.0.0.1:1: connect: connection refused\n")
        let named = try await probe(["tcp", "\(port)", "--host", "localhost"])
        #expect(named.status == .exited(1) && named.error.hasSuffix(": not a numeric address\n"))
        let six = try await probe(["--timeout", "60", "tcp", "1", "--host", "::1"])
        #expect(six.status == .exited(1) && six.error.hasPrefix("dial tcp [::1]:1: connect: "))
    }

    @Test("a service that listens at another of its own addresses only is found there", .enabled(if: hasIPv6))
    func ownAddress() async throws {
        let listener = try #require(ProbeTests.listenAtSix())
        defer { close(listener.descriptor) }
        let port = listener.port
        #expect(try await probe(["--timeout", "60", "tcp", "\(port)"]).status == .exited(0))
        let asked = try await probe(["--timeout", "60", "tcp", "\(port)", "--host", "127.0.0.2"])
        #expect(asked.status == .exited(1))
    }

    private static let hasIPv6 = listenAtSix().map { close($0.descriptor) == 0 } ?? false

    /// A socket that listens at `::1`; `nil` on a machine without IPv6.
    private static func listenAtSix() -> (descriptor: Int32, port: UInt16)? {
        let descriptor = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_addr = in6addr_loopback
        var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, size) == 0 && listen(descriptor, 8) == 0
                    && getsockname(descriptor, address, &size) == 0
            }
        }
        guard isBound else {
            close(descriptor)
            return nil
        }
        return (descriptor, UInt16(bigEndian: address.sin6_port))
    }

    @Test(
        "a command line that makes no sense is refused",
        arguments: [
            ["exec"], ["exec", "--"], ["exec", "true"], ["http"], ["http", "80"], ["http", "0", "/"],
            ["http", "65536", "/"], ["http", "80", "/", "--header", "none"], ["tcp"], ["tcp", "x"],
            ["tcp", "80", "--header", "a:b"], ["tcp", "80", "--host"], ["--timeout", "0", "tcp", "80"],
            ["--startup", "-1", "tcp", "80"], ["--state"], ["ftp", "21"],
        ])
    func refusesNonsense(_ arguments: [String]) async throws {
        #expect(try await probe(arguments).status == .exited(2))
    }
}
