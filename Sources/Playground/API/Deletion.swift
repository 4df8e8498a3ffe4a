internal import HTTP
internal import JSON

/// How an object is to be deleted, from a request's body or query.
struct DeleteOptions: Sendable {
    /// What happens to the objects that it owns.
    enum Propagation: String, Sendable {
        case background = "Background"
        case foreground = "Foreground"
        case orphan = "Orphan"
    }

    var gracePeriod: Int64?
    var propagation = Propagation.background
    var uid: String?
    var resourceVersion: String?
    var isDryRun = false

    init() {}

    init(_ request: APIRequest, body: [UInt8]) throws {
        isDryRun = request.isDryRun
        gracePeriod = request["gracePeriodSeconds"].flatMap { Int64($0) }
        var policy = request["propagationPolicy"]
        if !body.isEmpty {
            let (options, _) = try RequestBody.read(body, contentType: request.headers["Content-Type"])
            gracePeriod = options["gracePeriodSeconds"]?.integer ?? gracePeriod
            policy = options["propagationPolicy"]?.string ?? policy
            if options["orphanDependents"] == true { policy = "Orphan" }
            if let asked = options["dryRun"]?.array?.first(where: { $0 != "All" }) {
                throw StatusError.invalidOptions(
                    "DeleteOptions", .unsupported("dryRun", asked.string ?? asked.text, ["All"]))
            }
            if options["dryRun"]?.isEmpty == false { isDryRun = true }
            uid = options.at("preconditions", "uid")?.string
            resourceVersion = options.at("preconditions", "resourceVersion")?.string
        }
        if let policy {
            guard let known = Propagation(rawValue: policy) else {
                throw StatusError.badRequest(
                    "propagationPolicy: Unsupported value: \"\(policy)\": supported values: \"Foreground\", "
                        + "\"Background\", \"Orphan\"")
            }
            propagation = known
        }
    }
}

extension ObjectStore {
    /// Begins, and where nothing is to be waited for ends, the deletion of an object; returns its last known state.
    ///
    /// A pod on a node gets its grace period, and the node ends the deletion; a namespace is ended by its controller; an
    /// object with finalizers by who owns these.
    @discardableResult
    func delete(
        _ kind: ResourceKind, _ namespace: String?, _ name: String, _ options: DeleteOptions = DeleteOptions()
    ) throws -> JSON {
        let isLost = kind == .pod && isOnMissingNode(namespace, name)
        return try modify(kind, namespace, name, part: .all, by: nil, dryRun: options.isDryRun) { object in
            var metadata = object["metadata"] ?? [:]
            if let version = options.resourceVersion, version != metadata["resourceVersion"]?.string {
                throw StatusError.conflict(
                    kind, name,
                    "Precondition failed: ResourceVersion in precondition: \(version), ResourceVersion in object meta: "
                        + (metadata["resourceVersion"]?.string ?? ""))
            }
            if let uid = options.uid, uid != metadata["uid"]?.string {
                throw StatusError.conflict(
                    kind, name,
                    "Precondition failed: UID in precondition: \(uid), UID in object meta: "
                        + (metadata["uid"]?.string ?? ""))
            }
            let grace = isLost ? 0 : Self.gracePeriod(kind, object, options)
            if metadata["deletionTimestamp"] != nil {
                // A deletion that runs can only be hurried.
                guard let left = metadata["deletionGracePeriodSeconds"]?.integer, grace < left else { return }
            }
            let moment = Timestamp.now
            metadata["deletionTimestamp"] = .string(Timestamp(seconds: moment.seconds + Int(grace)).description)
            metadata["deletionGracePeriodSeconds"] = .integer(grace)
            var finalizers = metadata["finalizers"]?.array ?? []
            switch options.propagation {
            case .background: break
            case .foreground: finalizers.append("foregroundDeletion")
            case .orphan: finalizers.append("orphan")
            }
            if !finalizers.isEmpty { metadata["finalizers"] = .array(finalizers) }
            object["metadata"] = metadata
            if kind == .namespace { object["status"] = ["phase": "Terminating"] }
        }
    }

    /// Whether no node is there that could end the pod.
    private func isOnMissingNode(_ namespace: String?, _ name: String) -> Bool {
        guard let node = get(.pod, namespace, name)?.at("spec", "nodeName")?.string else { return false }
        return get(.node, nil, node) == nil
    }

    private static func gracePeriod(_ kind: ResourceKind, _ object: JSON, _ options: DeleteOptions) -> Int64 {
        guard kind == .pod else { return 0 }
        // Without a node, or after its end, nothing of the pod runs that could need time.
        if object.at("spec", "nodeName") == nil { return 0 }
        if ["Succeeded", "Failed"].contains(object.at("status", "phase")?.string ?? "") { return 0 }
        let asked = options.gracePeriod ?? object.at("spec", "terminationGracePeriodSeconds")?.integer ?? 30
        return min(max(0, asked), Int64(Int32.max))
    }
}

extension APIServer {
    /// Namespaces that the cluster cannot be without.
    static let permanentNamespaces = ["default", "kube-system", "kube-public"]

    func delete(_ kind: ResourceKind, _ request: APIRequest, body: [UInt8]) throws -> APIResponse {
        let options = try DeleteOptions(request, body: body)
        guard request.subresource == nil else { throw Self.methodNotAllowed }
        guard let name = request.name else {
            guard kind != .namespace else { throw Self.methodNotAllowed }
            return try deleteCollection(kind, request, options)
        }
        if kind == .namespace, Self.permanentNamespaces.contains(name) {
            throw StatusError.forbidden(.namespace, name, "this namespace may not be deleted")
        }
        let deleted = try store.delete(kind, request.namespace, name, options)
        if kind == .pod || store.get(kind, request.namespace, name) != nil { return APIResponse(body: deleted) }
        var details = StatusError.details(kind, name)
        details["uid"] = deleted.at("metadata", "uid")
        return APIResponse(
            body: [
                "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Success", "details": details,
            ])
    }

    private func deleteCollection(
        _ kind: ResourceKind, _ request: APIRequest, _ options: DeleteOptions
    ) throws -> APIResponse {
        let (items, version) = store.list(kind, request.namespace, matching: try request.selector(for: kind))
        var deleted: [JSON] = []
        for item in items {
            guard let name = item.at("metadata", "name")?.string else { continue }
            do {
                deleted.append(try store.delete(kind, item.at("metadata", "namespace")?.string, name, options))
            } catch let error as StatusError where error.code == 404 {
                // Someone else was faster, which is as good.
                continue
            }
        }
        return APIResponse(
            body: [
                "kind": .string("\(kind.kind)List"), "apiVersion": .string(kind.apiVersion),
                "metadata": ["resourceVersion": .string(String(version))], "items": .array(deleted),
            ])
    }
}
