internal import JSON
internal import Reactor
internal import Synchronization

/// Which addresses are the cluster's, as far as the API tells: those of Services and pods that can be seen, and the ranges
/// that the cluster gives them from.
///
/// What may not be seen is left out: an address that nothing tells of is the outside's.
final class ClusterRanges: Sendable {
    /// What hardly ever changes.
    private let ranges: [Source]
    /// What comes with Services and pods, which a program learns of a moment later.
    private let addresses: [Source]

    /// `patience` is how long one waits for what is not known by now.
    init(_ client: KubeClient, namespace: String, patience: Duration) {
        ranges = [
            Source(every: .seconds(60), patience) {
                try await client.list(.init(.serviceRanges)).items.flatMap { $0.list("spec", "cidrs") }
            },
            Source(every: .seconds(60), patience) {
                try await client.list(.init(.nodes)).items.flatMap { node in
                    let all = node.list("spec", "podCIDRs")
                    return all.isEmpty ? [node.at("spec", "podCIDR")?.string].compactMap(\.self) : all
                }
            },
        ]
        addresses = [
            Source(every: .seconds(5), patience) {
                try await client.list(.init(.services, namespace: namespace)).items.flatMap { $0.clusterAddresses }
            },
            // The API's own, which pods of every namespace have in their variables.
            Source(every: .seconds(60), patience) {
                try await client.get(.services, "kubernetes", namespace: "default").clusterAddresses
            },
            Source(every: .seconds(5), patience) {
                try await client.list(.init(.pods, namespace: namespace)).items
                    .filter { $0.at("spec", "hostNetwork")?.bool != true }
                    .flatMap { ($0.at("status", "podIPs")?.array ?? []).compactMap { $0["ip"]?.string } }
            },
        ]
    }

    func contains(_ address: IPAddress) async -> Bool {
        // Addresses of the link itself mean another machine in a pod.
        let bytes = address.bytes
        if address.isLoopback || bytes.starts(with: [169, 254]) || bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80 {
            return false
        }
        if await ClusterRanges.contain(ranges, address) { return true }
        // The larger lists are asked for only where nothing else tells of an address.
        if addresses.contains(where: { $0.known.contains(address) }) { return true }
        return await ClusterRanges.contain(addresses, address)
    }

    private static func contain(_ sources: [Source], _ address: IPAddress) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            for source in sources { group.addTask { await source.present().contains(address) } }
            return await group.contains(true)
        }
    }
}

extension JSON {
    fileprivate func list(_ path: String...) -> [String] {
        path.reduce(self) { $0[$1] ?? .null }.array?.compactMap(\.string) ?? []
    }

    /// Those of a Service.
    fileprivate var clusterAddresses: [String] {
        let all = list("spec", "clusterIPs")
        return all.isEmpty ? [at("spec", "clusterIP")?.string].compactMap(\.self) : all
    }
}

/// Addresses and ranges that one kind of objects tells of, which is asked for again when they are older than a while.
private final class Source: Sendable {
    struct Known {
        var addresses: Set<IPAddress> = []
        var ranges: Set<IPRange> = []

        func contains(_ address: IPAddress) -> Bool {
            addresses.contains(address) || ranges.contains { $0.contains(address) }
        }
    }
    private struct State {
        var known = Known()
        var end = ContinuousClock.now
        /// The question that is under way, and how long an answer waits for it: further ones do without it then.
        var asking: (task: Task<Void, Never>, limit: ContinuousClock.Instant)?
    }

    /// How soon what has failed is tried again.
    private static let pause = Duration.seconds(1)

    private let lifetime: Duration
    private let patience: Duration
    private let ask: @Sendable () async throws -> [String]
    private let state = Mutex(State())

    init(
        every lifetime: Duration, _ patience: Duration, _ ask: @escaping @Sendable () async throws -> [String]
    ) {
        self.lifetime = lifetime
        self.patience = patience
        self.ask = ask
    }

    /// As it was known last.
    var known: Known { state.withLock { $0.known } }

    /// As it is now; as it was where the cluster does not answer soon.
    func present() async -> Known {
        let asking = state.withLock { state in
            if state.asking == nil, state.end <= .now {
                state.asking = (Task { await self.renew() }, .now + patience)
            }
            return state.asking
        }
        if let (task, limit) = asking, limit > .now {
            let answered = Gate()
            Task {
                await task.value
                answered.close()
            }
            await atMost(limit - .now) { await answered.pass() }
        }
        return known
    }

    private func renew() async {
        var known: Known?
        do {
            let texts = try await ask()
            known = Known(
                addresses: Set(texts.compactMap { IPAddress($0) }), ranges: Set(texts.compactMap(IPRange.init)))
        } catch let error as KubeError where error.isForbidden || error.isNotFound {
            // What may not be seen will not be there in a moment either.
            known = Known()
        } catch {}
        state.withLock { state in
            if let known { state.known = known }
            state.end = .now + (known == nil ? Source.pause : lifetime)
            state.asking = nil
        }
    }
}
