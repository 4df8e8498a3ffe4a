internal import Reactor

/// One client that speaks SOCKS5 (RFC 1928): CONNECT without authentication.
struct SocksExchange {
    let dialer: Dialer
    let notices: Notices

    private enum Reply: UInt8 {
        case succeeded, failed, notAllowed, networkUnreachable, hostUnreachable, refused, expired, noSuchCommand
        case noSuchAddress
    }

    /// Serves a client whose first byte is there; `timer` ends the connection unless it is cancelled in time.
    func serve(_ input: inout ProxyInput, _ timer: Task<Void, any Error>) async throws {
        let stream = input.stream
        guard input.first == 5 else {
            // SOCKS4 has a refusal of its own.
            try await stream.write([0, 0x5B, 0, 0, 0, 0, 0, 0])
            notices.tell("a program speaks SOCKS4 with the proxy: it needs SOCKS5 (socks5h://)")
            return stream.close()
        }
        let greeting = try await input.take(2)
        let methods = try await input.take(Int(greeting[1]))
        guard methods.contains(0) else {
            try await stream.write([5, 0xFF])
            notices.tell("a program wants to log in to the proxy: it needs no user and no password")
            return await stream.farewell()
        }
        try await stream.write([5, 0])
        let request = try await input.take(4)
        guard request[0] == 5, request[2] == 0 else { return stream.reset() }
        let host: String
        switch request[3] {
        case 1: host = "\(IPAddress(bytes: try await input.take(4)))"
        case 4: host = "\(IPAddress(bytes: try await input.take(16)))"
        case 3:
            let length = try await input.take(1)[0]
            host = String(decoding: try await input.take(Int(length)), as: UTF8.self)
        default: return try await refuse(stream, .noSuchAddress)
        }
        let port = try await input.take(2)
        guard request[1] == 1 else { return try await refuse(stream, .noSuchCommand) }
        guard !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7F }) else {
            return try await refuse(stream, .failed)
        }
        timer.cancel()
        do {
            let remote = try await dialer.connect(to: host, port: UInt16(port[0]) << 8 | UInt16(port[1]))
            do {
                // The address here, which nobody needs: a helper's is another pod's.
                try await stream.write([5, Reply.succeeded.rawValue, 0, 1, 0, 0, 0, 0, 0, 0])
            } catch {
                remote.reset()
                throw error
            }
            await Relay.join(remote, PrefixedStream(input.takeAll(), stream))
        } catch let failure as DialFailure {
            notices.tell(failure.text)
            try await refuse(stream, SocksExchange.reply(failure.kind))
        }
    }

    private func refuse(_ stream: Stream, _ reply: Reply) async throws {
        try await stream.write([5, reply.rawValue, 0, 1, 0, 0, 0, 0, 0, 0])
        await stream.farewell()
    }

    private static func reply(_ kind: DialFailure.Kind) -> Reply {
        switch kind {
        case .refused: .refused
        case .unreachable, .unknownName: .hostUnreachable
        case .timedOut: .expired
        case .other: .failed
        }
    }
}

extension Stream {
    /// Ends the connection so that the peer can read what was sent: closing it with unread bytes would break it.
    func farewell(limit: Duration = .seconds(2)) async {
        shutdownWrite()
        _ = await atMost(limit) { while let bytes = try? await self.read(), !bytes.isEmpty {} }
        close()
    }
}
