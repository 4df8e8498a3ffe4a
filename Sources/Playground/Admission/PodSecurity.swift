internal import JSON

/// A level of the Pod Security Standards, at the version that a namespace names.
struct PodSecurity: Equatable, Sendable {
    enum Level: String, CaseIterable, Sendable {
        case privileged
        case baseline
        case restricted
    }

    let level: Level
    /// `latest` or `v1.30`; the checks are those of the served version all the same.
    let version: String

    /// How messages name the level: `restricted:latest`.
    private var name: String { "\(level.rawValue):\(version)" }

    private static let prefix = "pod-security.kubernetes.io/"

    /// What a namespace enforces; a level that nobody knows is the strictest.
    static func enforced(in namespace: JSON?) -> PodSecurity {
        let level = label("enforce", namespace).map { Level(rawValue: $0) ?? .restricted }
        return PodSecurity(level: level ?? .privileged, version: label("enforce-version", namespace) ?? "latest")
    }

    /// What a namespace warns about: what it says, else what it enforces.
    static func warned(in namespace: JSON?) -> PodSecurity {
        let enforced = enforced(in: namespace)
        guard let level = label("warn", namespace) else {
            return PodSecurity(level: enforced.level, version: label("warn-version", namespace) ?? enforced.version)
        }
        return PodSecurity(
            level: Level(rawValue: level) ?? .privileged, version: label("warn-version", namespace) ?? "latest")
    }

    private static func label(_ name: String, _ namespace: JSON?) -> String? {
        namespace?.at("metadata", "labels", prefix + name)?.string
    }

    /// Mistakes in the labels that ask for levels.
    static func check(labels: JSON?) -> [FieldError] {
        (labels?.object ?? JSONObject()).compactMap { key, value in
            guard key.hasPrefix(prefix), let text = value.string else { return nil }
            let mode = key.dropFirst(prefix.count)
            let isRight: Bool
            let expected: String
            switch mode {
            case "enforce", "audit", "warn":
                isRight = Level(rawValue: text) != nil
                expected = "must be one of \(Level.allCases.map(\.rawValue).joined(separator: ", "))"
            case "enforce-version", "audit-version", "warn-version":
                isRight = text == "latest" || (text.hasPrefix("v1.") && Int(text.dropFirst(3)) != nil)
                expected = "must be \"latest\" or \"v1.x\""
            default: return nil
            }
            return isRight ? nil : .invalid("metadata.labels[\(key)]", value, expected)
        }
    }

    /// What of a pod (or a pod template) the level forbids, in the order and words of Kubernetes; `nil` where nothing.
    func violations(of pod: JSON) -> String? {
        let pod = SecuredPod(pod)
        let found = checks.compactMap { $0(pod) }
        return found.isEmpty ? nil : "PodSecurity \"\(name)\": \(found.joined(separator: ", "))"
    }

    private var checks: [@Sendable (SecuredPod) -> String?] {
        switch level {
        case .privileged: []
        case .baseline: BaselineChecks.all
        case .restricted: RestrictedChecks.all
        }
    }

    /// Refuses a pod that the level forbids.
    func admit(_ pod: JSON) throws {
        guard let violations = violations(of: pod) else { return }
        throw StatusError.forbidden(.pod, pod.at("metadata", "name")?.string ?? "", "violates \(violations)")
    }

    /// What a client that writes a pod, or a workload whose pods would be refused, is to be warned of.
    static func warnings(about object: JSON, _ kind: ResourceKind, in namespace: JSON?) -> [String] {
        guard kind == .pod || kind.isWorkload else { return [] }
        let pod = kind == .pod ? object : object.at("spec", "template") ?? [:]
        return warned(in: namespace).violations(of: pod).map { ["would violate \($0)"] } ?? []
    }
}

extension APIServer {
    /// What the namespace of a request enforces.
    func enforcedLevel(_ request: APIRequest) -> PodSecurity {
        PodSecurity.enforced(in: request.namespace.flatMap { store.get(.namespace, nil, $0) })
    }

    /// Warnings about what a client has written and its namespace would rather not have.
    func securityWarnings(_ object: JSON, _ kind: ResourceKind, _ request: APIRequest) -> [String] {
        guard request.subresource == nil || request.subresource == "ephemeralcontainers",
            let name = object.at("metadata", "namespace")?.string
        else { return [] }
        return PodSecurity.warnings(about: object, kind, in: store.get(.namespace, nil, name))
    }
}
