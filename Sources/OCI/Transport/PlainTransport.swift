internal import Glibc
internal import HTTP
internal import Reactor

/// Plain HTTP to this machine.
final class PlainTransport: Transport {
    private let client: HTTPClient

    /// Connects to `address`, where `origin` was found.
    init(_ origin: Origin, address: String, _ patience: Patience) {
        client = HTTPClient(
            endpoint: .tcp(host: address, port: origin.port), headers: ["Host": origin.authority],
            patience: HTTPPatience(connect: patience.connect, idle: patience.idle))
    }

    deinit { client.closeIdle() }

    func send(_ call: Call) async throws -> Answer {
        let body: HTTPRequestBody =
            switch call.body {
            case .none: .bytes([])
            case .some(let body): body
            case .form(let text): .bytes(Array(text.utf8))
            }
        let begun = call.output?.size ?? 0
        var headers = call.headers
        if begun > 0 { headers["Range"] = "bytes=\(begun)-" }
        do {
            let request = HTTPRequest(call.method, call.url.target, headers: headers)
            let answer = try await client.send(request, carrying: body, progress: call.progress)
            let head = answer.response
            let isRest = begun > 0 && head.status == 206
            if let output = call.output, head.status == 200 || isRest {
                guard !isRest || head.headers["Content-Range"]?.hasPrefix("bytes \(begun)-") == true else {
                    try output.cut(to: 0)
                    throw TransportFailure.broken("another part came than was asked for")
                }
                try output.cut(to: isRest ? begun : 0)
                try await receive(answer, output, limit: call.limit - (isRest ? Int(begun) : 0))
                return Answer(status: head.status, headers: head.headers, body: [])
            }
            return Answer(
                status: head.status, headers: head.headers, body: try await answer.readAll(limit: call.limit))
        } catch let error as HTTPError {
            throw PlainTransport.failure(error)
        } catch let error as SystemError where PlainTransport.isConnection(error) {
            let isRefused = error.attempt.hasPrefix("connect ")
            throw isRefused ? TransportFailure.unreachable("\(error)") : .broken("\(error)")
        }
    }

    private func receive(_ answer: HTTPResponseBody, _ output: OutputFile, limit: Int) async throws {
        var pending: [UInt8] = []
        var left = limit
        while true {
            let bytes: [UInt8]
            do {
                bytes = try await answer.read()
            } catch {
                // The next attempt goes on after it.
                try await output.append(pending)
                throw error
            }
            if bytes.isEmpty { break }
            left -= bytes.count
            guard left >= 0 else { throw HTTPError.tooLarge("more than \(limit) bytes") }
            pending += bytes
            if pending.count >= Blob.piece {
                try await output.append(pending)
                pending.removeAll(keepingCapacity: true)
            }
        }
        try await output.append(pending)
    }

    private static func failure(_ error: HTTPError) -> TransportFailure {
        switch error {
        case .unexpectedEnd, .tooSlow: .broken("\(error)")
        case .malformed, .tooLarge, .misuse: .unusable("\(error)")
        }
    }

    /// Files fail too: what a connection cannot have is a missing disk.
    private static func isConnection(_ error: SystemError) -> Bool {
        [
            ECONNREFUSED, ECONNRESET, EPIPE, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, ENETDOWN, ECONNABORTED, EBADF,
            EADDRNOTAVAIL, EINVAL,
        ].contains(error.code)
    }
}
