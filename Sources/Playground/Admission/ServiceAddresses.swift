internal import JSON

/// Gives Services the addresses and node ports that they ask for, or ones that nobody has.
///
/// It knows what was taken when it was made: two Services that are created at the very same moment get addresses at random,
/// out of so many that they do not meet.
struct ServiceAddresses {
    private let isNeeded: Bool
    /// The addresses and node ports of Services, each with the uid of its Service.
    private let addresses: [String: String]
    private let nodePorts: [Int64: String]

    /// `10.96.0.0/16`, less what is used otherwise: its first 256 addresses are left to those who ask for one.
    static let range = IPv4Network(address: IPv4(10, 96, 0, 0), prefix: 16)
    /// Where the names are served.
    static let nameServer = IPv4(10, 96, 0, 10)
    static let nodePortRange: ClosedRange<Int64> = 30000...32767

    init(of kind: ResourceKind, in store: ObjectStore) {
        self.init(kind == .service ? store.list(.service).items : nil)
    }

    /// What is taken by these Services; `nil` where no Service is concerned.
    init(_ services: [JSON]?) {
        isNeeded = services != nil
        var (addresses, nodePorts): ([String: String], [Int64: String]) = ([:], [:])
        for service in services ?? [] {
            let uid = service.at("metadata", "uid")?.string ?? ""
            if let address = service.at("spec", "clusterIP")?.string { addresses[address] = uid }
            for port in service.at("spec", "ports")?.array ?? [] {
                if let number = port["nodePort"]?.integer { nodePorts[number] = uid }
            }
        }
        (self.addresses, self.nodePorts) = (addresses, nodePorts)
    }

    /// Fills in what a Service has to be given; does nothing with other kinds.
    ///
    /// `uid` is that of a Service that has been there before.
    func complete(_ object: inout JSON, uid: String? = nil) throws {
        guard isNeeded, var spec = object["spec"], spec["type"] != "ExternalName" else { return }
        spec.setDefault("ipFamilies", ["IPv4"])
        spec.setDefault("ipFamilyPolicy", "SingleStack")
        var errors: [FieldError] = []
        let asked = spec["clusterIP"]?.string ?? ""
        if asked.isEmpty {
            guard let free = freeAddress() else {
                throw StatusError(
                    code: 500, reason: "InternalError",
                    message: "failed to allocate a serviceIP: range is full")
            }
            spec["clusterIP"] = .string(free.description)
        } else if asked != "None", let address = IPv4(asked) {
            let problem =
                if !Self.range.hosts.contains(address.value) {
                    "the provided IP (\(asked)) is not in the valid range. The range of valid IPs is \(Self.range)"
                } else if address == Self.nameServer || addresses[asked].map({ $0 != uid }) ?? false {
                    "provided IP is already allocated"
                } else { "" }
            if !problem.isEmpty {
                errors.append(
                    .invalid("spec.clusterIPs", .array([.string(asked)]), "failed to allocate IP \(asked): \(problem)"))
            }
        }
        spec["clusterIPs"] = spec["clusterIP"].map { .array([$0]) }
        let wantsNodePorts =
            spec["type"] == "NodePort"
            || (spec["type"] == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false)
        if wantsNodePorts { errors += completePorts(&spec, uid) }
        if !errors.isEmpty { throw StatusError.invalid(.service, object.at("metadata", "name")?.string ?? "", errors) }
        object["spec"] = spec
        object = (try? ObjectDecoder.decode(object, as: Schema.structure(of: .service)).value) ?? object
    }

    private func completePorts(_ spec: inout JSON, _ uid: String?) -> [FieldError] {
        var errors: [FieldError] = []
        var taken = Set(nodePorts.keys)
        var ports = spec["ports"]?.array ?? []
        for port in ports { taken.insert(port["nodePort"]?.integer ?? 0) }
        for index in ports.indices {
            if let number = ports[index]["nodePort"]?.integer, number != 0 {
                let path = "spec.ports[\(index)].nodePort"
                if !Self.nodePortRange.contains(number) {
                    errors.append(
                        .invalid(
                            path, .integer(number),
                            "provided port is not in the valid range. The range of valid ports is 30000-32767"))
                } else if let owner = nodePorts[number], owner != uid {
                    errors.append(.invalid(path, .integer(number), "provided port is already allocated"))
                }
            } else if let free = Self.free(in: Self.nodePortRange, { taken.contains($0) }) {
                taken.insert(free)
                ports[index]["nodePort"] = .integer(free)
            }
        }
        spec["ports"] = .array(ports)
        return errors
    }

    private func freeAddress() -> IPv4? {
        let hosts = Self.range.hosts
        let free = Self.free(in: Int64(hosts.lowerBound + 255)...Int64(hosts.upperBound)) {
            addresses[IPv4(value: UInt32($0)).description] != nil
        }
        return free.map { IPv4(value: UInt32($0)) }
    }

    /// A number at random that is not taken.
    private static func free(in range: ClosedRange<Int64>, _ isTaken: (Int64) -> Bool) -> Int64? {
        let start = Int64.random(in: range)
        return (start...range.upperBound).first { !isTaken($0) } ?? (range.lowerBound..<start).first { !isTaken($0) }
    }
}
