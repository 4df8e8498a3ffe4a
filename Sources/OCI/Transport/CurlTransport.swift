internal import Glibc
internal import HTTP
internal import Reactor

/// HTTPS through a short-lived `curl`, which brings TLS, the system's trust and its proxies.
///
/// Everything about a call goes through its standard input; bodies wait in files that only this user can read.
struct CurlTransport: Transport {
    let programs: any ProgramRunner
    let patience: Patience
    /// A file with the authorities to trust; `nil` is the system's.
    var certificates: String?
    /// Names on this machine that a resolver may not know: `host:port:address`.
    var resolutions: [String] = []
    let temporaryFolder: String

    func send(_ call: Call) async throws -> Answer {
        var folder: PrivateFolder?
        var configuration = CurlConfiguration()
        configuration.describe(call, patience, certificates: certificates, resolutions: resolutions)
        switch call.body {
        case .none:
            if ["POST", "PUT", "PATCH"].contains(call.method) { configuration.set("data-raw", "") }
        case .form(let text):
            configuration.set("data-raw", text)
        case .some(let body):
            let made = try await offPool { [temporaryFolder] in try PrivateFolder(in: temporaryFolder) }
            folder = made
            try await spool(body, to: made.body)
            configuration.set("upload-file", made.body)
        }
        if let output = call.output {
            configuration.set("output", output.path)
            if output.size > 0 { configuration.set("continue-at", "\(output.size)") }
            configuration.set("max-filesize", "\(call.limit)")
            // The head alone goes to standard output.
            configuration.set("dump-header", "-")
        } else if call.method != "HEAD" {
            configuration.flag("include")
        }
        let answer = try await run(configuration, call)
        call.progress(call.body.count)
        withExtendedLifetime(folder) {}
        return answer
    }

    private func run(_ configuration: CurlConfiguration, _ call: Call) async throws -> Answer {
        let room = 256 << 10
        let begun = call.output?.size ?? 0
        let output: Output
        do {
            output = try await programs.run(
                ["curl", "--disable", "--config", "-"], input: configuration.bytes,
                limit: (call.output == nil ? call.limit : 0) + room)
        } catch let error as SystemError where error.code == ENOENT {
            throw CurlTransport.missing
        }
        let answer = Result { () throws(TransportFailure) in
            try CurlTransport.parse(output.standardOutput, hasOutput: call.output != nil)
        }
        if let file = call.output, let status = try? answer.get().status, status != (begun > 0 ? 206 : 200) {
            // Words about an error; or all of it, where curl wanted the rest and has taken nothing.
            try file.cut(to: status == 200 ? 0 : begun)
            if status == 200 { throw TransportFailure.broken("all of it came where the rest was asked for") }
        }
        switch output.status {
        case .exited(0): break
        case .exited(33) where begun > 0: break
        case .exited(127): throw CurlTransport.missing
        case .exited(let code):
            // Of one that was too slow nothing went for long.
            if code != 28, let sent = CurlTransport.sent(output.errorText), sent > 0 { call.progress(sent) }
            throw CurlTransport.failure(code, output.errorText)
        case .signalled: throw TransportFailure.broken("curl ended by \(output.status)")
        }
        guard output.standardOutput.count < (call.output == nil ? call.limit : 0) + room else {
            throw TransportFailure.unusable("an answer of more than \(call.limit) bytes")
        }
        return try answer.get()
    }

    /// How much of a body has gone.
    private static func sent(_ text: String) -> Int? {
        text.split(separator: "\n").last { $0.hasPrefix(CurlConfiguration.sent) }
            .flatMap { Int($0.dropFirst(CurlConfiguration.sent.count)) }
    }

    /// Writes a body to a file, off the cooperative pool.
    private func spool(_ body: HTTPRequestBody, to path: String) async throws {
        let raw = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw SystemError.last("create \(path)") }
        let file = OwnedDescriptor(raw)
        switch body {
        case .bytes(let bytes):
            try await offPool { try OpenFile.write(bytes, to: raw, path) }
        case .pieces(let count, let next):
            var offset = 0
            while offset < count {
                let piece = try await next(offset)
                guard !piece.isEmpty, piece.count <= count - offset else {
                    throw HTTPError.misuse("a piece of no size")
                }
                try await offPool { try OpenFile.write(piece, to: raw, path) }
                offset += piece.count
            }
        }
        _ = consume file
    }

    static let missing = TransportFailure.unusable(
        "the program curl, which speaks HTTPS for loopd, is not installed (apt-get install curl)")

    /// What curl's exit codes mean.
    static func failure(_ code: Int32, _ text: String) -> TransportFailure {
        let said =
            text.split(separator: "\n").first { !$0.hasPrefix(CurlConfiguration.sent) }.map { String($0.prefix(300)) }
            ?? "curl: exit code \(code)"
        func says(_ words: [String]) -> Bool { words.contains { said.contains($0) } }
        return switch code {
        // A handshake that failed, in the words of OpenSSL and GnuTLS: what came was no TLS, or did not come.
        case 35 where says(["wrong version number", "packet length too long", "record layer", "unexpected TLS packet"]):
            .plain(said)
        case 35 where says(["reset", "SSL_ERROR_SYSCALL", "unexpected eof", "non-properly terminated", "timed out"]):
            .broken(said)
        // Proxy, host, connection.
        case 5, 6, 7: .unreachable(said)
        case 35, 51, 53, 54, 58, 59, 60, 66, 77, 80, 82, 83, 90, 91: .certificate(said)
        // Part of a file, no answer, time, sending, receiving, streams of HTTP/2.
        case 16, 18, 28, 52, 55, 56, 92, 95: .broken(said)
        default: .unusable(said)
        }
    }

    /// Takes apart what curl printed: heads of answers that announce the real one, its head, its body.
    static func parse(_ bytes: [UInt8], hasOutput: Bool) throws(TransportFailure) -> Answer {
        var rest = bytes[...]
        while true {
            guard let end = endOfHead(rest) else { throw .broken("curl: an answer without a head") }
            let response: HTTPResponse
            do {
                response = try HTTPResponse(head: Array(rest[..<end]))
            } catch {
                throw .unusable("\(error)")
            }
            rest = rest[end...]
            if response.status < 200 { continue }
            return Answer(status: response.status, headers: response.headers, body: hasOutput ? [] : Array(rest))
        }
    }

    private static func endOfHead(_ bytes: ArraySlice<UInt8>) -> Int? {
        var index = bytes.startIndex
        while let feed = bytes[index...].firstIndex(of: 0x0A) {
            if feed - bytes.startIndex >= 3, bytes[(feed - 3)...feed].elementsEqual([0x0D, 0x0A, 0x0D, 0x0A]) {
                return feed + 1
            }
            index = feed + 1
        }
        return nil
    }
}

extension Call.Body {
    /// In bytes.
    var count: Int {
        switch self {
        case .none: 0
        case .some(let body): body.count
        case .form(let text): text.utf8.count
        }
    }
}
