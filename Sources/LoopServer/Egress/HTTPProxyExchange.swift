internal import Reactor
internal import Synchronization

/// One client of the HTTP proxy: a tunnel by CONNECT, or one request in the absolute form.
///
/// A client's connection has one request: the answer says so (`Connection: close`), as a proxy may.
struct HTTPProxyExchange {
    let dialer: Dialer
    let notices: Notices

    /// Serves a client whose first byte is there; `timer` ends the connection unless it is cancelled in time.
    func serve(_ input: inout ProxyInput, _ timer: Task<Void, any Error>) async throws {
        let stream = input.stream
        let request: ProxyRequest
        do {
            guard let head = try await input.takeHead() else { return stream.close() }
            request = try ProxyRequest(parsing: head)
        } catch let error as ProxyRequest.Malformed {
            return await answer(stream, 400, "Bad Request", error.text)
        }
        timer.cancel()
        do {
            let (remote, proxy) = try await dialer.connect(for: request)
            switch request.purpose {
            case .tunnel:
                do {
                    try await stream.write(Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8))
                } catch {
                    remote.reset()
                    throw error
                }
                await Relay.join(remote, PrefixedStream(input.takeAll(), stream))
            case .forward:
                let client = RequestEnd(request, by: proxy, leftover: input.takeAll(), stream) { line in
                    notices.tell("\(Endpoint.tcp(host: request.host, port: request.port)): \(line)")
                }
                await Relay.join(remote, client)
            }
        } catch let failure as DialFailure {
            notices.tell(failure.text)
            let isLate = failure.kind == .timedOut
            await answer(stream, isLate ? 504 : 502, isLate ? "Gateway Timeout" : "Bad Gateway", failure.text)
        }
    }

    private func answer(_ stream: Stream, _ status: Int, _ reason: String, _ text: String) async {
        try? await stream.write(RequestEnd.answer(status, reason, "loopd: \(text)"))
        await stream.farewell()
    }
}

extension [UInt8] {
    /// How many bytes a head has, with the empty line that ends it; `nil` where that has not come.
    var headEnd: Int? {
        var index = 3
        while index < count {
            // The fourth byte of the end tells how far the next one can be at least.
            switch self[index] {
            case 0x0A:
                if self[index - 1] == 0x0D, self[index - 2] == 0x0A, self[index - 3] == 0x0D { return index + 1 }
                index += 2
            case 0x0D: index += 1
            default: index += 4
            }
        }
        return nil
    }
}

/// A client whose one request is passed on: its bytes are those that the server gets, and the server's answer is told to be
/// the connection's last.
final class RequestEnd: RelayEnd {
    /// How long a client may take to close the connection after the answer.
    private static let patience = Duration.seconds(5)
    private static let longestHead = 256 << 10

    private enum Phase {
        case head, body, over, switched
    }
    private struct State {
        var phase = Phase.head
        var scan: BodyScan
        /// What has come of the answer's head; `nil` once that has been passed on.
        var answer: [UInt8]? = []
        var isSwitched = false
    }

    private let request: ProxyRequest
    private let proxy: OutsideProxy?
    private let onRefusal: @Sendable (_ line: String) -> Void
    private let stream: Stream
    /// What comes of the client.
    private let input: PrefixedStream
    private let state: Mutex<State>
    private let switching = Gate()

    /// A client and its request, which goes to a server or to another proxy; `leftover` has come of it after the head.
    ///
    /// `onRefusal` is called where that proxy wants to know who asks: the client's program may not show it.
    init(
        _ request: ProxyRequest, by proxy: OutsideProxy?, leftover: [UInt8], _ stream: Stream,
        onRefusal: @escaping @Sendable (_ line: String) -> Void
    ) {
        self.request = request
        self.proxy = proxy
        self.onRefusal = onRefusal
        self.stream = stream
        input = PrefixedStream(leftover, stream)
        state = Mutex(State(scan: BodyScan(request.body)))
    }

    func receive() async throws -> [UInt8] {
        while true {
            switch state.withLock({ $0.phase }) {
            case .head:
                state.withLock { $0.phase = $0.scan.isDone ? .over : .body }
                return request.forwarded(by: proxy)
            case .body:
                let bytes = try await input.receive()
                guard !bytes.isEmpty else { throw ProxyRequest.Malformed(text: "the body ends early") }
                let count = try state.withLock { state in
                    let count = try state.scan.take(bytes)
                    if state.scan.isDone { state.phase = .over }
                    return count
                }
                input.putBack(bytes[count...])
                return Array(bytes[..<count])
            case .over:
                if request.isUpgrade {
                    await switching.pass()
                    try Task.checkCancellation()
                    if state.withLock({ $0.isSwitched }) {
                        state.withLock { $0.phase = .switched }
                        continue
                    }
                }
                // Another request, which the answer's head says is in vain.
                if try await input.receive().isEmpty { return [] }
            case .switched: return try await input.receive()
            }
        }
    }

    func send(_ bytes: [UInt8]) async throws {
        var isRefused = false
        let passed = state.withLock { state -> [UInt8] in
            guard var answer = state.answer else { return bytes }
            answer += bytes
            var passed: [UInt8] = []
            while let end = answer.headEnd {
                let head = Array(answer[..<end])
                answer.removeFirst(end)
                let status = RequestEnd.status(of: head)
                if let status, (100...199).contains(status), status != 101 {
                    passed += head
                    continue
                }
                isRefused = status == 407
                state.isSwitched = status == 101
                state.answer = nil
                switching.close()
                return passed + (status == nil || status == 101 ? head : RequestEnd.closing(head)) + answer
            }
            guard answer.count <= RequestEnd.longestHead else {
                state.answer = nil
                switching.close()
                return passed + answer
            }
            state.answer = answer
            return passed
        }
        if isRefused, let proxy { onRefusal("\(proxy) \(proxy.loginRefusal)") }
        if !passed.isEmpty { try await stream.write(passed) }
    }

    func finish() {
        let rest = state.withLock { state in
            defer { state.answer = nil }
            return state.answer
        }
        switching.close()
        let stream = stream
        Task {
            if let rest {
                let text = "loopd: \(request.host):\(request.port) has closed the connection without an answer"
                try? await stream.write(rest.isEmpty ? RequestEnd.answer(502, "Bad Gateway", text) : rest)
            }
            stream.shutdownWrite()
            // A client that does not close would stay for ever; one with a protocol of its own may have more to send.
            guard !state.withLock({ $0.isSwitched }) else { return }
            try? await Task.sleep(for: RequestEnd.patience)
            stream.close()
        }
    }

    func reset() { stream.reset() }
    func untilBroken() async throws { try await stream.untilBroken() }
    func close() { stream.close() }

    /// What the first line of an answer says; `nil` where it is none.
    static func status(of head: [UInt8]) -> Int? {
        let line = head.prefix { $0 != 0x0D }
        guard line.starts(with: Array("HTTP/1.".utf8)) else { return nil }
        let words = line.split(separator: 0x20, maxSplits: 2)
        return words.count > 1 ? Int(String(decoding: words[1], as: UTF8.self)) : nil
    }

    /// A head of an answer that says that the connection ends with it.
    private static func closing(_ head: [UInt8]) -> [UInt8] {
        var kept: [UInt8] = []
        for line in head.split(separator: 0x0A) where line.count > 1 {
            let name = String(decoding: line.prefix { $0 != 0x3A }, as: UTF8.self).lowercased()
            if ["connection", "keep-alive", "proxy-connection"].contains(name) { continue }
            kept += line + [0x0A]
        }
        return kept + Array("Connection: close\r\n\r\n".utf8)
    }

    /// An answer of the proxy's own: one line of text.
    static func answer(_ status: Int, _ reason: String, _ text: String) -> [UInt8] {
        let body = Array("\(text)\n".utf8)
        let head = [
            "HTTP/1.1 \(status) \(reason)", "Content-Type: text/plain; charset=utf-8", "Content-Length: \(body.count)",
            "Connection: close", "", "",
        ]
        return Array(head.joined(separator: "\r\n").utf8) + body
    }
}
