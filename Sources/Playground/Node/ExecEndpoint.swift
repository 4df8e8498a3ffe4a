internal import HTTP
internal import JSON
internal import Reactor

/// What a client wants to run in a container.
struct ExecRequest: Equatable {
    var container = ""
    var command: [String] = []
    var stdin = false
    var stdout = false
    var stderr = false
    var tty = false

    init(_ query: [(name: String, value: String)]) throws {
        for (name, value) in query {
            switch name {
            case "container": container = value
            case "command": command.append(value)
            case "stdin": stdin = LogOptions.isTrue(value)
            case "stdout": stdout = LogOptions.isTrue(value)
            case "stderr": stderr = LogOptions.isTrue(value)
            case "tty": tty = LogOptions.isTrue(value)
            default: break
            }
        }
        guard !command.isEmpty else {
            throw StatusError.badRequest("you must specify at least one command for the container")
        }
        guard stdin || stdout || stderr else {
            throw StatusError.badRequest("you must specify at least 1 of stdin, stdout, stderr")
        }
    }
}

extension Node: PodStreams {
    func serve(
        _ exchange: HTTPExchange, pod: JSON, subresource: String, query: [(name: String, value: String)]
    ) async throws {
        let worker = worker(pod.at("metadata", "uid")?.string ?? "")
        switch subresource {
        case "log":
            try await LogEndpoint(layout: context.layout, worker: worker).serve(exchange, pod: pod, query: query)
        case "exec":
            var request = try ExecRequest(query)
            request.container = try ContainerChoice.container(request.container, of: pod, purpose: .exec)
            try await exec(request, exchange, worker)
        default: throw StatusError.badRequest("pods/\(subresource) is not supported by the playground")
        }
    }

    private func exec(_ request: ExecRequest, _ exchange: HTTPExchange, _ worker: PodWorker?) async throws {
        // Before the question of the protocol: kubectl asks again in SPDY's when it is refused, and shows that answer.
        guard let run = await worker?.runs[request.container], !run.process.hasEnded else {
            let text = Array("container not found (\"\(request.container)\")".utf8)
            return try await exchange.respond(
                HTTPResponse(
                    500, headers: ["Content-Length": "\(text.count)", "Content-Type": "text/plain; charset=utf-8"]),
                body: text)
        }
        guard exchange.asksForWebSocket else { throw StatusError.badRequest("Upgrade request required") }
        guard let version = ChannelProtocol.negotiate(exchange.offeredProtocols) else {
            return try await exchange.respond(
                HTTPResponse(403, headers: ["Connection": "close", "Content-Length": "0"]))
        }
        let socket = try await exchange.upgrade(protocol: version.rawValue)
        await ExecSession(request: request, version: version, socket: socket, run: run, context: context).serve()
    }
}
