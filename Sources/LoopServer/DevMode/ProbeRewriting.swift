internal import JSON

/// A liveness or startup probe in dev mode: the same check by the helper, which passes while loopd holds the service.
enum ProbeRewriting {
    /// What becomes of a probe.
    struct Result: Equatable {
        /// `nil` where the helper cannot do what it does.
        var probe: JSON?
        /// What is different about it, in words.
        var detail: String?
    }

    /// The liveness and startup probes of a container, rewritten in place; says what is different about them.
    static func apply(to container: inout JSON) -> [String] {
        let ports = container["ports"]?.array ?? []
        let startup = container["startupProbe"]
        var details: [String] = []
        for key in ["livenessProbe", "startupProbe"] {
            guard let probe = container[key], !probe.isNull else { continue }
            let result = rewritten(probe, ports: ports, startup: startup)
            container[key] = result.probe
            if let detail = result.detail { details.append("\(key): \(detail)") }
        }
        return details
    }

    /// The probe as the helper does it.
    ///
    /// - Parameter startup: the container's startup probe: a service that was restarted in place gets as much time.
    static func rewritten(_ probe: JSON, ports: [JSON], startup: JSON? = nil) -> Result {
        let check: [String]
        var detail: String?
        if let command = probe["exec"]?["command"]?.array?.compactMap(\.string), !command.isEmpty {
            check = ["exec", "--"] + command
        } else if let http = probe["httpGet"] {
            guard let port = number(http["port"], ports) else { return noPort(http["port"]) }
            guard let host = address(http["host"]?.string) else { return noAddress(http["host"]?.string ?? "") }
            if http["scheme"]?.string?.uppercased() == "HTTPS" {
                check = ["tcp", "\(port)"] + host
                detail = "it only connects, because the helper speaks no TLS"
            } else {
                let path = http["path"]?.string ?? ""
                let headers = (http["httpHeaders"]?.array ?? []).flatMap { header in
                    ["--header", "\(header["name"]?.string ?? ""):\(header["value"]?.string ?? "")"]
                }
                check = ["http", "\(port)", path.isEmpty ? "/" : path] + host + headers
            }
        } else if let tcp = probe["tcpSocket"] {
            guard let port = number(tcp["port"], ports) else { return noPort(tcp["port"]) }
            guard let host = address(tcp["host"]?.string) else { return noAddress(tcp["host"]?.string ?? "") }
            check = ["tcp", "\(port)"] + host
        } else if let grpc = probe["grpc"] {
            guard let port = number(grpc["port"], ports) else { return noPort(grpc["port"]) }
            check = ["tcp", "\(port)"]
            detail = "it only connects, because the helper speaks no gRPC"
        } else {
            return Result(probe: probe)
        }
        return Result(probe: replaced(probe, check, startup), detail: detail)
    }

    private static func replaced(_ probe: JSON, _ check: [String], _ startup: JSON?) -> JSON {
        let timeout = max(1, probe["timeoutSeconds"]?.integer ?? 1)
        var words = [DevTemplate.program, "probe"]
        if let delay = probe["initialDelaySeconds"]?.integer, delay > 0 { words += ["--initial-delay", "\(delay)"] }
        if let startup, !startup.isNull {
            let period = startup["periodSeconds"]?.integer ?? 10
            let limit =
                (startup["initialDelaySeconds"]?.integer ?? 0) + period * (startup["failureThreshold"]?.integer ?? 3)
            words += ["--startup", "\(limit)"]
        }
        words += ["--timeout", "\(timeout)"]
        var result = probe
        for kind in ["httpGet", "tcpSocket", "grpc"] { result[kind] = nil }
        result["exec"] = ["command": .array((words + check).map(JSON.string))]
        // The helper's own limit comes first, so that its words are what is shown.
        result["timeoutSeconds"] = .integer(timeout + 1)
        return result
    }

    /// A port's number; a name is one of the container's ports.
    private static func number(_ port: JSON?, _ ports: [JSON]) -> Int64? {
        if let number = port?.integer { return number }
        guard let name = port?.string else { return nil }
        if let number = Int64(name) { return number }
        return ports.first { $0["name"]?.string == name }?["containerPort"]?.integer
    }

    /// The option for a host that is a number; nothing for the pod itself, `nil` for a name, which the helper asks nobody for.
    private static func address(_ host: String?) -> [String]? {
        guard let host, !host.isEmpty else { return [] }
        if host == "localhost" { return ["--host", "127.0.0.1"] }
        let isNumeric = host.contains(":") || host.allSatisfy { $0.isNumber || $0 == "." }
        return isNumeric ? ["--host", host] : nil
    }

    private static func noAddress(_ host: String) -> Result {
        Result(detail: "left out: it asks \"\(host)\", and the helper resolves no names")
    }

    private static func noPort(_ port: JSON?) -> Result {
        Result(detail: "left out: the container has no port \"\(port?.string ?? "")\"")
    }
}
