/// Where a message's body ends, and how far it has been read.
struct BodyReader: Sendable {
    private enum State {
        case length(Int)
        case chunkSize
        case chunkData(Int)
        case chunkEnd
        case trailers
        case untilClose
        case done
    }
    private var state: State

    private init(_ state: State) {
        self.state = state
    }

    /// A body that is not there.
    static let none = BodyReader(.done)

    var isDone: Bool { if case .done = state { true } else { false } }

    /// Whether the body's end is the connection's end.
    var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    /// A request's framing.
    ///
    /// Whatever two parties could read differently is refused: both length and transfer encoding, more than one length,
    /// any transfer encoding but `chunked`, and that in HTTP/1.0.
    static func request(_ headers: HTTPHeaders, minor: Int) throws(HTTPError) -> BodyReader {
        try framing(headers, minor: minor) ?? .none
    }

    /// A response's framing.
    static func response(_ response: HTTPResponse, minor: Int, toMethod method: String) throws(HTTPError) -> BodyReader
    {
        if method == "HEAD" || response.status < 200 || response.status == 204 || response.status == 304 {
            return .none
        }
        return try framing(response.headers, minor: minor) ?? BodyReader(.untilClose)
    }

    private static func framing(_ headers: HTTPHeaders, minor: Int) throws(HTTPError) -> BodyReader? {
        let lengths = headers.all("Content-Length")
        let encodings = headers.all("Transfer-Encoding")
        if !encodings.isEmpty {
            guard lengths.isEmpty else { throw .malformed("both Content-Length and Transfer-Encoding") }
            guard encodings.count == 1, encodings[0].lowercased() == "chunked", minor == 1 else {
                throw .malformed("a transfer encoding other than `chunked`")
            }
            return BodyReader(.chunkSize)
        }
        guard let length = lengths.first else { return nil }
        guard lengths.count == 1, (1...18).contains(length.utf8.count),
            length.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), let count = Int(length)
        else { throw .malformed("Content-Length is not one number") }
        return count == 0 ? BodyReader.none : BodyReader(.length(count))
    }

    /// The next bytes as they come; an empty array is the end.
    mutating func next(_ input: inout InputBuffer) async throws -> [UInt8] {
        while true {
            switch state {
            case .done: return []
            case .length(let left):
                let bytes = try await some(&input, upTo: left)
                state = bytes.count == left ? .done : .length(left - bytes.count)
                return bytes
            case .untilClose:
                if input.count == 0, try await !input.fill() {
                    state = .done
                    return []
                }
                return input.take(upTo: .max)
            case .chunkSize:
                let size = try BodyReader.chunkSize(try await input.takeLine(limit: 4096, of: "a chunk's size"))
                state = size == 0 ? .trailers : .chunkData(size)
            case .chunkData(let left):
                let bytes = try await some(&input, upTo: left)
                state = bytes.count == left ? .chunkEnd : .chunkData(left - bytes.count)
                return bytes
            case .chunkEnd:
                try await input.fill(to: 2, of: "a chunk")
                guard input[0] == 0x0D, input[1] == 0x0A else { throw HTTPError.malformed("a chunk's end is missing") }
                input.skip(2)
                state = .chunkSize
            case .trailers:
                try await skipTrailers(&input)
                state = .done
            }
        }
    }

    private func some(_ input: inout InputBuffer, upTo limit: Int) async throws -> [UInt8] {
        if input.count == 0, try await !input.fill() { throw HTTPError.unexpectedEnd("a body") }
        return input.take(upTo: limit)
    }

    private func skipTrailers(_ input: inout InputBuffer) async throws {
        for _ in 0..<64 {
            let line = try await input.takeLine(limit: 4096, of: "a trailer")
            if line.isEmpty { return }
            _ = try HeadParser.field(line[...])
        }
        throw HTTPError.tooLarge("more than 64 trailers")
    }

    /// The size from a chunk's first line; extensions are ignored.
    static func chunkSize(_ line: [UInt8]) throws(HTTPError) -> Int {
        var size = 0
        var digits = 0
        for byte in line {
            guard let digit = hexDigit(byte) else { break }
            digits += 1
            guard digits <= 15 else { throw .tooLarge("a chunk's size") }
            size = size << 4 | Int(digit)
        }
        let rest = line.dropFirst(digits).drop { $0 == 0x20 || $0 == 0x09 }
        guard digits > 0, rest.isEmpty || rest.first == UInt8(ascii: ";"),
            rest.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 })
        else { throw .malformed("a chunk's size is not a hexadecimal number") }
        return size
    }
}
