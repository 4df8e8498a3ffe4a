internal import HTTP

/// What `curl --config -` reads: one option on a line, its value in quotes.
struct CurlConfiguration: Equatable {
    private(set) var text = ""

    /// What the line begins with, among the errors, that says how much of a body has gone.
    static let sent = "loopd: sent "

    var bytes: [UInt8] { Array(text.utf8) }

    mutating func flag(_ name: String) { text += "\(name)\n" }

    mutating func set(_ name: String, _ value: String) {
        var quoted = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": quoted += "\\\\"
            case "\"": quoted += "\\\""
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        text += "\(name) = \"\(quoted)\"\n"
    }

    /// All but the body.
    mutating func describe(_ call: Call, _ patience: Patience, certificates: String?, resolutions: [String]) {
        for name in ["silent", "show-error", "http1.1", "globoff", "path-as-is", "suppress-connect-headers"] {
            flag(name)
        }
        set("url", "\(call.url)")
        // Redirections are followed by the caller, who decides what goes with them.
        set("proto", "=https")
        if call.method == "HEAD" { flag("head") } else { set("request", call.method) }
        for (name, value) in call.headers { set("header", "\(name): \(value)") }
        if call.headers["Content-Type"] == nil { set("header", "Content-Type:") }
        // Without it curl waits a second for a permission that many servers never give.
        set("header", "Expect:")
        set("connect-timeout", "\(max(1, patience.connect.components.seconds))")
        if !call.body.isNone { set("write-out", "%{stderr}\n\(CurlConfiguration.sent)%{size_upload}\n") }
        set("speed-limit", "1")
        set("speed-time", "\(max(1, patience.idle.components.seconds))")
        if let certificates { set("cacert", certificates) }
        for resolution in resolutions { set("resolve", resolution) }
    }
}
