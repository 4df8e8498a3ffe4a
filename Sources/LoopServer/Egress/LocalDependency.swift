/// A dependency of a service with the port of this machine that leads to it.
struct LocalDependency: Sendable {
    let dependency: Dependency
    let local: LocalAddress
    /// Every way to write its name, in lower case; the addresses of a Service too.
    let hosts: Set<String>
    /// The ports that its Service names.
    var portNames: [UInt16: String] = [:]

    /// A dependency of a service whose pods are in `namespace`, and what its name was found to be.
    init(
        _ dependency: Dependency, at local: LocalAddress, namespace: String, domain: String = "cluster.local",
        target: ClusterTarget? = nil
    ) {
        self.dependency = dependency
        self.local = local
        var hosts = LocalDependency.spellings(dependency.name, namespace: namespace, domain: domain)
        if let target, target.ports != nil { hosts.formUnion(target.addresses) }
        self.hosts = hosts
        for port in target?.ports ?? [] { portNames[port.number] = port.name }
    }

    /// A name with and without what a pod's search path adds.
    ///
    /// `db.shop` may be a pod of this namespace's Service "shop", or the Service of another one: both can be written longer.
    private static func spellings(_ name: String, namespace: String, domain: String) -> Set<String> {
        let name = name.lowercased()
        var spellings: Set<String> = [name]
        guard IPAddress(name) == nil else { return spellings }
        for reading in ClusterName.readings(of: name, namespace: namespace, domain: domain).names {
            let (short, home): (String, String)
            switch reading {
            case .service(let service, let other): (short, home) = (service, other)
            case .member(let host, let service, let other): (short, home) = ("\(host).\(service)", other)
            case .pod: continue
            }
            if home == namespace { spellings.insert(short) }
            for end in [home, "\(home).svc", "\(home).svc.\(domain)", "\(home).svc.\(domain)."] {
                spellings.insert("\(short).\(end)")
            }
        }
        return spellings
    }

    /// The variables that Kubernetes gives pods for a Service of the name, and that Docker gave for a link, with the local
    /// address in them.
    var variables: [String: String] {
        guard IPAddress(dependency.name) == nil, let first = dependency.name.split(separator: ".").first else {
            return [:]
        }
        let name = first.uppercased().replacing("-", with: "_")
        let port = "\(dependency.port)"
        let place = "tcp://\(local)"
        var variables = [
            "\(name)_SERVICE_HOST": local.host, "\(name)_SERVICE_PORT": "\(local.port)", "\(name)_PORT": place,
            "\(name)_PORT_\(port)_TCP": place, "\(name)_PORT_\(port)_TCP_PROTO": "tcp",
            "\(name)_PORT_\(port)_TCP_PORT": "\(local.port)", "\(name)_PORT_\(port)_TCP_ADDR": local.host,
        ]
        if let portName = portNames[dependency.port] {
            variables["\(name)_SERVICE_PORT_\(portName.uppercased().replacing("-", with: "_"))"] = "\(local.port)"
        }
        return variables
    }
}
