import Glibc
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("Who listens on this machine", .turn)
struct ListeningPortsTests {
    private func port(of listener: Listener) throws -> UInt16 {
        guard case .tcp(_, let port) = listener.endpoint else { throw Trouble("not a port: \(listener.endpoint)") }
        return port
    }

    @Test("a socket is seen when it listens, with its process and the address that reaches it")
    func listens() throws {
        for (host, reached) in [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0.0.0.0", "127.0.0.1"), ("::", "::1")] {
            var isGone = false
            // Another program may get the port at once: then with another one.
            for _ in 0..<10 where !isGone {
                let listener = try Listener(.tcp(host: host, port: 0))
                let port = try port(of: listener)
                let listening = try ListeningPorts.now()
                #expect(listening.address(of: port) == reached)
                #expect(listening.ports(ofTree: getpid()).contains(port))
                #expect(listening.holder(of: port)?.pid == getpid())
                #expect(listening.holder(of: port)?.owner == getuid())
                listener.close()
                isGone = try ListeningPorts.now().address(of: port) == nil
            }
            #expect(isGone)
        }
    }

    @Test("a port that is only bound, and one of another address, keep nobody from loopback's")
    func others() throws {
        let bound = try HostFixture.bound(0)
        defer { close(bound.descriptor) }
        #expect(try ListeningPorts.now().holder(of: bound.port) == nil)
        var found: [String] = []
        // Another program may have taken the same port of loopback's: then another one.
        for _ in 0..<10 where !found.contains("nobody 127.0.0.9") {
            let listener = try Listener(.tcp(host: "127.0.0.9", port: 0))
            defer { listener.close() }
            let (port, now) = (try port(of: listener), try ListeningPorts.now())
            found.append("\(now.holder(of: port)?.description ?? "nobody") \(now.address(of: port) ?? "nowhere")")
        }
        #expect(found.last == "nobody 127.0.0.9", "\(found)")
    }

    @Test("hundreds of them are all seen")
    func many() throws {
        let listeners = try (0..<400).map { _ in try Listener(.tcp(host: "127.0.0.1", port: 0)) }
        defer { for listener in listeners { listener.close() } }
        let seen = Set(try ListeningPorts.now().sockets.map(\.port))
        for listener in listeners { #expect(seen.contains(try port(of: listener))) }
    }
}
