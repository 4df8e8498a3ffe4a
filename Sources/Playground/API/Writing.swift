internal import HTTP
internal import JSON

/// What happens to fields that nobody knows (`fieldValidation`).
enum FieldValidation: Sendable {
    case strict
    case warn
    case ignore

    init(_ text: String?) throws {
        switch text ?? "" {
        case "", "Warn": self = .warn
        case "Strict": self = .strict
        case "Ignore": self = .ignore
        case let other:
            throw StatusError.invalidOptions(
                "CreateOptions", .unsupported("fieldValidation", other, ["Ignore", "Strict", "Warn"]))
        }
    }
}

extension APIServer {
    func create(_ kind: ResourceKind, _ request: APIRequest, body: [UInt8]) throws -> APIResponse {
        let decoded = try read(body, kind, request)
        return try insert(decoded.object, kind, request, by: FieldManager(request), warnings: decoded.warnings)
    }

    /// Stores a new object with everything that the API adds, where nothing forbids it.
    func insert(
        _ object: JSON, _ kind: ResourceKind, _ request: APIRequest, by manager: FieldManager?, warnings: [String] = []
    ) throws -> APIResponse {
        var object = object
        try place(&object, kind, request)
        Defaults.begin(&object, kind)
        Defaults.apply(to: &object, kind)
        try Validation.check(object, kind)
        let addresses = ServiceAddresses(of: kind, in: store)
        let created = try store.create(
            kind, object, by: manager, dryRun: request.isDryRun, admit: PodAdmission.admit
        ) { try addresses.complete(&$0) }
        return APIResponse(
            status: 201, body: show(created, kind, request, Presentation(accept: request.headers["Accept"] ?? "")),
            warnings: warnings + securityWarnings(created, kind, request))
    }

    func update(_ kind: ResourceKind, _ request: APIRequest, body: [UInt8]) throws -> APIResponse {
        guard let name = request.name else { throw Self.methodNotAllowed }
        if request.subresource == "scale" {
            return try scale(kind, request, name) { $0 = try JSON(parsing: body) }
        }
        let part = try Self.part(kind, request)
        let level = enforcedLevel(request)
        let addresses = ServiceAddresses(of: kind, in: store)
        let decoded = try read(body, kind, request)
        if let named = decoded.object.at("metadata", "name")?.string, named != name {
            throw StatusError.badRequest(
                "the name of the object (\(named)) does not match the name on the URL (\(name))")
        }
        var object = decoded.object
        try place(&object, kind, request)
        let given = object
        let updated = try modify(kind, request, name, part) { current in
            try Self.change(&current, to: given, kind, request, part, level, addresses)
        }
        return APIResponse(
            body: show(updated, kind, request, .objects),
            warnings: decoded.warnings + securityWarnings(updated, kind, request))
    }

    func patch(_ kind: ResourceKind, _ request: APIRequest, body: [UInt8]) throws -> APIResponse {
        guard let name = request.name else { throw Self.methodNotAllowed }
        let type = RequestBody.mediaType(request.headers["Content-Type"])
        if type == Self.applyType { return try apply(kind, request, name, body: body) }
        guard let format = Patch(mediaType: type) else {
            throw StatusError(
                code: 415, reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format - accepted media types include: "
                    + (Patch.allCases.map(\.rawValue) + [Self.applyType]).joined(separator: ", "))
        }
        if request["force"] != nil {
            throw StatusError.invalidOptions(
                "PatchOptions", .forbidden("force", "may not be specified for non-apply patch"))
        }
        let change = try RequestBody.json(body)
        if request.subresource == "scale" {
            return try scale(kind, request, name) { $0 = try format.apply(change, to: $0, kind: kind) }
        }
        let part = try Self.part(kind, request)
        let level = enforcedLevel(request)
        let addresses = ServiceAddresses(of: kind, in: store)
        let validation = try FieldValidation(request["fieldValidation"])
        var warnings: [String] = []
        let patched = try modify(kind, request, name, part) { current in
            let result = try format.apply(change, to: current, kind: kind)
            let decoded: DecodedObject
            do {
                decoded = try ObjectDecoder.decode(result, as: Schema.structure(of: kind))
            } catch let error as ObjectDecoder.WrongType {
                throw StatusError.badRequest("\(error)")
            }
            warnings = try Self.judge(decoded.unknown, validation) { unknown in
                let quoted = format == .strategic ? GoFormat.map(change) : String(decoding: body, as: UTF8.self)
                let cause = FieldError.invalid(
                    "patch", .string(quoted), "strict decoding error: " + unknown.joined(separator: ", "))
                return StatusError(
                    code: 422, reason: "Invalid", message: " \"\" is invalid: \(cause)",
                    details: ["causes": [cause.cause]])
            }
            guard decoded.value.at("metadata", "name") == current.at("metadata", "name") else {
                throw StatusError.badRequest("the name of the object does not match the name on the URL")
            }
            try Self.change(&current, to: decoded.value, kind, request, part, level, addresses)
        }
        return APIResponse(
            body: show(patched, kind, request, Presentation(accept: request.headers["Accept"] ?? "")),
            warnings: warnings + securityWarnings(patched, kind, request))
    }

    /// Changes a stored object for a client.
    private func modify(
        _ kind: ResourceKind, _ request: APIRequest, _ name: String, _ part: ObjectPart,
        _ change: (inout JSON) throws -> Void
    ) throws -> JSON {
        try store.modify(
            kind, request.namespace, name, part: part, by: FieldManager(request), dryRun: request.isDryRun, change)
    }

    /// Makes `current` what the client wants, checked; runs under the store's lock.
    static func change(
        _ current: inout JSON, to given: JSON, _ kind: ResourceKind, _ request: APIRequest, _ part: ObjectPart,
        _ level: PodSecurity, _ addresses: ServiceAddresses
    ) throws {
        let name = current.at("metadata", "name")?.string ?? ""
        let version = given.at("metadata", "resourceVersion")?.string ?? ""
        guard version.isEmpty || version == current.at("metadata", "resourceVersion")?.string else {
            throw StatusError.conflict(kind, name)
        }
        var object = given
        if request.subresource == "ephemeralcontainers" {
            object = try ephemeralContainers(of: given, on: current)
        } else if kind == .pod, part == .spec,
            given.at("spec", "ephemeralContainers") != current.at("spec", "ephemeralContainers")
        {
            object["spec"]?["ephemeralContainers"] = current.at("spec", "ephemeralContainers")
        }
        if part == .spec {
            if kind == .service { ServiceAdmission.keep(&object, of: current) }
            Defaults.apply(to: &object, kind)
            if kind == .namespace { object["spec"] = current["spec"] }
            try Validation.check(object, from: current, kind)
            try addresses.complete(&object, uid: current.at("metadata", "uid")?.string)
            if kind == .pod, object["spec"] != current["spec"] { try level.admit(object) }
        }
        current = object
    }

    /// Ephemeral containers are only added, and nothing else changes with them.
    private static func ephemeralContainers(of given: JSON, on current: JSON) throws -> JSON {
        let name = current.at("metadata", "name")?.string ?? ""
        let old = current.at("spec", "ephemeralContainers")?.array ?? []
        var result = current
        result["spec"]?["ephemeralContainers"] = given.at("spec", "ephemeralContainers")
        Defaults.apply(to: &result, .pod)
        let new = result.at("spec", "ephemeralContainers")?.array ?? []
        for container in old where !new.contains(container) {
            let label = container["name"]?.string ?? ""
            let detail =
                new.contains { $0["name"] == container["name"] }
                ? "existing ephemeral containers \"\(label)\" may not be changed"
                : "existing ephemeral containers \"\(label)\" may not be removed"
            throw StatusError.invalid(.pod, name, [.forbidden("spec.ephemeralContainers", detail)])
        }
        let containers = (current.at("spec", "containers")?.array ?? []).compactMap { $0["name"]?.string }
        for (index, container) in new.enumerated() {
            if let target = container["targetContainerName"]?.string, !containers.contains(target) {
                throw StatusError.invalid(
                    .pod, name, [.notFound("spec.ephemeralContainers[\(index)].targetContainerName", target)])
            }
        }
        return result
    }

    private static func part(_ kind: ResourceKind, _ request: APIRequest) throws -> ObjectPart {
        switch request.subresource {
        case nil: return .spec
        case "status"? where kind.isWorkload || [.pod, .namespace, .node, .resourceQuota, .service].contains(kind):
            return .status
        case "ephemeralcontainers"? where kind == .pod: return .spec
        case let other?: throw StatusError.unserved("\(kind.plural)/\(other)")
        }
    }

    private func scale(
        _ kind: ResourceKind, _ request: APIRequest, _ name: String, _ change: (inout JSON) throws -> Void
    ) throws -> APIResponse {
        guard kind.isScalable else { throw StatusError.unserved("\(kind.plural)/scale") }
        let scaled = try modify(kind, request, name, .spec) { current in
            var view = Scale.view(of: current)
            let before = view.at("metadata", "resourceVersion")
            try change(&view)
            if let version = view.at("metadata", "resourceVersion"), version != before {
                throw StatusError.conflict(kind, name)
            }
            let replicas = view.at("spec", "replicas")?.integer ?? 0
            guard (0...Int64(Int32.max)).contains(replicas) else {
                throw StatusError.invalid(
                    kind, name,
                    [.invalid("spec.replicas", .integer(replicas), "must be greater than or equal to 0")])
            }
            current["spec"]?["replicas"] = .integer(replicas)
        }
        return APIResponse(body: Scale.view(of: scaled))
    }

    /// Reads and decodes a body, and judges what of it nobody knows.
    private func read(
        _ body: [UInt8], _ kind: ResourceKind, _ request: APIRequest
    ) throws -> (object: JSON, warnings: [String]) {
        var (value, duplicates) = try RequestBody.read(body, contentType: request.headers["Content-Type"])
        if request.target == .newEvents { value = NewEvents.stored(value) }
        let group = kind.apiVersion
        if let named = value["kind"]?.string, !named.isEmpty, named != kind.kind {
            throw StatusError.badRequest(
                "\(named) in version \"\(kind.version)\" cannot be handled as a \(kind.kind): "
                    + "the object provided is unrecognized (must be of type \(kind.kind))")
        }
        if let version = value["apiVersion"]?.string, !version.isEmpty, version != group {
            throw StatusError.badRequest(
                "the API version in the data (\(version)) does not match the expected API version (\(group))")
        }
        value["kind"] = .string(kind.kind)
        value["apiVersion"] = .string(group)
        let prefix = "\(kind.kind) in version \"\(kind.version)\" cannot be handled as a \(kind.kind): "
        let decoded: DecodedObject
        do {
            decoded = try ObjectDecoder.decode(value, as: Schema.structure(of: kind))
        } catch let error as ObjectDecoder.WrongType {
            throw StatusError.badRequest(prefix + "\(error)")
        }
        let warnings = try Self.judge(
            decoded.unknown, duplicates: duplicates, try FieldValidation(request["fieldValidation"])
        ) { StatusError.badRequest(prefix + "strict decoding error: " + $0.joined(separator: ", ")) }
        return (decoded.value, warnings)
    }

    private static func judge(
        _ unknown: [String], duplicates: [String] = [], _ validation: FieldValidation,
        _ refusal: ([String]) -> StatusError
    ) throws -> [String] {
        let found = duplicates.map { "duplicate field \"\($0)\"" } + unknown.map { "unknown field \"\($0)\"" }
        guard !found.isEmpty, validation != .ignore else { return [] }
        if validation == .strict { throw refusal(found) }
        return found
    }

    /// Puts an object into the namespace of the request.
    private func place(_ object: inout JSON, _ kind: ResourceKind, _ request: APIRequest) throws {
        object.setDefault("metadata", [:])
        guard kind.isNamespaced else {
            object["metadata"]?["namespace"] = nil
            return
        }
        let asked = request.namespace ?? "default"
        if let given = object.at("metadata", "namespace")?.string, given != asked {
            throw StatusError.badRequest(
                "the namespace of the provided object does not match the namespace sent on the request")
        }
        object["metadata"]?["namespace"] = .string(asked)
    }
}

/// The formats of patches, by their media types.
enum Patch: String, CaseIterable, Sendable {
    case json = "application/json-patch+json"
    case merge = "application/merge-patch+json"
    case strategic = "application/strategic-merge-patch+json"

    init?(mediaType: String) { self.init(rawValue: mediaType) }

    func apply(_ patch: JSON, to object: JSON, kind: ResourceKind) throws -> JSON {
        switch self {
        case .merge: return MergePatch.apply(patch, to: object)
        case .strategic: return try StrategicMerge.apply(patch, to: object, kind: kind)
        case .json:
            do {
                return try JSONPatch.apply(patch, to: object)
            } catch let error as JSONPatch.Failure {
                throw StatusError(
                    code: 422, reason: "Invalid",
                    message: "the server rejected our request due to an error in our request",
                    details: ["causes": [["reason": "UnexpectedServerResponse", "message": .string("\(error)")]]])
            }
        }
    }
}
