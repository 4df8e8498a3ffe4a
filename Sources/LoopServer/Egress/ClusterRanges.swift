internal import JSON
internal import Synchronization

/// Which addresses are the cluster's, as far as the API tells: those of Services and pods that can be seen, and the ranges
/// that the cluster gives them from.
///
/// What may not be seen is left out: an address that nothing tells of is the outside's.
final class ClusterRanges: Sendable {
    private struct Known {
        var addresses: Set<IPAddress> = []
        var ranges: Set<IPRange> = []

        func contains(_ address: IPAddress) -> Bool {
            addresses.contains(address) || ranges.contains { $0.contains(address) }
        }
    }

    private let client: KubeClient
    private let namespace: String
    /// What comes with Services and pods, which a program learns of a moment later; and what hardly ever changes.
    private let addresses = Kept<Known>(for: .seconds(5))
    private let ranges = Kept<Known>(for: .seconds(60))

    init(_ client: KubeClient, namespace: String) {
        self.client = client
        self.namespace = namespace
    }

    func contains(_ address: IPAddress) async -> Bool {
        // Addresses of the link itself mean another machine in a pod.
        let bytes = address.bytes
        if address.isLoopback || bytes.starts(with: [169, 254]) || bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80 {
            return false
        }
        if await addresses.value({ await self.seenAddresses() }).contains(address) { return true }
        return await ranges.value { await self.seenRanges() }.contains(address)
    }

    private func seenAddresses() async -> Known {
        async let services = list(.init(.services, namespace: namespace))
        async let pods = list(.init(.pods, namespace: namespace))
        let own = try? await client.get(.services, "kubernetes", namespace: "default")
        var known = Known()
        for service in await services + [own].compactMap(\.self) {
            let all = service.at("spec", "clusterIPs")?.array ?? [service.at("spec", "clusterIP") ?? .null]
            known.addresses.formUnion(all.compactMap { $0.string.flatMap { IPAddress($0) } })
        }
        for pod in await pods where pod.at("spec", "hostNetwork")?.bool != true {
            let all = pod.at("status", "podIPs")?.array ?? []
            known.addresses.formUnion(all.compactMap { $0["ip"]?.string.flatMap { IPAddress($0) } })
        }
        return known
    }

    private func seenRanges() async -> Known {
        async let nodes = list(.init(.nodes))
        var known = Known()
        for range in await list(.init(.serviceRanges)) {
            let all = range.at("spec", "cidrs")?.array ?? []
            known.ranges.formUnion(all.compactMap { $0.string.flatMap(IPRange.init) })
        }
        for node in await nodes {
            let all = node.at("spec", "podCIDRs")?.array ?? [node.at("spec", "podCIDR") ?? .null]
            known.ranges.formUnion(all.compactMap { $0.string.flatMap(IPRange.init) })
        }
        return known
    }

    private func list(_ scope: KubeClient.Scope) async -> [JSON] { (try? await client.list(scope).items) ?? [] }
}

/// A value that is made again when it is older than a while; who asks meanwhile gets the one that is being made.
private final class Kept<Value: Sendable>: Sendable {
    private let lifetime: Duration
    private let kept = Mutex<(task: Task<Value, Never>, end: ContinuousClock.Instant)?>(nil)

    init(for lifetime: Duration) { self.lifetime = lifetime }

    func value(_ make: @escaping @Sendable () async -> Value) async -> Value {
        let task = kept.withLock { kept in
            if let kept, kept.end > .now { return kept.task }
            let task = Task { await make() }
            kept = (task, .now + lifetime)
            return task
        }
        return await task.value
    }
}
