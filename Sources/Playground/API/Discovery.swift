internal import JSON

/// What the API says about itself: its version, its groups and its kinds.
enum Discovery {
    /// The Kubernetes version whose answers these are.
    static let version: JSON = [
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36", "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35", "gitVersion": "v1.36.2", "gitCommit": "", "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "loopd playground", "platform": "linux/amd64",
    ]

    /// The media type of aggregated discovery, which `kubectl` asks for.
    static let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

    static func apiVersions(address: String) -> JSON {
        [
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [["clientCIDR": "0.0.0.0/0", "serverAddress": .string(address)]],
        ]
    }

    /// Groups beside the core group, each with its one version.
    static let groups: [(name: String, version: String)] = {
        var groups: [(name: String, version: String)] = [
            ("apps", "v1"), ("events.k8s.io", "v1"),
        ]
        for kind in RefusedKind.all where !kind.group.isEmpty && !groups.contains(where: { $0.name == kind.group }) {
            groups.append((kind.group, kind.version))
        }
        // The last one of a real cluster's that is here.
        return groups + [("discovery.k8s.io", "v1")]
    }()

    static func groupList() -> JSON {
        ["kind": "APIGroupList", "apiVersion": "v1", "groups": .array(groups.map { group($0.name, $0.version) })]
    }

    static func group(_ name: String, _ version: String) -> JSON {
        let both: JSON = ["groupVersion": .string("\(name)/\(version)"), "version": .string(version)]
        return ["name": .string(name), "versions": [both], "preferredVersion": both]
    }

    /// The plain list of a group's resources; `nil` for a group that is not there.
    static func resourceList(_ group: String, _ version: String) -> JSON? {
        guard group.isEmpty ? version == "v1" : groups.contains(where: { $0 == (group, version) }) else { return nil }
        var resources: [JSON] = []
        for entry in entries(group) {
            resources.append(entry.plain(entry.plural, entry.kind, entry.verbs, isMain: true))
            for sub in entry.subresources {
                resources.append(entry.plain("\(entry.plural)/\(sub.name)", sub.kind, sub.verbs, isMain: false))
            }
        }
        return [
            "kind": "APIResourceList", "apiVersion": "v1",
            "groupVersion": .string(group.isEmpty ? version : "\(group)/\(version)"), "resources": .array(resources),
        ]
    }

    /// The core group alone, or all others.
    static func aggregatedList(core: Bool) -> JSON {
        let names = core ? [(name: "", version: "v1")] : groups
        return [
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": [:],
            "items": .array(
                names.map { group in
                    [
                        "metadata": group.name.isEmpty ? [:] : ["name": .string(group.name)],
                        "versions": [
                            [
                                "version": .string(group.version),
                                "resources": .array(entries(group.name).map(\.aggregated)), "freshness": "Current",
                            ]
                        ],
                    ]
                }),
        ]
    }

    private struct Entry {
        let kind: String
        let plural: String
        let singular: String
        let shortNames: [String]
        let categories: [String]
        let isNamespaced: Bool
        let verbs: [String]
        let subresources: [(name: String, kind: String, verbs: [String])]

        var aggregated: JSON {
            var entry: JSON = [
                "resource": .string(plural), "responseKind": responseKind(kind),
                "scope": isNamespaced ? "Namespaced" : "Cluster", "singularResource": .string(singular),
                "verbs": strings(verbs),
            ]
            if !shortNames.isEmpty { entry["shortNames"] = strings(shortNames) }
            if !categories.isEmpty { entry["categories"] = strings(categories) }
            if !subresources.isEmpty {
                entry["subresources"] = .array(
                    subresources.map {
                        [
                            "subresource": .string($0.name), "responseKind": responseKind($0.kind),
                            "verbs": strings($0.verbs),
                        ]
                    })
            }
            return entry
        }

        func plain(_ name: String, _ kind: String, _ verbs: [String], isMain: Bool) -> JSON {
            var entry: JSON = [
                "name": .string(name), "singularName": .string(isMain ? singular : ""),
                "namespaced": .bool(isNamespaced), "kind": .string(kind), "verbs": strings(verbs),
            ]
            if kind == "Scale" {
                entry["group"] = "autoscaling"
                entry["version"] = "v1"
            }
            if kind == "TokenRequest" {
                entry["group"] = "authentication.k8s.io"
                entry["version"] = "v1"
            }
            if isMain, !shortNames.isEmpty { entry["shortNames"] = strings(shortNames) }
            if isMain, !categories.isEmpty { entry["categories"] = strings(categories) }
            return entry
        }

        private func responseKind(_ kind: String) -> JSON {
            switch kind {
            case "Scale": ["group": "autoscaling", "version": "v1", "kind": "Scale"]
            case "TokenRequest": ["group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"]
            default: ["group": "", "version": "", "kind": .string(kind)]
            }
        }

        private func strings(_ list: [String]) -> JSON { .array(list.map { .string($0) }) }
    }

    private static let allVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    private static let changeVerbs = ["get", "patch", "update"]

    private static func entries(_ group: String) -> [Entry] {
        var entries = ResourceKind.served.filter { $0.group == group }.map { kind in
            Entry(
                kind: kind.kind, plural: kind.plural, singular: kind.singular, shortNames: kind.shortNames,
                categories: kind.categories, isNamespaced: kind.isNamespaced,
                verbs: kind == .namespace ? allVerbs.filter { $0 != "deletecollection" } : allVerbs,
                subresources: subresources(kind))
        }
        if group == "events.k8s.io" {
            entries.append(
                Entry(
                    kind: "Event", plural: "events", singular: "event", shortNames: ["ev"], categories: [],
                    isNamespaced: true, verbs: allVerbs, subresources: []))
        }
        // Refused kinds are named, so that a client reaches the refusal instead of guessing about its own mistake.
        entries += RefusedKind.all.filter { $0.group == group }.map { kind in
            Entry(
                kind: kind.kind, plural: kind.plural, singular: kind.kind.lowercased(), shortNames: kind.shortNames,
                categories: [], isNamespaced: kind.isNamespaced, verbs: ["create", "get", "list", "patch", "delete"],
                subresources: [])
        }
        return entries.sorted { $0.plural < $1.plural }
    }

    private static func subresources(_ kind: ResourceKind) -> [(name: String, kind: String, verbs: [String])] {
        switch kind {
        case .pod:
            [
                ("attach", "PodAttachOptions", ["create", "get"]), ("ephemeralcontainers", "Pod", changeVerbs),
                ("exec", "PodExecOptions", ["create", "get"]), ("log", "Pod", ["get"]),
                ("portforward", "PodPortForwardOptions", ["create", "get"]), ("status", "Pod", changeVerbs),
            ]
        case .serviceAccount: [("token", "TokenRequest", ["create"])]
        case .deployment, .replicaSet, .statefulSet:
            [("scale", "Scale", changeVerbs), ("status", kind.kind, changeVerbs)]
        case .namespace, .node, .daemonSet, .job, .resourceQuota, .service: [("status", kind.kind, changeVerbs)]
        default: []
        }
    }
}
