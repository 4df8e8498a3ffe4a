import Glibc
import HTTP
import JSON
import Reactor
import Synchronization

@testable import LoopServer

extension KubeClient {
    /// A client of a server that does not exist.
    static var nowhere: KubeClient { KubeClient(HTTPClient(endpoint: .unix(path: "/nowhere"))) }
}

/// A double of the way into the cluster: always the same link.
struct FixedRoute: ClusterRoute {
    let helper: HelperLink

    func link(to target: ClusterTarget) async throws -> HelperLink { helper }
}

/// An egress by a real helper; its cluster is this machine, where Services have addresses of loopback.
struct ProxyFixture {
    let api: NamesAPI
    let egress: Egress
    let helper: LinkedHelper
    let variables: [String: String]
    private let told: Told

    /// What was said.
    var events: [LoopEvent.Kind] { told.events.withLock { $0 } }

    private final class Told: Sendable {
        let events = Mutex<[LoopEvent.Kind]>([])
    }

    /// The port of the proxy.
    var port: UInt16 {
        variables["HTTP_PROXY"]?.split(separator: ":").last.flatMap { UInt16($0) } ?? 0
    }

    /// What was said in a line.
    var notices: [String] { events.compactMap { if case .notice(let line) = $0 { line } else { nil } } }

    /// - Parameter environment: Says by which proxies this machine reaches what is outside: by none as a rule.
    static func run(
        environment: [String: String] = [:], _ body: (ProxyFixture) async throws -> Void
    ) async throws {
        let api = NamesAPI()
        try await LinkedHelper.run { helper in
            try await withNames(api) { names in
                let told = Told()
                let egress = Egress(names: names, route: FixedRoute(helper: helper.link), environment: environment) {
                    event in
                    told.events.withLock { $0.append(event) }
                }
                let variables = try await egress.start()
                let fixture = ProxyFixture(
                    api: api, egress: egress, helper: helper, variables: variables, told: told)
                do {
                    try await body(fixture)
                } catch {
                    await egress.end()
                    throw error
                }
                await egress.end()
            }
        }
    }

    func connect() async throws -> Reactor.Stream {
        try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: port))
    }

    /// Runs curl with the proxy: SOCKS5 with names of the cluster's side, or HTTP.
    func curl(socks: Bool, _ arguments: [String], as user: [String] = []) async throws -> Output {
        let proxy = socks ? ["--socks5-hostname", "127.0.0.1:\(port)"] : ["-x", "http://127.0.0.1:\(port)"]
        // Not what the machine has set.
        var launch = Launch(user + ["curl", "-sS", "-m", "100", "--noproxy", ""] + proxy + arguments)
        launch.environment = ["PATH": variable("PATH") ?? "/usr/bin:/bin"]
        return try await Child.run(launch, limit: 128 << 20)
    }

    private func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}

/// A server of the test's that answers each request with what it got.
func withEcho(at host: String = "127.0.0.3", _ body: (UInt16) async throws -> Void) async throws {
    let listener = try Reactor.Listener(.tcp(host: host, port: 0))
    let server = HTTPServer(listener) { exchange in
        do {
            let content = try await exchange.body(limit: 64 << 20)
            let lines = [
                "\(exchange.request.method) \(exchange.request.target)",
                "host \(exchange.request.headers["Host"] ?? "")",
                "connection \(exchange.request.headers["Connection"] ?? "")",
                "proxy \(exchange.request.headers["Proxy-Connection"] ?? "none")",
                "bytes \(content.count) \(content.reduce(UInt64(7)) { $0 &* 31 &+ UInt64($1) })",
            ]
            // In chunks of unknown number.
            try await exchange.startBody(HTTPResponse(200))
            for line in lines { try await exchange.write(Array("\(line)\n".utf8)) }
            try await exchange.finish()
        } catch {
            // A client that is gone, or sent no request, gets no answer.
        }
    }
    async let running: Void = server.run()
    do {
        try await body(listener.port)
    } catch {
        server.stop()
        try await running
        throw error
    }
    server.stop()
    try await running
}
