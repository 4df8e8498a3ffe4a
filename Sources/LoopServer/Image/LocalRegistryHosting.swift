internal import JSON

/// What a cluster says about its registry, in the ConfigMap `local-registry-hosting` of `kube-public` (KEP-1755).
struct LocalRegistryHosting: Equatable, Sendable {
    /// The registry as this machine reaches it.
    var host: String?
    /// As the nodes' container runtime names it; without it, as `host`.
    var hostFromContainerRuntime: String?
    /// As something that runs in a pod reaches it; without it, as the container runtime.
    var hostFromClusterNetwork: String?
    /// Where to read how to set one up.
    var help: String?

    static let namespace = "kube-public"
    static let name = "local-registry-hosting"
    private static let key = "localRegistryHosting.v1"

    /// Its names; `nil` where it cannot be reached from here.
    ///
    /// - Parameter isInPod: whether loopd itself runs in a pod of the cluster.
    func names(isInPod: Bool = false) -> RegistryNames? {
        let runtime = hostFromContainerRuntime ?? host
        let push = isInPod ? hostFromClusterNetwork ?? runtime : host
        return push.map { RegistryNames(push: $0, pull: runtime ?? $0) }
    }

    /// Reads the ConfigMap; `nil` where it has nothing of the version that is known.
    init?(configMap: JSON) {
        guard let text = configMap.at("data", LocalRegistryHosting.key)?.string else { return nil }
        let values = LocalRegistryHosting.values(text)
        host = LocalRegistryHosting.address(values["host"])
        hostFromContainerRuntime = LocalRegistryHosting.address(values["hostFromContainerRuntime"])
        hostFromClusterNetwork = LocalRegistryHosting.address(values["hostFromClusterNetwork"])
        help = values["help"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// A host as names have it: some people write it with a scheme or a slash at its end.
    private static func address(_ text: String?) -> String? {
        guard var host = text?[...] else { return nil }
        if let scheme = host.firstRange(of: "://") { host = host[scheme.upperBound...] }
        while host.last == "/" { host = host.dropLast() }
        return host.isEmpty ? nil : String(host)
    }

    /// A flat mapping in YAML, or in JSON, which is YAML too: one `key: value` in each line, quoted or not.
    private static func values(_ text: String) -> [String: String] {
        if let object = (try? JSON(parsing: Array(text.utf8)))?.object {
            return object.reduce(into: [:]) { values, member in values[member.key] = member.value.string }
        }
        var values: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            let line = line.drop { $0 == " " || $0 == "\t" }
            guard line.first != "#", let colon = line.firstIndex(of: ":") else { continue }
            let key = unquoted(line[..<colon])
            values[key] = unquoted(line[line.index(after: colon)...])
        }
        return values
    }

    private static func unquoted(_ text: Substring) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        if let quote = text.first, quote == "\"" || quote == "'" {
            let inner = text.dropFirst()
            return String(inner[..<(inner.firstIndex(of: quote) ?? inner.endIndex)])
        }
        if let comment = text.firstRange(of: " #") { text = text[..<comment.lowerBound] }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return String(text)
    }
}
