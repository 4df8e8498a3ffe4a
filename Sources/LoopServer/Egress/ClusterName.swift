/// What a name may mean inside a cluster: a pure function of the name and of the namespace that asks.
enum ClusterName: Hashable, Sendable {
    /// A Service.
    case service(String, namespace: String)
    /// A pod of a headless Service, by its host name.
    case member(String, service: String, namespace: String)
    /// A pod, by the address that its name spells: `10-244-0-5.web.pod.cluster.local`.
    case pod(IPAddress)

    /// What the search path of a pod makes of a name, in its order.
    ///
    /// - Parameter isExplicit: Whether the name itself says that it is one of the cluster: it has `svc` or `pod` where they
    ///   belong. Another one may as well be a name of the outside.
    static func readings(
        of name: String, namespace: String, domain: String
    ) -> (names: [ClusterName], isExplicit: Bool) {
        var labels = name.lowercased().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        let isAbsolute = labels.count > 1 && labels.last == ""
        if isAbsolute { labels.removeLast() }
        guard !labels.isEmpty, labels.count <= 16, labels.allSatisfy({ isLabel($0) }) else { return ([], false) }
        let zone = domain.split(separator: ".").map(String.init)
        if labels.count > zone.count, Array(labels.suffix(zone.count)) == zone {
            let reading = reading(labels.dropLast(zone.count))
            return (reading.map { [$0] } ?? [], true)
        }
        // Of a cluster whose domain is another one, nothing tells which it is: but hardly any outside name looks so.
        if let end = labels.lastIndex(of: "svc"), end < labels.count - 1, let reading = reading(labels[...end]) {
            return ([reading], false)
        }
        guard !isAbsolute else { return ([], false) }
        // `web.shop.svc`: what the path makes of it before would be of a namespace "svc".
        if let reading = reading(labels[...]) { return ([reading], true) }
        return ([labels + [namespace, "svc"], labels + ["svc"]].compactMap { reading($0[...]) }, false)
    }

    /// The meaning of a name below the cluster's domain, without that.
    private static func reading(_ labels: ArraySlice<String>) -> ClusterName? {
        let labels = Array(labels)
        switch (labels.count, labels.last) {
        case (3, "svc"): return .service(labels[0], namespace: labels[1])
        case (4, "svc"): return .member(labels[0], service: labels[1], namespace: labels[2])
        case (3, "pod"):
            let address =
                IPAddress(labels[0].replacing("-", with: ".")) ?? IPAddress(labels[0].replacing("-", with: ":"))
            return address.map { .pod($0) }
        default: return nil
        }
    }

    /// Whether the API could have it as a name.
    private static func isLabel(_ label: String) -> Bool {
        !label.isEmpty && label.utf8.count <= 63
            && label.utf8.allSatisfy { byte in
                (97...122).contains(byte) || (48...57).contains(byte) || byte == 45 || byte == 95
            }
    }

    /// The namespace that is asked; `nil` where none is.
    var namespace: String? {
        switch self {
        case .service(_, let namespace), .member(_, _, let namespace): namespace
        case .pod: nil
        }
    }
}
