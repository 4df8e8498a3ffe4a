internal import HTTP
internal import JSON

extension APIServer {
    /// The media type of a server-side apply; what clients send under it is JSON, which is YAML too.
    static let applyType = "application/apply-patch+yaml"

    /// Answers a server-side apply: changes an object, or creates it.
    func apply(_ kind: ResourceKind, _ request: APIRequest, _ name: String, body: [UInt8]) throws -> APIResponse {
        guard request.subresource == nil else {
            throw StatusError.badRequest(
                "the playground serves server-side apply for whole objects, not for "
                    + "\(kind.plural)/\(request.subresource ?? "")")
        }
        guard request["fieldManager"]?.isEmpty == false else {
            throw StatusError.invalidOptions(
                "PatchOptions", .required("fieldManager", "is required for apply patch"))
        }
        let application = try ServerSideApply(
            try Self.applied(body), kind, name, request.namespace, by: FieldManager(request),
            isForced: request.isForced)
        if store.get(kind, request.namespace, name) == nil {
            do {
                let object = try decoded(application.applied(to: ["metadata": [:]]), kind)
                return try insert(object, kind, request, by: nil)
            } catch let error as StatusError where error.reason == "AlreadyExists" {
                // Someone else was faster: there is something to change now.
            }
        }
        let level = enforcedLevel(request)
        let addresses = ServiceAddresses(of: kind, in: store)
        let applied = try store.modify(kind, request.namespace, name, part: .spec, by: nil, dryRun: request.isDryRun) {
            current in
            let before = current
            let wanted = try decoded(application.applied(to: current), kind)
            try Self.change(&current, to: wanted, kind, request, .spec, level, addresses)
            let isSame = ManagedFields(before.at("metadata", "managedFields"))
                .isSame(as: ManagedFields(current.at("metadata", "managedFields")))
            // Times alone are no change.
            if isSame, ManagedFields.ownable(before) == ManagedFields.ownable(current) { current = before }
        }
        return APIResponse(
            body: show(applied, kind, request, Presentation(accept: request.headers["Accept"] ?? "")),
            warnings: securityWarnings(applied, kind, request))
    }

    private static func applied(_ body: [UInt8]) throws -> JSON {
        do {
            return try JSON(parsing: body)
        } catch {
            throw StatusError.badRequest(
                "error decoding YAML: \(error): the playground reads only such YAML as is JSON (kubectl sends that)")
        }
    }

    /// The object as the API stores it.
    private func decoded(_ object: JSON, _ kind: ResourceKind) throws -> JSON {
        do {
            return try ObjectDecoder.decode(object, as: Schema.structure(of: kind)).value
        } catch let error as ObjectDecoder.WrongType {
            throw StatusError.badRequest("\(error)")
        }
    }
}
