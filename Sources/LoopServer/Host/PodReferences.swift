internal import HTTP
internal import JSON

/// What a container's environment and files refer to, read from the API: each object once, all at the same time.
struct PodReferences: Sendable {
    /// A ConfigMap or a Secret of the pod's namespace.
    struct Source: Hashable, Sendable {
        enum Kind: String, Sendable {
            case configMap = "ConfigMap"
            case secret = "Secret"
        }

        let kind: Kind
        let name: String
    }

    /// The entries of a ConfigMap or Secret.
    struct Content: Equatable, Sendable {
        /// Those of `data`.
        var data: [String: [UInt8]] = [:]
        /// Those of a ConfigMap's `binaryData`, which are files only.
        var binaryData: [String: [UInt8]] = [:]
    }

    /// A pod, or what stands for one where none runs: the template of a workload, with its `metadata` and `spec`.
    let pod: JSON
    let container: JSON
    let namespace: String
    /// Whether there is no pod: what only a pod has is not known.
    let isTemplate: Bool
    private(set) var contents: [Source: Content] = [:]
    /// Those whose variables the container has.
    private(set) var services: [JSON] = []
    /// `nil` where nothing asks for it, or it may not be read.
    private(set) var node: JSON?
    private(set) var notices: [String] = []

    /// Refers to nothing yet.
    ///
    /// Throws where the pod has no such container.
    init(pod: JSON, container name: String, namespace: String, isTemplate: Bool = false) throws {
        let lists = ["containers", "initContainers"].flatMap { pod.at("spec", $0)?.array ?? [] }
        guard let container = lists.first(where: { $0["name"]?.string == name }) else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "pod \(pod.at("metadata", "name")?.string ?? "") has no container \"\(name)\"",
                    nextStep: "set the service's \"container\" in loop.json"))
        }
        (self.pod, self.container, self.namespace, self.isTemplate) = (pod, container, namespace, isTemplate)
    }

    /// The references of a container, read; with `files` also those of the volumes that it mounts.
    static func read(
        pod: JSON, container: String, namespace: String, isTemplate: Bool = false, files: Bool, client: KubeClient
    ) async throws -> PodReferences {
        var references = try PodReferences(
            pod: pod, container: container, namespace: namespace, isTemplate: isTemplate)
        try await references.read(files: files, client)
        return references
    }

    // MARK: - What is referred to

    /// The ConfigMaps and Secrets of the container's variables.
    private var variableSources: Set<Source> {
        var sources: Set<Source> = []
        func add(_ kind: Source.Kind, _ reference: JSON?) {
            if let name = reference?["name"]?.string, !name.isEmpty { sources.insert(Source(kind: kind, name: name)) }
        }
        for entry in container["envFrom"]?.array ?? [] {
            add(.configMap, entry["configMapRef"])
            add(.secret, entry["secretRef"])
        }
        for entry in container["env"]?.array ?? [] {
            add(.configMap, entry.at("valueFrom", "configMapKeyRef"))
            add(.secret, entry.at("valueFrom", "secretKeyRef"))
        }
        return sources
    }

    /// The ConfigMaps and Secrets of the volumes that the container mounts.
    private var fileSources: Set<Source> {
        var sources: Set<Source> = []
        for volume in mountedVolumes {
            for part in [volume] + (volume.at("projected", "sources")?.array ?? []) {
                if let name = part.at("configMap", "name")?.string {
                    sources.insert(Source(kind: .configMap, name: name))
                }
                if let name = (part.at("secret", "secretName") ?? part.at("secret", "name"))?.string {
                    sources.insert(Source(kind: .secret, name: name))
                }
            }
        }
        return sources
    }

    /// The container's mounts of volumes that are not loopd's own.
    var mounts: [JSON] {
        let own = Set(
            (pod.at("spec", "volumes")?.array ?? []).filter(DevTemplate.isOwn).compactMap { $0["name"]?.string })
        return (container["volumeMounts"]?.array ?? []).filter { !own.contains($0["name"]?.string ?? "") }
    }

    /// The volumes that the container mounts and that are not loopd's own.
    var mountedVolumes: [JSON] {
        let names = Set(mounts.compactMap { $0["name"]?.string })
        return (pod.at("spec", "volumes")?.array ?? []).filter { names.contains($0["name"]?.string ?? "") }
    }

    private var hasServiceLinks: Bool { pod.at("spec", "enableServiceLinks")?.bool ?? true }

    /// The `resourceFieldRef`s of the container's variables, and with `files` of what it mounts.
    private func resources(files: Bool) -> [JSON] {
        var found = (container["env"]?.array ?? []).compactMap { $0.at("valueFrom", "resourceFieldRef") }
        guard files else { return found }
        for volume in mountedVolumes {
            for part in [volume] + (volume.at("projected", "sources")?.array ?? []) {
                found += (part.at("downwardAPI", "items")?.array ?? []).compactMap { $0["resourceFieldRef"] }
            }
        }
        return found
    }

    // MARK: - Reading

    private enum Answer: Sendable {
        case content(Source, Content?)
        case services([JSON])
        case api(JSON?)
        case node(JSON?)
        case notice(String)
    }

    private mutating func read(files: Bool, _ client: KubeClient) async throws {
        let sources = files ? variableSources.union(fileSources) : variableSources
        let nodeName = pod.at("spec", "nodeName")?.string ?? ""
        let asksForNode = !nodeName.isEmpty && resources(files: files).contains { limit($0) == nil }
        let (namespace, hasServiceLinks) = (namespace, hasServiceLinks)
        var api: JSON?
        try await withThrowingTaskGroup(of: Answer.self) { group in
            for source in sources {
                group.addTask { .content(source, try await PodReferences.content(source, namespace, client)) }
            }
            if hasServiceLinks {
                group.addTask {
                    do {
                        return .services(try await client.list(.init(.services, namespace: namespace)).items)
                    } catch let error as KubeError where error.isForbidden {
                        return .notice("variables of Services are left out: \(error)")
                    }
                }
            }
            group.addTask {
                do {
                    return .api(
                        try await client.get(
                            .services, ServiceVariables.api, namespace: ServiceVariables.apiNamespace))
                } catch let error as KubeError where error.isNotFound {
                    return .api(nil)
                } catch let error as KubeError where error.isForbidden {
                    return .notice("KUBERNETES_SERVICE_HOST and the like are left out: \(error)")
                }
            }
            if asksForNode {
                group.addTask {
                    do {
                        return .node(try await client.get(.nodes, nodeName))
                    } catch let error as KubeError where error.isForbidden || error.isNotFound {
                        return .node(nil)
                    }
                }
            }
            for try await answer in group {
                switch answer {
                case .content(let source, let content): contents[source] = content
                case .services(let found): services = found
                case .api(let found): api = found
                case .node(let found): node = found
                case .notice(let text): notices.append(text)
                }
            }
        }
        if let api {
            services.removeAll { $0.at("metadata", "uid") == api.at("metadata", "uid") }
            services.insert(api, at: 0)
        }
        notices.sort()
    }

    private static func content(
        _ source: Source, _ namespace: String, _ client: KubeClient
    ) async throws -> Content? {
        let resource = source.kind == .configMap ? KubeResource.configMaps : .secrets
        do {
            let object = try await client.get(resource, source.name, namespace: namespace)
            return try Content(object, source)
        } catch let error as KubeError where error.isNotFound {
            return nil
        } catch let error as KubeError where error.isForbidden {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(source.kind.rawValue) \"\(source.name)\" of the pod may not be read: \(error.message)",
                    nextStep:
                        "get the right to `get` \(resource.plural) in namespace \(namespace): `kubectl auth can-i get "
                        + "\(resource.plural)/\(source.name) -n \(namespace)` tells who has it"))
        }
    }
}

extension PodReferences.Content {
    /// From the object.
    fileprivate init(_ object: JSON, _ source: PodReferences.Source) throws {
        func decoded(_ key: String, _ text: String) throws -> [UInt8] {
            if let bytes = Base64.decode(text) { return bytes }
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(source.kind.rawValue) \"\(source.name)\": its entry \"\(key)\" is not Base64"))
        }
        for (key, value) in object.strings("data") {
            data[key] = source.kind == .secret ? try decoded(key, value) : Array(value.utf8)
        }
        for (key, value) in object.strings("binaryData") { binaryData[key] = try decoded(key, value) }
    }
}
