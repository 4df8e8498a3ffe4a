/// Parses the heads of requests and responses, strictly: what RFC 9112 lets a recipient repair is refused instead.
enum HeadParser {
    /// A parsed request head with its minor version (1 for HTTP/1.1).
    static func request(_ head: [UInt8]) throws(HTTPError) -> (request: HTTPRequest, minor: Int) {
        let lines = try lines(of: head)
        let words = lines[0].split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count == 3 else { throw .malformed("the request line is not `METHOD target HTTP/1.1`") }
        guard isToken(words[0]) else { throw .malformed("the method is not a token") }
        // The absolute form names a host of its own, which could differ from the Host field: only proxies need it.
        guard words[1].first == UInt8(ascii: "/") || words[1].elementsEqual("*".utf8),
            words[1].allSatisfy({ $0 > 0x20 && $0 < 0x7F })
        else { throw .malformed("the target is not an absolute path of printable ASCII") }
        let minor = try version(words[2])
        let request = HTTPRequest(text(words[0]), text(words[1]), headers: try fields(lines.dropFirst()))
        if minor == 1, request.headers.all("Host").count != 1 { throw .malformed("not exactly one Host field") }
        return (request, minor)
    }

    /// A parsed response head with its minor version.
    static func response(_ head: [UInt8]) throws(HTTPError) -> (response: HTTPResponse, minor: Int) {
        let lines = try lines(of: head)
        let words = lines[0].split(separator: 0x20, maxSplits: 2, omittingEmptySubsequences: false)
        guard words.count >= 2 else { throw .malformed("the status line is not `HTTP/1.1 status reason`") }
        let minor = try version(words[0])
        guard words[1].count == 3, let status = Int(text(words[1])), (100...599).contains(status) else {
            throw .malformed("the status is not a number of three digits")
        }
        let reason = words.count > 2 ? text(words[2]) : ""
        return (HTTPResponse(status, reason: reason, headers: try fields(lines.dropFirst())), minor)
    }

    /// The lines before the empty one.
    ///
    /// There is at least one.
    private static func lines(of head: [UInt8]) throws(HTTPError) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        var start = 0
        for index in head.indices where head[index] == 0x0A {
            let line = head[start..<max(start, index - 1)]
            guard !line.contains(0x0D) else { throw .malformed("a carriage return without line feed") }
            start = index + 1
            if !line.isEmpty { lines.append(line) }
        }
        guard !lines.isEmpty else { throw .malformed("an empty head") }
        guard lines.count <= 256 else { throw .tooLarge("a head of more than 256 lines") }
        return lines
    }

    private static func version(_ word: ArraySlice<UInt8>) throws(HTTPError) -> Int {
        if word.elementsEqual("HTTP/1.1".utf8) { return 1 }
        if word.elementsEqual("HTTP/1.0".utf8) { return 0 }
        throw .malformed("the version is neither HTTP/1.1 nor HTTP/1.0")
    }

    private static func fields(_ lines: ArraySlice<ArraySlice<UInt8>>) throws(HTTPError) -> HTTPHeaders {
        var headers = HTTPHeaders()
        for line in lines {
            let (name, value) = try field(line)
            headers.add(name, value)
        }
        return headers
    }

    /// One header or trailer field.
    static func field(_ line: ArraySlice<UInt8>) throws(HTTPError) -> (name: String, value: String) {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw .malformed("a field without a colon") }
        // Also refuses a folded line, which begins with a space, and a space before the colon.
        guard isToken(line[..<colon]) else { throw .malformed("a field name is not a token") }
        var value = line[line.index(after: colon)...]
        while let first = value.first, isBlank(first) { value.removeFirst() }
        while let last = value.last, isBlank(last) { value.removeLast() }
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            throw .malformed("a control character in a field")
        }
        return (text(line[..<colon]), text(value))
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func text(_ bytes: ArraySlice<UInt8>) -> String { String(decoding: bytes, as: UTF8.self) }

    /// Whether the bytes are a token of RFC 9110: letters, digits and some signs, at least one.
    static func isToken(_ bytes: some Collection<UInt8>) -> Bool {
        !bytes.isEmpty
            && bytes.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
                }
            }
    }
}

/// Puts heads into bytes.
///
/// What would break out of its place (a line feed in a value) is refused.
enum HeadWriter {
    static func request(_ request: HTTPRequest, target: String) throws(HTTPError) -> [UInt8] {
        guard HeadParser.isToken(request.method.utf8) else { throw .misuse("method \(request.method)") }
        guard target.utf8.first == UInt8(ascii: "/"), target.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw .misuse("target \(target)")
        }
        return try head("\(request.method) \(target) HTTP/1.1\r\n", request.headers)
    }

    static func response(_ response: HTTPResponse) throws(HTTPError) -> [UInt8] {
        let reason = response.reason.isEmpty ? HTTPResponse.reason(of: response.status) : response.reason
        guard (100...599).contains(response.status), reason.utf8.allSatisfy(isSafe) else {
            throw .misuse("status \(response.status) \(reason)")
        }
        return try head("HTTP/1.1 \(response.status) \(reason)\r\n", response.headers)
    }

    private static func head(_ first: String, _ headers: HTTPHeaders) throws(HTTPError) -> [UInt8] {
        var out = Array(first.utf8)
        out.reserveCapacity(512)
        for (name, value) in headers {
            guard HeadParser.isToken(name.utf8), value.utf8.allSatisfy(isSafe) else { throw .misuse("field \(name)") }
            out += name.utf8
            out += ": ".utf8
            out += value.utf8
            out += "\r\n".utf8
        }
        out += "\r\n".utf8
        return out
    }

    private static func isSafe(_ byte: UInt8) -> Bool { byte >= 0x20 && byte != 0x7F || byte == 0x09 }
}

extension HTTPHeaders {
    /// Whether a comma-separated field holds `token`, without looking at case.
    func lists(_ token: String, in name: String) -> Bool {
        tokens(in: name).contains { $0.lowercased() == token }
    }

    /// The trimmed members of a comma-separated field, over all its occurrences.
    func tokens(in name: String) -> [String] {
        all(name).flatMap { value in
            value.split(separator: ",").map { part in
                let front = part.drop { $0 == " " || $0 == "\t" }
                return String(front.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
            }
        }
    }
}

extension HTTPResponse {
    /// Reads the head of a response, its empty line included, for callers that have it from elsewhere than a connection.
    public init(head: [UInt8]) throws(HTTPError) { self = try HeadParser.response(head).0 }

    /// The usual reason phrase of a status.
    static func reason(of status: Int) -> String {
        let known: [Int: String] = [
            100: "Continue", 101: "Switching Protocols", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content",
            206: "Partial Content", 301: "Moved Permanently", 302: "Found", 304: "Not Modified",
            307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
            405: "Method Not Allowed", 406: "Not Acceptable", 408: "Request Timeout", 409: "Conflict", 410: "Gone",
            411: "Length Required", 412: "Precondition Failed", 413: "Content Too Large",
            415: "Unsupported Media Type", 416: "Range Not Satisfiable", 422: "Unprocessable Content",
            426: "Upgrade Required", 429: "Too Many Requests", 431: "Request Header Fields Too Large",
            500: "Internal Server Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable",
            504: "Gateway Timeout",
        ]
        return known[status] ?? "Status"
    }
}
