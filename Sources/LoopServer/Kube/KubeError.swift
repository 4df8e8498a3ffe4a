internal import HTTP
internal import JSON

/// What the API server answered instead of doing what it was asked: a `Status` object, or a proxy's text.
struct KubeError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The HTTP status, or the code of an ERROR event.
    let code: Int
    /// Machine-readable, in the API's words: `NotFound`, `Conflict`, `Expired`; empty where the answer had none.
    let reason: String
    /// The server's own sentence.
    let message: String
    /// What was asked: `get pods/web-1`.
    var attempt = ""
    /// Each mistake that the server has found, where it names the field.
    var causes: [Cause] = []

    /// One mistake in an object: `spec.selector`, and `Invalid value: {…}: field is immutable`.
    struct Cause: Equatable, Sendable {
        let field: String
        let message: String
    }

    var description: String { (attempt.isEmpty ? "" : "\(attempt): ") + (message.isEmpty ? "status \(code)" : message) }

    var isNotFound: Bool { code == 404 }
    var isConflict: Bool { code == 409 }
    /// Not 401: a login that has run out is renewed for the next request.
    var isForbidden: Bool { code == 403 }
    /// There was no answer in time.
    var isTimeout: Bool { code == 0 && reason == "Timeout" }
    /// Nobody answered for the cluster: the word of a proxy on the way, or none within the time.
    var isUnanswered: Bool { code == 0 || (502...504).contains(code) }

    /// The resource version that was asked for is not there any more, or not there yet (a cluster that was set back): only
    /// a new list helps.
    var needsNewList: Bool {
        code == 410 || reason == "Expired" || reason == "Gone" || message.contains("Too large resource version")
    }

    init(code: Int, reason: String, message: String, attempt: String = "") {
        self.code = code
        self.reason = reason
        self.message = message
        self.attempt = attempt
    }

    /// From a `Status` object.
    init(status: JSON, attempt: String = "") {
        self.init(
            code: Int(status["code"]?.integer ?? 0), reason: status["reason"]?.string ?? "",
            message: status["message"]?.string ?? "", attempt: attempt)
        causes = (status.at("details", "causes")?.array ?? []).map {
            Cause(field: $0["field"]?.string ?? "", message: $0["message"]?.string ?? "")
        }
    }

    /// From an answer with an error's status.
    init(_ response: HTTPResponse, body: [UInt8], attempt: String) {
        if let status = try? JSON(parsing: body), status["kind"]?.string == "Status" {
            var status = status
            status["code"] = .integer(Int64(response.status))
            self.init(status: status, attempt: attempt)
        } else {
            let text = String(decoding: body.prefix(500), as: UTF8.self).lastLine
            self.init(
                code: response.status, reason: "",
                message: text.isEmpty ? "\(response.status) \(response.reason)" : text,
                attempt: attempt)
        }
    }
}
