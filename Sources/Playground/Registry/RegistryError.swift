internal import JSON

/// A refusal in the words of the distribution specification.
struct RegistryError: Error, CustomStringConvertible {
    let status: Int
    let code: String
    let message: String

    var description: String { message }
    var body: [UInt8] {
        let body: JSON = ["errors": [["code": .string(code), "message": .string(message)]]]
        return body.bytes
    }

    static let unknownName = RegistryError(status: 404, code: "NAME_UNKNOWN", message: "repository name not known")
    static let invalidName = RegistryError(status: 400, code: "NAME_INVALID", message: "invalid repository name")
    static let unknownManifest = RegistryError(status: 404, code: "MANIFEST_UNKNOWN", message: "manifest unknown")
    static let unknownBlob = RegistryError(status: 404, code: "BLOB_UNKNOWN", message: "blob unknown to registry")
    static let unknownUpload = RegistryError(status: 404, code: "BLOB_UPLOAD_UNKNOWN", message: "blob upload unknown")
    static let unsupported = RegistryError(status: 405, code: "UNSUPPORTED", message: "the operation is unsupported")

    static func invalidDigest(_ message: String) -> RegistryError {
        RegistryError(status: 400, code: "DIGEST_INVALID", message: message)
    }
    static func invalidManifest(_ message: String) -> RegistryError {
        RegistryError(status: 400, code: "MANIFEST_INVALID", message: message)
    }
    static func invalidUpload(_ message: String, status: Int = 400) -> RegistryError {
        RegistryError(status: status, code: "BLOB_UPLOAD_INVALID", message: message)
    }
}
