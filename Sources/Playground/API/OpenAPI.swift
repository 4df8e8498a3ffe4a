internal import JSON

/// As much of OpenAPI v3 as `kubectl` reads: which paths there are, and that patches are validated by the server.
///
/// The schemas stay out: `kubectl` has its own for the kinds that are served, and uses them where these are missing.
enum OpenAPI {
    static func index(below secret: String) -> JSON {
        var paths: JSON = ["api/v1": link("api/v1", below: secret)]
        for group in Discovery.groups {
            let path = "apis/\(group.name)/\(group.version)"
            paths[path] = link(path, below: secret)
        }
        return ["paths": paths]
    }

    /// The document of one group and version, by its path (`apis/apps/v1`).
    static func document(_ path: [String]) -> JSON {
        let group = path.first == "apis" && path.count > 1 ? path[1] : ""
        let version = path.last ?? "v1"
        var paths = JSON.object(JSONObject())
        let served = ResourceKind.served.filter { $0.group == group }.map { ($0.kind, $0.plural, $0.isNamespaced) }
        let refused = RefusedKind.all.filter { $0.group == group }.map { ($0.kind, $0.plural, $0.isNamespaced) }
        for (kind, plural, isNamespaced) in served + refused {
            let root = "/" + path.joined(separator: "/") + (isNamespaced ? "/namespaces/{namespace}" : "")
            let meaning: JSON = [
                "group": .string(group), "version": .string(version), "kind": .string(kind),
            ]
            let parameters = JSON.array(
                ["dryRun", "fieldManager", "fieldValidation"].map {
                    ["name": .string($0), "in": "query", "schema": ["type": "string"]]
                })
            let operation: JSON = ["parameters": parameters, "x-kubernetes-group-version-kind": meaning]
            paths["\(root)/\(plural)"] = ["post": operation]
            paths["\(root)/\(plural)/{name}"] = ["put": operation, "patch": operation]
        }
        return [
            "openapi": "3.0.0",
            "info": ["title": "loopd playground", "version": Discovery.version["gitVersion"] ?? ""],
            "paths": paths, "components": ["schemas": [:]],
        ]
    }

    /// Clients take this as it is, below the host: the secret belongs to it.
    private static func link(_ path: String, below secret: String) -> JSON {
        ["serverRelativeURL": .string("/\(secret)/openapi/v3/\(path)")]
    }
}
