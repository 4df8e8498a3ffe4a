import Glibc
import Reactor
import Testing

@testable import LoopServer

@Suite("Who is at a port of this machine", .turn)
struct PortOwnerTests {
    @Test("a real connection's peer is this user, over IPv4 and IPv6", arguments: ["127.0.0.1", "::1"])
    func real(host: String) async throws {
        guard let listener = try? Reactor.Listener(.tcp(host: host, port: 0)) else {
            // A machine without IPv6.
            #expect(host == "::1")
            return
        }
        let client = try await Reactor.Stream.connect(to: listener.endpoint)
        let stream = try await listener.accept()
        #expect(stream.localPeerOwner == getuid())
        #expect(ListeningPorts.holder(of: listener.port) == "\(ownName) (process \(getpid()))")
        // The kernel still has the end that nobody has any more.
        client.close()
        // A child that another test starts just now may have it for a moment.
        #expect(try await stream.read() == [])
        #expect(stream.localPeerOwner == nil)
        listener.close()
    }

    @Test("a program that uses an IPv6 socket for an IPv4 address is known, too, until it closes that")
    func mapped() async throws {
        let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        let client = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        // A machine without IPv6.
        guard client >= 0 else { return }
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = listener.port.bigEndian
        #expect(inet_pton(AF_INET6, "::ffff:127.0.0.1", &address.sin6_addr) == 1)
        let size = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(client, $0, size) }
        }
        #expect(status == 0, "errno \(errno)")
        let stream = try await listener.accept()
        #expect(stream.localPeerOwner == getuid())
        close(client)
        #expect(try await stream.read() == [])
        #expect(stream.localPeerOwner == nil)
        stream.close()
    }

    @Test("a taken port is told with who has it, and a dependency's gets another address of loopback")
    func taken() async throws {
        let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        let near = try LoopbackListener.near(listener.port)
        #expect(near.port == listener.port && near.host == "127.0.0.2")
        let route = PodRoute(
            .selector("app=web"), client: .nowhere, namespace: "web", connector: NoConnector())
        let error = #expect(throws: LoopFailure.self) {
            try ForwardListener(
                Forward(local: listener.port, remote: 80), route: route, notices: Notices { _ in },
                slots: ConnectionSlots())
        }
        #expect(
            error?.failure.summary
                == "port \(listener.port) is taken by \(ownName) (process \(getpid()))")
        #expect(error?.failure.nextStep == "0:80 takes a free one")
        near.close()
        listener.close()
    }

    @Test(
        "forwards as they are written",
        arguments: [
            ("8080:80", 8080, 80), ("80", 80, 80), ("0:80", 0, 80), (":80", 0, 80), ("5432/tcp", 5432, 5432),
        ])
    func forwards(text: String, local: UInt16, remote: UInt16) throws {
        #expect(try Forward(parsing: text) == Forward(local: local, remote: remote))
    }

    @Test(
        "what is no forward is refused, and UDP by its name",
        arguments: ["", "x", "80:", "80:0", "1:2:3", "70000", "-1"])
    func noForwards(text: String) {
        #expect(throws: Forward.Unreadable.self) { try Forward(parsing: text) }
        let error = #expect(throws: Forward.Unreadable.self) { try Forward(parsing: "53/udp") }
        #expect(error?.message.contains("UDP") == true)
    }
}

/// This process's name as the kernel has it.
private var ownName: String {
    let bytes = (try? SmallFile.read("/proc/self/comm", limit: 64)) ?? []
    return String(decoding: bytes.filter { $0 != 0x0A }, as: UTF8.self)
}

/// A double that never finds a way in.
struct NoConnector: ContainerConnector {
    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        throw LinkError.disconnected("no way")
    }
}
