public import Reactor

/// Answers HTTP/1.1 on a listening socket, each connection in a task of its own.
public final class HTTPServer: Sendable {
    private let listener: Listener
    private let handler: @Sendable (HTTPExchange) async -> Void

    /// A server that calls `handler` for every request. A handler that returns without having answered gives a 500.
    public init(_ listener: Listener, handler: @escaping @Sendable (HTTPExchange) async -> Void) {
        self.listener = listener
        self.handler = handler
    }

    /// Accepts connections until `stop()` or cancellation; returns when every handler has ended.
    public func run() async throws {}

    /// Stops accepting, and cancels the handlers.
    public func stop() { listener.close() }
}
