internal import Glibc
internal import JSON
internal import Reactor
internal import Synchronization

/// Carries connections to a Service's address to the pods behind it, one after the other.
///
/// It listens in the node's network, where every address of a Service is local. A Service without a ready pod is not
/// listened for: who connects is refused, as in Kubernetes.
struct ServiceProxy: Sendable {
    let store: ObjectStore
    let network: ClusterNetwork

    struct Front: Hashable, Sendable {
        let address: IPv4
        let port: UInt16
    }

    /// Proxies until the task is cancelled.
    func run() async {
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withDiscardingTaskGroup { group in
            for kind in [ResourceKind.service, .endpointSlice] {
                group.addTask {
                    while !Task.isCancelled {
                        // Too far behind, or the first time: everything is looked at anyhow.
                        wake.yield()
                        guard let events = try? store.watch(kind) else { return }
                        do { for try await _ in events { wake.yield() } } catch { continue }
                    }
                }
            }
            var open: [Front: ServiceFront] = [:]
            for await _ in wakes {
                let wanted = Self.wanted(store)
                for (front, listener) in open where wanted[front] == nil {
                    listener.close()
                    open[front] = nil
                }
                for (front, backends) in wanted {
                    if let listener = open[front] {
                        listener.update(backends)
                        continue
                    }
                    // A port that cannot be listened on is tried again with the next change.
                    guard let listener = try? ServiceFront(front, backends, network.node) else { continue }
                    open[front] = listener
                    group.addTask { await listener.run() }
                }
            }
        }
    }

    /// What to listen on, and where it leads.
    static func wanted(_ store: ObjectStore) -> [Front: [Endpoint]] {
        var wanted: [Front: [Endpoint]] = [:]
        for service in store.list(.service).items {
            guard let address = service.at("spec", "clusterIP")?.string.flatMap({ IPv4($0) }) else { continue }
            let endpoints = ServiceEndpoint.of(
                service.at("metadata", "namespace")?.string ?? "", service.at("metadata", "name")?.string ?? "",
                in: store)
            for port in service.at("spec", "ports")?.array ?? [] where port["protocol"] == "TCP" {
                guard let number = port["port"]?.integer.flatMap(UInt16.init(exactly:)) else { continue }
                let name = port["name"]?.string ?? ""
                let backends = endpoints.compactMap { endpoint in
                    endpoint.isReady
                        ? endpoint.ports[name].map { Endpoint.tcp(host: "\(endpoint.address)", port: $0) } : nil
                }
                if !backends.isEmpty { wanted[Front(address: address, port: number)] = backends }
            }
        }
        return wanted
    }
}

/// One port of a Service: a listener, and who is next.
final class ServiceFront: Sendable {
    private struct State {
        var backends: [Endpoint]
        var next = 0
        var isClosed = false
    }
    private let listener: Listener
    private let network: NetworkNamespace
    private let state: Mutex<State>

    init(_ front: ServiceProxy.Front, _ backends: [Endpoint], _ network: NetworkNamespace) throws {
        listener = try Listener(.tcp(host: "\(front.address)", port: front.port), in: network)
        self.network = network
        state = Mutex(State(backends: backends))
    }

    func update(_ backends: [Endpoint]) { state.withLock { $0.backends = backends } }

    /// Accepts no more; connections that are there go on.
    func close() {
        state.withLock { $0.isClosed = true }
        listener.close()
    }

    /// Serves until it is closed and its last connection has ended, or the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled, !state.withLock({ $0.isClosed }) {
                do {
                    let client = try await listener.accept()
                    group.addTask { await self.serve(client) }
                } catch is CancellationError {
                    break
                } catch {
                    // Out of descriptors: some will be free again.
                    try? await Task.sleep(for: .milliseconds(100))
                }
            }
        }
        listener.close()
    }

    private func serve(_ client: Stream) async {
        defer { client.close() }
        guard let server = await connect() else { return }
        defer { server.close() }
        await withTaskGroup(of: Bool.self) { group in
            group.addTask { await Self.carry(from: client, to: server) }
            group.addTask { await Self.carry(from: server, to: client) }
            // An end of one direction is carried on; a failure ends both.
            for await hasEnded in group where !hasEnded { group.cancelAll() }
        }
    }

    /// The next pod that takes the connection.
    private func connect() async -> Stream? {
        let order = state.withLock { state -> [Endpoint] in
            guard !state.backends.isEmpty else { return [] }
            let first = state.next % state.backends.count
            state.next = first + 1
            return Array(state.backends[first...] + state.backends[..<first])
        }
        for backend in order where !Task.isCancelled {
            // Pods with the host's network are in this process' own.
            let isLocal = backend.isLoopback
            let stream = await atMost(.seconds(5)) { [network] in
                try? await Stream.connect(to: backend, in: isLocal ? nil : network)
            }
            if let stream = stream ?? nil { return stream }
        }
        return nil
    }

    /// Carries bytes until their end, which the other side is told; returns whether it came to that.
    private static func carry(from source: Stream, to target: Stream) async -> Bool {
        do {
            while true {
                let bytes = try await source.read()
                if bytes.isEmpty { break }
                try await target.write(bytes)
            }
            target.shutdownWrite()
            return true
        } catch {
            return false
        }
    }
}

extension Endpoint {
    /// Whether it is on the loopback interface.
    var isLoopback: Bool {
        guard case .tcp(let host, _) = self else { return false }
        return host.hasPrefix("127.")
    }
}
