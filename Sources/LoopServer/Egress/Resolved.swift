/// Where a name leads to.
enum Resolved: Equatable, Sendable {
    /// Into the cluster.
    case cluster(ClusterTarget)
    /// Out of it: this machine connects to that name or address itself. The hint says what the cluster had to say about it,
    /// for when this machine does not know the name either.
    case outside(String, hint: String?)
}

/// Something in the cluster that a helper in a pod connects to.
struct ClusterTarget: Equatable, Sendable {
    /// Its addresses, the best one first.
    var addresses: [String]
    /// The Service that they are of, as people write it: `postgres in namespace web`.
    var service: String?
    var namespace: String
    /// The labels of its pods in the API's syntax; `nil` where they are not told.
    var selector: String?
    /// The TCP ports of a Service with an address of its own, by their names where they have some; `nil` where every port may
    /// be there.
    var ports: [Port]?

    /// That its Service does not have a port, with those that it has; `nil` where the port may be there.
    func absence(of port: UInt16) -> String? {
        guard let ports, !ports.contains(where: { $0.number == port }) else { return nil }
        let list = ports.map { "\($0.number)" }.joined(separator: ", ")
        let name = service ?? addresses.first ?? "it"
        return "\(name) has \(ports.isEmpty ? "no TCP port" : "no port \(port), but \(list)")"
    }

    /// A port of a Service.
    struct Port: Equatable, Sendable {
        var number: UInt16
        var name: String?
    }
}

/// A way into the cluster's network: links to a helper in a pod, for as long as there is one.
protocol ClusterRoute: Sendable {
    /// The link by which a target is reached.
    ///
    /// Waits for a while, 10 seconds or so, where the link is being made anew, and then throws a `LoopFailure` of one line.
    func link(to target: ClusterTarget) async throws -> HelperLink
}
