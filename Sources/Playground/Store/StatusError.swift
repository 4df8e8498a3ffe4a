internal import JSON

/// A refusal that the API answers with, as Kubernetes words it.
struct StatusError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The HTTP status code.
    let code: Int
    /// The machine's word for it (`NotFound`, `Conflict`, `Invalid`); empty where Kubernetes gives none.
    let reason: String
    let message: String
    /// `name`, `group`, `kind`, `uid` and `causes`, where the reason has them.
    let details: JSON?

    /// A refusal in its own words.
    init(code: Int, reason: String, message: String, details: JSON? = nil) {
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
    }

    var description: String { message }

    /// The refusal as a `metav1.Status` object, in the order of keys that the API server writes.
    var status: JSON {
        var status: JSON = [
            "kind": "Status", "apiVersion": "v1", "metadata": [:], "status": "Failure", "message": .string(message),
        ]
        if !reason.isEmpty { status["reason"] = .string(reason) }
        status["details"] = details
        status["code"] = .integer(Int64(code))
        return status
    }

    static func details(_ kind: ResourceKind, _ name: String, causes: [JSON] = [], kindName: Bool = false) -> JSON {
        var details: JSON = ["name": .string(name)]
        if !kind.group.isEmpty { details["group"] = .string(kind.group) }
        details["kind"] = .string(kindName ? kind.kind : kind.plural)
        if !causes.isEmpty { details["causes"] = .array(causes) }
        return details
    }

    /// 404: there is no such object.
    static func notFound(_ kind: ResourceKind, _ name: String) -> StatusError {
        StatusError(
            code: 404, reason: "NotFound", message: "\(kind.qualifiedName) \"\(name)\" not found",
            details: details(kind, name))
    }

    /// 404: the API has more than the playground; what is missing is named.
    static func unserved(_ what: String) -> StatusError {
        StatusError(
            code: 404, reason: "NotFound",
            message: "the server could not find the requested resource: the playground does not serve \(what)",
            details: [:])
    }

    /// 409: an object of that name is there already.
    static func alreadyExists(_ kind: ResourceKind, _ name: String) -> StatusError {
        StatusError(
            code: 409, reason: "AlreadyExists", message: "\(kind.qualifiedName) \"\(name)\" already exists",
            details: details(kind, name))
    }

    /// 409: the object is not in the state that the request assumes.
    static func conflict(
        _ kind: ResourceKind, _ name: String,
        _ cause: String =
            "the object has been modified; please apply your changes to the latest version and try again"
    ) -> StatusError {
        StatusError(
            code: 409, reason: "Conflict",
            message: "Operation cannot be fulfilled on \(kind.qualifiedName) \"\(name)\": \(cause)",
            details: details(kind, name))
    }

    /// 400: the request itself makes no sense.
    static func badRequest(_ message: String) -> StatusError {
        StatusError(code: 400, reason: "BadRequest", message: message)
    }

    /// 403: understood, and refused.
    static func forbidden(_ kind: ResourceKind, _ name: String, _ cause: String) -> StatusError {
        StatusError(
            code: 403, reason: "Forbidden", message: "\(kind.qualifiedName) \"\(name)\" is forbidden: \(cause)",
            details: details(kind, name))
    }

    /// 410: changes since that version are no longer known; the client lists again.
    static func expired(_ asked: UInt64, oldest: UInt64) -> StatusError {
        StatusError(code: 410, reason: "Expired", message: "too old resource version: \(asked) (\(oldest))")
    }

    /// 422: fields of the object are wrong, each with its own cause.
    static func invalid(_ kind: ResourceKind, _ name: String, _ causes: [FieldError]) -> StatusError {
        let listed = causes.map(\.description)
        let joined = listed.count == 1 ? listed[0] : "[\(listed.joined(separator: ", "))]"
        let subject = kind.group.isEmpty ? kind.kind : "\(kind.kind).\(kind.group)"
        return StatusError(
            code: 422, reason: "Invalid", message: "\(subject) \"\(name)\" is invalid: \(joined)",
            details: details(kind, name, causes: causes.map(\.cause), kindName: true))
    }
}

extension StatusError {
    /// 422: the query asks for what there is not; `options` are those of the verb (`PatchOptions`).
    static func invalidOptions(_ options: String, _ cause: FieldError) -> StatusError {
        StatusError(
            code: 422, reason: "Invalid", message: "\(options).meta.k8s.io \"\" is invalid: \(cause)",
            details: ["group": "meta.k8s.io", "kind": .string(options), "causes": [cause.cause]])
    }
}

/// What is wrong with one field of an object.
struct FieldError: Equatable, Sendable, CustomStringConvertible {
    /// The API's word: `FieldValueRequired`, `FieldValueInvalid`.
    let reason: String
    /// The path of the field: `spec.template.spec.containers[0].name`.
    let field: String
    let message: String

    var description: String { "\(field): \(message)" }

    var cause: JSON {
        ["reason": .string(reason), "message": .string(message), "field": .string(field)]
    }

    static func required(_ field: String, _ detail: String = "") -> FieldError {
        FieldError(
            reason: "FieldValueRequired", field: field,
            message: detail.isEmpty ? "Required value" : "Required value: \(detail)")
    }

    static func invalid(_ field: String, _ value: JSON, _ detail: String) -> FieldError {
        FieldError(reason: "FieldValueInvalid", field: field, message: "Invalid value: \(value.text): \(detail)")
    }

    static func unsupported(_ field: String, _ value: String, _ supported: [String]) -> FieldError {
        FieldError(
            reason: "FieldValueNotSupported", field: field,
            message: "Unsupported value: \"\(value)\": supported values: "
                + supported.map { "\"\($0)\"" }.joined(separator: ", "))
    }

    static func duplicate(_ field: String, _ value: String) -> FieldError {
        FieldError(reason: "FieldValueDuplicate", field: field, message: "Duplicate value: \"\(value)\"")
    }

    static func notFound(_ field: String, _ value: String) -> FieldError {
        FieldError(reason: "FieldValueNotFound", field: field, message: "Not found: \"\(value)\"")
    }

    static func forbidden(_ field: String, _ detail: String) -> FieldError {
        FieldError(reason: "FieldValueForbidden", field: field, message: "Forbidden: \(detail)")
    }
}
