internal import Glibc
public import Reactor
internal import Synchronization

/// Answers HTTP/1.1 on a listening socket, each connection in a task of its own.
public final class HTTPServer: Sendable {
    private static let headLimit = 64 << 10

    private let listener: Listener
    private let headTimeout: Duration
    private let handler: @Sendable (HTTPExchange) async -> Void
    private let isStopped = Flag()

    /// A server that calls `handler` for every request.
    ///
    /// A handler that returns without having answered gives a 500.
    ///
    /// A client that has begun a head must end it within `headTimeout`; between two requests it may wait for ever.
    public init(
        _ listener: Listener, headTimeout: Duration = .seconds(10),
        handler: @escaping @Sendable (HTTPExchange) async -> Void
    ) {
        self.listener = listener
        self.headTimeout = headTimeout
        self.handler = handler
    }

    /// Accepts connections until `stop()` or cancellation; returns when every handler has ended.
    public func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            defer { group.cancelAll() }
            while true {
                do {
                    let stream = try await listener.accept()
                    group.addTask { await self.serve(stream) }
                } catch let error as SystemError where [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(error.code) {
                    // Nothing tells when another connection has ended: look again soon.
                    try await Task.sleep(for: .milliseconds(50))
                } catch {
                    listener.close()
                    if isStopped.isSet { return }
                    throw error
                }
            }
        }
    }

    /// Stops accepting, and cancels the handlers.
    public func stop() {
        isStopped.set()
        listener.close()
    }

    private func serve(_ stream: Stream) async {
        var next: InputBuffer? = InputBuffer(stream)
        do {
            while let input = next {
                guard let exchange = try await receive(input) else { break }
                await handle(exchange)
                if exchange.isHandedOver { return }
                next = try await exchange.conclude()
            }
            try await linger(stream)
        } catch {
            // The client is gone or does not speak HTTP (it has its answer), or the server stops.
        }
        stream.close()
    }

    /// The next request; `nil` when the client has no more.
    private func receive(_ kept: InputBuffer) async throws -> HTTPExchange? {
        var input = kept
        let stream = input.stream
        if input.count == 0, try await !input.fill() { return nil }
        do {
            var scan = InputBuffer.Scan()
            let head: [UInt8]?
            if let length = try input.head(&scan), length <= HTTPServer.headLimit, length > 2 {
                head = input.take(upTo: length)
            } else {
                head = try await stream.closing(after: headTimeout, for: "a request head") {
                    var head = try await input.takeHead(limit: HTTPServer.headLimit)
                    // An empty line before a request is left over from the body before it (RFC 9112, section 2.2).
                    if head?.count == 2 { head = try await input.takeHead(limit: HTTPServer.headLimit) }
                    return head
                }
            }
            guard let head else { return nil }
            let (request, minor) = try HeadParser.request(head)
            let framing = try BodyReader.request(request.headers, minor: minor)
            return HTTPExchange(request: request, minor: minor, framing: framing, input: input)
        } catch let error as HTTPError {
            try await refuse(error, stream)
            throw error
        }
    }

    private func refuse(_ error: HTTPError, _ stream: Stream) async throws {
        let status =
            switch error {
            case .tooLarge: 431
            default: 400
            }
        let text = Array("\(error)\n".utf8)
        let headers: HTTPHeaders = [
            "Connection": "close", "Content-Type": "text/plain; charset=utf-8", "Content-Length": String(text.count),
        ]
        try await stream.write(try HeadWriter.response(HTTPResponse(status, headers: headers)), then: text)
        try await linger(stream)
    }

    /// Runs the handler, and cancels it when the client goes away.
    private func handle(_ exchange: HTTPExchange) async {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await self.handler(exchange)
                return true
            }
            group.addTask {
                await exchange.stream.untilHungUp()
                return false
            }
            let handlerEnded = await group.next() ?? true
            if handlerEnded || !exchange.isHandedOver { group.cancelAll() }
        }
    }

    /// Lets the client read its response: a socket that is closed with unread input resets the connection, and with it
    /// what the client has not read yet.
    private func linger(_ stream: Stream) async throws {
        stream.shutdownWrite()
        try await stream.closing(after: .seconds(1), for: "the end") {
            var left = 1 << 20
            while left > 0 {
                let bytes = try await stream.read()
                if bytes.isEmpty { return }
                left -= bytes.count
            }
        }
    }
}
