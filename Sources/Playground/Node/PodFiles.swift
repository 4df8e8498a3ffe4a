internal import Glibc
internal import JSON

/// The files that every container of a pod gets: `/etc/hosts`, `/etc/hostname`, `/etc/resolv.conf`.
struct PodFiles {
    let layout: NodeLayout
    let pod: JSON
    let hostname: String
    /// Whether the pod has a network to itself, with the cluster's names.
    let hasOwnNetwork: Bool

    func write() throws -> [(source: String, target: String)] {
        let folder = layout.pod(pod.at("metadata", "uid")?.string ?? "")
        try Disk.makeDirectory(folder)
        return try [("hosts", hosts), ("hostname", hostname + "\n"), ("resolv.conf", resolver)].map { name, text in
            let path = "\(folder)/\(name)"
            // A container that is there already has this very file mounted: it is kept.
            if !Disk.exists(path) { try Disk.write(Array(text.utf8), to: path) }
            return (path, "/etc/\(name)")
        }
    }

    private var hosts: String {
        var text = hasOwnNetwork ? own : shared
        let aliases = pod.at("spec", "hostAliases")?.array ?? []
        if !aliases.isEmpty { text += "\n# Entries added by HostAliases.\n" }
        for alias in aliases {
            let names = (alias["hostnames"]?.array ?? []).compactMap(\.string)
            text += "\(alias["ip"]?.string ?? "")\t\(names.joined(separator: "\t"))\n"
        }
        return text
    }

    private var own: String {
        var names = [hostname]
        if let subdomain = pod.at("spec", "subdomain")?.string, !subdomain.isEmpty {
            let namespace = pod.at("metadata", "namespace")?.string ?? ""
            names.insert(([hostname, subdomain, namespace, "svc"] + ClusterNames.domain).joined(separator: "."), at: 0)
        }
        return """
            # Kubernetes-managed hosts file.
            127.0.0.1\tlocalhost
            ::1\tlocalhost ip6-localhost ip6-loopback
            fe00::0\tip6-localnet
            fe00::0\tip6-mcastprefix
            fe00::1\tip6-allnodes
            fe00::2\tip6-allrouters
            \(pod.at("status", "podIP")?.string ?? "127.0.0.1")\t\(names.joined(separator: "\t"))

            """
    }

    private var shared: String {
        var text = Disk.text("/etc/hosts") ?? "127.0.0.1\tlocalhost\n"
        if !text.hasSuffix("\n") { text += "\n" }
        if pod.at("spec", "hostNetwork")?.bool != true { text += "\(PodStatus.sharedAddress)\t\(hostname)\n" }
        return text
    }

    private var resolver: String {
        let policy = pod.at("spec", "dnsPolicy")?.string ?? "ClusterFirst"
        var settings =
            policy == "None" ? ResolverSettings() : ResolverSettings(text: Disk.text("/etc/resolv.conf") ?? "")
        if hasOwnNetwork, policy != "None" {
            // It asks the machine's own servers, which the pod may not be able to reach.
            settings.servers = ["\(ServiceAddresses.nameServer)"]
            if policy != "Default" {
                let namespace = pod.at("metadata", "namespace")?.string ?? ""
                let domain = ClusterNames.domain.joined(separator: ".")
                settings.searches = ["\(namespace).svc.\(domain)", "svc.\(domain)", domain] + settings.searches
                settings.options = [(name: "ndots", value: "5")]
            }
        }
        settings.add(pod.at("spec", "dnsConfig") ?? [:])
        return settings.text
    }
}

/// What a `resolv.conf` says.
struct ResolverSettings {
    var servers: [String] = []
    var searches: [String] = []
    var options: [(name: String, value: String?)] = []

    init() {}

    /// Reads a file; what it does not know, it leaves out.
    init(text: String) {
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == "\t" }.map(String.init)
            switch words.first {
            case "nameserver"?: servers += words.dropFirst().prefix(1)
            case "search"?, "domain"?: searches = Array(words.dropFirst())
            case "options"?:
                options += words.dropFirst().map { word in
                    let parts = word.split(separator: ":", maxSplits: 1).map(String.init)
                    return (name: parts[0], value: parts.count > 1 ? parts[1] : nil)
                }
            default: break
            }
        }
    }

    /// Adds what a pod's `dnsConfig` says; its options replace those of the same name.
    mutating func add(_ settings: JSON) {
        for (field, list) in [("nameservers", \ResolverSettings.servers), ("searches", \ResolverSettings.searches)] {
            for entry in (settings[field]?.array ?? []).compactMap(\.string) where !self[keyPath: list].contains(entry)
            {
                self[keyPath: list].append(entry)
            }
        }
        for option in settings["options"]?.array ?? [] {
            guard let name = option["name"]?.string else { continue }
            options.removeAll { $0.name == name }
            options.append((name: name, value: option["value"]?.string))
        }
    }

    /// The file.
    var text: String {
        var text = servers.map { "nameserver \($0)\n" }.joined()
        if !searches.isEmpty { text = "search \(searches.joined(separator: " "))\n" + text }
        if !options.isEmpty {
            let words = options.map { option in option.value.map { "\(option.name):\($0)" } ?? option.name }
            text += "options \(words.joined(separator: " "))\n"
        }
        return text
    }
}
