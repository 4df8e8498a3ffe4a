internal import JSON

/// The names of the cluster, as the specification of Kubernetes' DNS has them: an answer, and no side effects.
struct ClusterNames: Sendable {
    static let domain = ["cluster", "local"]

    /// A Service by its namespace and name.
    let service: @Sendable (String, String) -> JSON?
    /// What stands behind it.
    let endpoints: @Sendable (String, String) -> [ServiceEndpoint]
    /// The Service that has an address, for names of addresses.
    let owner: @Sendable (IPv4) -> (namespace: String, name: String)?

    init(
        service: @escaping @Sendable (String, String) -> JSON?,
        endpoints: @escaping @Sendable (String, String) -> [ServiceEndpoint],
        owner: @escaping @Sendable (IPv4) -> (namespace: String, name: String)?
    ) {
        self.service = service
        self.endpoints = endpoints
        self.owner = owner
    }

    init(_ store: ObjectStore) {
        self.init(
            service: { store.get(.service, $0, $1) }, endpoints: { ServiceEndpoint.of($0, $1, in: store) },
            owner: { address in
                let found = store.list(.service).items.first {
                    $0.at("spec", "clusterIP")?.string == address.description
                }
                return found.map {
                    ($0.at("metadata", "namespace")?.string ?? "", $0.at("metadata", "name")?.string ?? "")
                }
            })
    }

    /// The answer to a question about the cluster; `nil` for the rest of the world.
    func answer(_ question: DNSQuestion) -> DNSAnswer? {
        let name = question.name.map { $0.lowercased() }
        if name.suffix(2) == ["in-addr", "arpa"] { return reverse(name.dropLast(2), question) }
        guard name.suffix(2).elementsEqual(Self.domain) else { return nil }
        let rest = name.dropLast(2)
        var records: (answers: [DNSRecord], additional: [DNSRecord])?
        switch rest.last {
        case "svc" where rest.count >= 3:
            records = service(Array(rest.dropLast()), asked: question.name, question.kind)
        case "pod" where rest.count == 3:
            // Any address has such a name: it is only another way to write it.
            records = IPv4(rest[0].replacing("-", with: ".")).map {
                ([DNSRecord(name: question.name, data: .address($0))], [])
            }
        default: break
        }
        return Self.answer(records?.answers, additional: records?.additional ?? [], question)
    }

    private static func answer(
        _ records: [DNSRecord]?, additional: [DNSRecord] = [], _ question: DNSQuestion, domain: [String] = domain
    ) -> DNSAnswer {
        var answer = DNSAnswer()
        answer.answers = (records ?? []).filter { $0.answers(question.kind) }
        if answer.answers.isEmpty {
            if records == nil { answer.code = .noSuchName }
            answer.authority = [DNSRecord(name: domain, data: .authority)]
        } else {
            answer.additional = additional
        }
        return answer
    }

    /// The records of a name below `svc`; `nil` where there is none.
    private func service(
        _ path: [String], asked: [String], _ kind: UInt16
    ) -> (answers: [DNSRecord], additional: [DNSRecord])? {
        let (namespace, name) = (path[path.count - 1], path[path.count - 2])
        guard let service = service(namespace, name) else { return nil }
        let base = [name, namespace, "svc"] + Self.domain
        let address = service.at("spec", "clusterIP")?.string ?? ""
        if service.at("spec", "type") == "ExternalName" {
            let target = (service.at("spec", "externalName")?.string ?? "").split(separator: ".").map(String.init)
            return path.count == 2 ? ([DNSRecord(name: asked, data: .alias(target))], []) : nil
        }
        let published = address == "None" ? endpoints(namespace, name).filter(\.isReady) : []
        switch path.count {
        case 2:
            let addresses = IPv4(address).map { [$0] } ?? published.map(\.address)
            return addresses.isEmpty ? nil : (addresses.map { DNSRecord(name: asked, data: .address($0)) }, [])
        case 3:
            let found = published.filter { Self.label(of: $0) == path[0] }
            return found.isEmpty ? nil : (found.map { DNSRecord(name: asked, data: .address($0.address)) }, [])
        case 4:
            guard path[0].hasPrefix("_"), path[1].hasPrefix("_") else { return nil }
            let (port, transport) = (path[0].dropFirst(), path[1].dropFirst())
            let named = (service.at("spec", "ports")?.array ?? []).first {
                $0["name"]?.string == String(port) && ($0["protocol"]?.string ?? "").lowercased() == transport
            }
            guard let named else { return nil }
            if let single = IPv4(address) {
                let number = named["port"]?.integer.flatMap(UInt16.init(exactly:)) ?? 0
                return (
                    [DNSRecord(name: asked, data: .service(port: number, target: base))],
                    [DNSRecord(name: base, data: .address(single))]
                )
            }
            let targets = published.compactMap { endpoint in
                endpoint.ports[String(port)].map { (endpoint, $0, [Self.label(of: endpoint)] + base) }
            }
            return targets.isEmpty
                ? nil
                : (
                    targets.map { DNSRecord(name: asked, data: .service(port: $0.1, target: $0.2)) },
                    targets.map { DNSRecord(name: $0.2, data: .address($0.0.address)) }
                )
        default: return nil
        }
    }

    /// The name of one endpoint below its Service.
    private static func label(of endpoint: ServiceEndpoint) -> String {
        endpoint.hostname ?? endpoint.address.description.replacing(".", with: "-")
    }

    /// The names of the cluster's own addresses; those of others are for others to tell.
    private func reverse(_ parts: ArraySlice<String>, _ question: DNSQuestion) -> DNSAnswer? {
        guard let address = IPv4(parts.reversed().joined(separator: ".")) else { return nil }
        let isOwn = [ServiceAddresses.range, ClusterNetwork.pods].contains { $0.hosts.contains(address.value) }
        guard isOwn else { return nil }
        let records = owner(address).map { owner in
            [DNSRecord(name: question.name, data: .pointer([owner.name, owner.namespace, "svc"] + Self.domain))]
        }
        return Self.answer(records, question, domain: ["in-addr", "arpa"])
    }
}

extension DNSRecord {
    /// Whether it belongs into the answer to a question of a kind: an alias answers every question.
    fileprivate func answers(_ kind: UInt16) -> Bool {
        switch data {
        case .alias: true
        case .address: kind == DNSQuestion.Kind.a || kind == DNSQuestion.Kind.any
        case .pointer: kind == DNSQuestion.Kind.pointer || kind == DNSQuestion.Kind.any
        case .service: kind == DNSQuestion.Kind.srv || kind == DNSQuestion.Kind.any
        case .authority: false
        }
    }
}
