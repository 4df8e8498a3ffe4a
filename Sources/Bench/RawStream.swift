internal import Glibc
internal import HTTP
internal import Reactor
internal import TestCluster

/// What an exec stream carries by itself: a WebSocket through a `kubectl proxy` as loopd's, with nothing else on it.
struct RawStream {
    private let proxy: Child
    private let client: HTTPClient
    private let path: String

    /// Starts the proxy; programs run in `pod`.
    init(_ scene: Scene, pod: String) async throws {
        let socket = "\(try temporaryFolder("raw"))/proxy"
        var launch = Launch([
            "kubectl", "--kubeconfig", scene.cluster.kubeconfig, "--context", scene.cluster.context, "proxy",
            "--unix-socket=\(socket)", "--reject-paths=^$", "--append-server-path",
        ])
        launch.standardError = .null
        proxy = try await Child.spawn(launch)
        let output = proxy.standardOutput
        _ = try await within(.seconds(30), "kubectl proxy") { try await output?.read() }
        client = HTTPClient(endpoint: .unix(path: socket))
        path = "/api/v1/namespaces/\(scene.namespace)/pods/\(pod)/exec?stdin=true&stdout=true&stderr=true"
    }

    func stop() async {
        proxy.signal(SIGKILL)
        _ = await proxy.wait()
    }

    /// Bytes in a second to a program that reads them.
    func push(_ count: Int) async throws -> Double {
        let socket = try await open("drain", count)
        let piece = [UInt8](repeating: 0, count: 256 << 10)
        let began = now()
        for _ in 0..<count / piece.count { try await socket.send(channel: 0, piece) }
        while let (channel, bytes) = try await socket.receiveChannel() {
            if channel == 1, !bytes.isEmpty { break }
        }
        defer { socket.abort() }
        return Double(count) / (milliseconds(since: began) / 1000)
    }

    /// Bytes in a second from a program that writes them.
    func pull(_ count: Int) async throws -> Double {
        let socket = try await open("flood", count)
        defer { socket.abort() }
        let began = now()
        var left = count
        while left > 0, let (channel, bytes) = try await socket.receiveChannel() {
            if channel == 1 { left -= bytes.count }
        }
        guard left == 0 else { throw Trouble("the stream ended before all had come") }
        return Double(count) / (milliseconds(since: began) / 1000)
    }

    /// Runs `body` while one connection to port 9000 of the pod is carried to a port of this machine by a plain bridge: two
    /// programs that copy, and have no protocol, flow control or other connections.
    ///
    /// The stream has no half-closed connections: after `expected` bytes of the client's, their end is told here.
    func bridge<Result: Sendable>(
        to port: String, expecting expected: Int, _ body: () async throws -> Result
    ) async throws -> Result {
        let socket = try await open("bridge", 9000)
        defer { socket.abort() }
        while let (channel, bytes) = try await socket.receiveChannel() {
            if channel == 2, !bytes.isEmpty { break }
        }
        guard let number = UInt16(port) else { throw Trouble("no port") }
        let local = try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: number))
        let answering = Task {
            while true {
                let bytes = try await local.read()
                if bytes.isEmpty { break }
                try await socket.send(channel: 0, bytes)
            }
            // The program reads the end of its input.
            try await socket.send(binary: [255, 0])
        }
        let asking = Task {
            var left = expected
            while let (channel, bytes) = try await socket.receiveChannel() {
                guard channel == 1, !bytes.isEmpty else { continue }
                try await local.write(bytes)
                left -= bytes.count
                if left == 0 { local.shutdownWrite() }
            }
        }
        defer {
            answering.cancel()
            asking.cancel()
            local.close()
        }
        return try await body()
    }

    private func open(_ verb: String, _ count: Int) async throws -> WebSocket {
        try await client.webSocket(
            "\(path)&command=/probe&command=\(verb)&command=\(count)",
            protocols: ["v5.channel.k8s.io", "v4.channel.k8s.io"])
    }
}
