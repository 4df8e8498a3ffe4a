internal import JSON
internal import Synchronization

/// Which addresses are the cluster's, as far as the API tells: those of Services and pods that can be seen, and the ranges
/// that the cluster gives them from.
///
/// What may not be seen is left out: an address that nothing tells of is the outside's.
final class ClusterRanges: Sendable {
    /// How long what is known holds: an address comes with a Service or pod, which a program learns of a moment later.
    private static let lifetime = Duration.seconds(5)

    private struct Known {
        var addresses: Set<IPAddress> = []
        var ranges: Set<IPRange> = []
    }

    private let client: KubeClient
    private let namespace: String
    private let known = Mutex<(task: Task<Known, Never>, end: ContinuousClock.Instant)?>(nil)

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
        let task = known.withLock { known in
            if let known, known.end > .now { return known.task }
            let task = Task { await self.learn() }
            known = (task, .now + ClusterRanges.lifetime)
            return task
        }
        let known = await task.value
        return known.addresses.contains(address) || known.ranges.contains { $0.contains(address) }
    }

    private func learn() async -> Known {
        async let services = list(.init(.services, namespace: namespace))
        async let pods = list(.init(.pods, namespace: namespace))
        async let ranges = list(.init(.serviceRanges))
        async let nodes = list(.init(.nodes))
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
        for range in await ranges {
            known.ranges.formUnion(
                (range.at("spec", "cidrs")?.array ?? []).compactMap { $0.string.flatMap(IPRange.init) })
        }
        for node in await nodes {
            let all = node.at("spec", "podCIDRs")?.array ?? [node.at("spec", "podCIDR") ?? .null]
            known.ranges.formUnion(all.compactMap { $0.string.flatMap(IPRange.init) })
        }
        return known
    }

    private func list(_ scope: KubeClient.Scope) async -> [JSON] { (try? await client.list(scope).items) ?? [] }
}
