/// Header fields in their order; names compare without case.
public struct HTTPHeaders: Sendable, Equatable, Sequence, ExpressibleByDictionaryLiteral {
    private var fields: [(name: String, value: String)] = []

    /// Header fields from a literal, in its order.
    public init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { (name: $0.0, value: $0.1) }
    }

    /// The first value of a field; assigning replaces every value of that name, `nil` removes them.
    public subscript(name: String) -> String? {
        get { fields.first { HTTPHeaders.same($0.name, name) }?.value }
        set {
            fields.removeAll { HTTPHeaders.same($0.name, name) }
            if let newValue { fields.append((name, newValue)) }
        }
    }

    /// Adds a field beside others of its name.
    public mutating func add(_ name: String, _ value: String) { fields.append((name, value)) }

    /// Every value of a field, in order.
    public func all(_ name: String) -> [String] { fields.filter { HTTPHeaders.same($0.name, name) }.map(\.value) }

    /// The fields in their order.
    public func makeIterator() -> some IteratorProtocol<(name: String, value: String)> { fields.makeIterator() }

    /// The same fields in the same order.
    public static func == (left: HTTPHeaders, right: HTTPHeaders) -> Bool {
        left.fields.elementsEqual(right.fields) { same($0.name, $1.name) && $0.value == $1.value }
    }

    private static func same(_ left: String, _ right: String) -> Bool {
        left.utf8.elementsEqual(right.utf8) { $0 | 0x20 == $1 | 0x20 }
    }
}

/// The head of a request.
public struct HTTPRequest: Sendable, Equatable {
    /// The method, in capitals: methods compare with case.
    public var method: String
    /// The request target as it stands on the wire: percent-encoded path and query.
    public var target: String
    /// The header fields.
    public var headers: HTTPHeaders

    /// A request head.
    public init(_ method: String, _ target: String, headers: HTTPHeaders = [:]) {
        self.method = method
        self.target = target
        self.headers = headers
    }
}

/// The head of a response.
public struct HTTPResponse: Sendable, Equatable {
    /// The status code.
    public var status: Int
    /// The reason phrase, for people.
    public var reason: String
    /// The header fields.
    public var headers: HTTPHeaders

    /// A response head; an empty reason is filled in from the status.
    public init(_ status: Int, reason: String = "", headers: HTTPHeaders = [:]) {
        self.status = status
        self.reason = reason
        self.headers = headers
    }
}

/// What a request carries.
public enum HTTPRequestBody: Sendable {
    case bytes([UInt8])
    /// `count` bytes that are asked for as they are sent: the function gives some, at least one, from an offset on.
    ///
    /// It may be asked for the beginning again, where a kept connection turns out to be dead.
    case pieces(count: Int, @Sendable (_ offset: Int) async throws -> [UInt8])

    /// In bytes.
    public var count: Int {
        switch self {
        case .bytes(let bytes): bytes.count
        case .pieces(let count, _): count
        }
    }
}

/// How long a client waits.
public struct HTTPPatience: Sendable {
    /// For a connection; `nil` is for ever.
    public var connect: Duration?
    /// For the next sign of life of a peer: that it takes or sends something; `nil` is for ever.
    public var idle: Duration?

    /// The limits of one client.
    public init(connect: Duration? = nil, idle: Duration? = nil) {
        self.connect = connect
        self.idle = idle
    }
}
