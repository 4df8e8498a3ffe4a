internal import CLinux
internal import Glibc
internal import JSON
internal import Reactor
internal import Synchronization

/// The cluster's network: the node's own network namespace with a bridge, and one namespace for each pod on it.
///
/// Nothing of the machine's own network is touched. The namespaces are bound to files below the state directory: they
/// outlive the playground, and go with the mounts there.
final class ClusterNetwork: Sendable {
    static let pods = IPv4Network(address: IPv4(10, 244, 0, 0), prefix: 24)
    /// The node's address on the bridge, and the pods' gateway.
    static let gateway = IPv4(10, 244, 0, 1)
    private static let bridge = "pods"

    /// The network that the node's own sockets are in: the Service proxy, the name server, probes.
    let node: NetworkNamespace
    private let layout: NodeLayout
    private let pool: Mutex<AddressPool>

    /// Makes the node's network, or takes over the one that an earlier playground made.
    init(_ layout: NodeLayout) throws {
        self.layout = layout
        try Disk.makeDirectory(layout.network, mode: 0o700)
        let file = "\(layout.network)/node"
        let mark = "\(layout.network)/ready"
        if Disk.exists(mark), let node = try? NetworkNamespace(path: file) {
            self.node = node
        } else {
            _ = unlink(mark)
            Mounts.removeAll(below: file)
            do {
                node = try NetworkNamespace.make(at: file)
                try node.run(Self.configureNode)
                try Disk.write([], to: mark)
            } catch {
                Mounts.removeAll(below: file)
                throw error
            }
        }
        pool = Mutex(AddressPool(Self.pods))
    }

    private static func configureNode() throws {
        try check(clinux_interface_up("lo"), "bring up lo")
        // Every address of a network on the loopback interface is this node's own: those of all Services.
        let services = ServiceAddresses.range
        try check(
            clinux_interface_address("lo:1", services.hosts.lowerBound, Int32(services.prefix)), "add \(services)")
        try check(clinux_bridge_add(bridge), "add the bridge \(bridge)")
        // Given by hand, or it would change with the pods on the bridge, and who has learnt it would talk to nobody.
        try check(clinux_interface_hardware(bridge, [0x02, 0x64, 10, 244, 0, 1]), "give the bridge an address")
        try check(clinux_interface_address(bridge, gateway.value, Int32(pods.prefix)), "add \(gateway)")
        try check(clinux_interface_up(bridge), "bring up the bridge \(bridge)")
        try set("net/ipv4/ip_forward", "1")
    }

    /// Reserves the addresses of pods that are there already and have not come to their end.
    func adopt(_ pods: [JSON]) {
        for pod in pods {
            guard let uid = pod.at("metadata", "uid")?.string, !PodState.hasEnded(pod),
                let address = pod.at("status", "podIP")?.string.flatMap({ IPv4($0) })
            else { continue }
            _ = pool.withLock { $0.take(address, for: uid) }
        }
    }

    /// The pod's network, made where it is not there yet, and its address.
    ///
    /// `known` is the address that it had so far.
    func connect(_ uid: String, known: IPv4?) throws -> IPv4 {
        let file = layout.network(ofPod: uid)
        if let known, (try? NetworkNamespace(path: file)) != nil, pool.withLock({ $0.take(known, for: uid) }) {
            return known
        }
        Mounts.removeAll(below: file)
        guard let address = pool.withLock({ $0.take(for: uid) }) else {
            throw SystemError(code: EADDRNOTAVAIL, attempt: "find a free address in \(Self.pods)")
        }
        do {
            try Disk.makeDirectory(layout.pod(uid))
            let pod = try NetworkNamespace.make(at: file)
            // Of its own for each attempt: the kernel takes a moment to let go of the interface of one that is gone.
            let port = "pod\(Identifier.random(bytes: 5))"
            try node.run {
                try pod.withDescriptor { try Self.check(clinux_veth_add(port, "eth0", $0), "add \(port)") }
                try Self.check(clinux_bridge_join(Self.bridge, port), "put \(port) on the bridge")
                try Self.check(clinux_interface_up(port), "bring up \(port)")
            }
            try pod.run {
                // As containerd has it: any user of a pod may listen on any of its ports.
                try Self.set("net/ipv4/ip_unprivileged_port_start", "0")
                try Self.check(clinux_interface_up("lo"), "bring up lo")
                try Self.check(
                    clinux_interface_address("eth0", address.value, Int32(Self.pods.prefix)), "add \(address)")
                try Self.check(clinux_interface_up("eth0"), "bring up eth0")
                try Self.check(clinux_route_default(Self.gateway.value), "add the default route")
            }
            return address
        } catch {
            disconnect(uid)
            throw error
        }
    }

    /// Takes a pod's network away; connections that its processes still have end with them.
    func disconnect(_ uid: String) {
        Mounts.removeAll(below: layout.network(ofPod: uid))
        pool.withLock { $0.giveBack(uid) }
    }

    private static func check(_ result: Int32, _ attempt: String) throws(SystemError) {
        guard result == 0 else { throw .last(attempt) }
    }

    private static func set(_ name: String, _ value: String) throws {
        let path = "/proc/sys/\(name)"
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { throw SystemError.last("open \(path)") }
        defer { close(file) }
        guard write(file, value, value.utf8.count) >= 0 else { throw SystemError.last("write \(path)") }
    }
}
