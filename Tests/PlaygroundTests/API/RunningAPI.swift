import Glibc
import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

/// A playground without its node, in this process; a stand-in for the kubelet reports pods as the recordings show them.
struct RunningAPI: Sendable {
    let store: ObjectStore
    let address: PlaygroundServer.Address
    let directory: String

    /// Runs `body` against a new playground over a new state directory, or over the one given.
    static func with(
        directory: String? = nil, kubelet: Bool = true, _ body: @escaping @Sendable (RunningAPI) async throws -> Void
    ) async throws {
        let folder = try directory ?? temporaryDirectory()
        let (starts, start) = AsyncStream.makeStream(of: RunningAPI.self)
        try await withThrowingTaskGroup { group in
            defer { group.cancelAll() }
            group.addTask {
                let server = PlaygroundServer(stateDirectory: "\(folder)/state", hasNode: false)
                defer { start.finish() }
                try await server.run { address, store in
                    start.yield(RunningAPI(store: store, address: address, directory: folder))
                }
            }
            for await api in starts {
                if kubelet { group.addTask { try await StandInKubelet(store: api.store).run() } }
                try await body(api)
                break
            }
            group.cancelAll()
            // The server's own failure to start is the test's failure.
            while let result = await group.nextResult() {
                if case .failure(let error) = result, !(error is CancellationError) { throw error }
            }
        }
        if directory == nil { FileTree.remove(folder) }
    }

    static func temporaryDirectory() throws -> String {
        var template = Array("/tmp/loopd-playground-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether there is a kubectl to test with.
    static let hasKubectl: Bool = {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        return path.split(separator: ":").contains { access("\($0)/kubectl", X_OK) == 0 }
    }()

    /// Runs the real kubectl.
    @discardableResult
    func kubectl(_ arguments: String..., input: String = "") async throws -> Output {
        try await kubectl(arguments, input: input)
    }

    func kubectl(_ arguments: [String], input: String = "") async throws -> Output {
        let environment = [
            "KUBECONFIG": address.kubeconfig, "HOME": directory, "PATH": String(cString: getenv("PATH")),
        ]
        return try await Child.run(
            Launch(["kubectl"] + arguments, environment: environment, directory: directory), input: Array(input.utf8))
    }

    /// Sends one request and returns the answer.
    func request(
        _ method: String, _ path: String, headers: HTTPHeaders = [:], body: JSON? = nil
    ) async throws -> (status: Int, body: JSON, headers: HTTPHeaders) {
        let secret = address.url.split(separator: "/").last.map(String.init) ?? ""
        return try await raw(method, "/\(secret)\(path)", headers: headers, body: body)
    }

    /// Sends one request to a path that need not be behind the secret.
    func raw(
        _ method: String, _ target: String, headers: HTTPHeaders = [:], body: JSON? = nil
    ) async throws -> (status: Int, body: JSON, headers: HTTPHeaders) {
        let port = UInt16(address.url.split(separator: "/")[1].split(separator: ":")[1]) ?? 0
        let stream = try await Stream.connect(to: .tcp(host: "127.0.0.1", port: port))
        defer { stream.close() }
        let bytes = body?.bytes ?? []
        var head = "\(method) \(target) HTTP/1.1\r\n"
        if headers["Host"] == nil { head += "Host: 127.0.0.1:\(port)\r\n" }
        for header in headers { head += "\(header.name): \(header.value)\r\n" }
        head += "Connection: close\r\nContent-Length: \(bytes.count)\r\n\r\n"
        try await stream.write(Array(head.utf8) + bytes)
        var answer: [UInt8] = []
        while true {
            let chunk = try await stream.read()
            if chunk.isEmpty { break }
            answer += chunk
        }
        return try Self.parse(String(decoding: answer, as: UTF8.self))
    }

    private static func parse(_ answer: String) throws -> (status: Int, body: JSON, headers: HTTPHeaders) {
        let end = try #require(answer.range(of: "\r\n\r\n"))
        let lines = answer[..<end.lowerBound].split(separator: "\r\n")
        let status = Int(lines[0].split(separator: " ")[1]) ?? 0
        var headers = HTTPHeaders()
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            headers.add(String(parts[0]), String(parts[1].drop { $0 == " " }))
        }
        let body = String(answer[end.upperBound...])
        return (status, (try? JSON(parsing: body)) ?? .string(body), headers)
    }

    /// Waits until an object is as it should be, by its watch; fails the test after a minute.
    func wait(
        for kind: ResourceKind, _ namespace: String, _ name: String,
        until isRight: @escaping @Sendable (JSON?) -> Bool
    ) async throws {
        let store = store
        let events = try store.watch(kind, namespace)
        let limit = Task {
            try await Task.sleep(for: .seconds(60))
            events.stop()
        }
        defer { limit.cancel() }
        if isRight(store.get(kind, namespace, name)) { return }
        for try await _ in events where isRight(store.get(kind, namespace, name)) { return }
        Issue.record(
            "\(kind.kind) \(namespace)/\(name) is not as it should be: \(store.get(kind, namespace, name)?.text ?? "missing")"
        )
    }
}

extension String {
    fileprivate func range(of text: String) -> Range<String.Index>? {
        let wanted = Array(text.utf8)
        let bytes = Array(utf8)
        guard bytes.count >= wanted.count else { return nil }
        for start in 0...(bytes.count - wanted.count) where Array(bytes[start..<start + wanted.count]) == wanted {
            let lower = utf8.index(startIndex, offsetBy: start)
            return lower..<utf8.index(lower, offsetBy: wanted.count)
        }
        return nil
    }
}
