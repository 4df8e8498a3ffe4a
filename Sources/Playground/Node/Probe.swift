internal import Glibc
internal import HTTP
internal import JSON
internal import Reactor

/// The settings of a probe with the API's defaults.
struct ProbeSettings: Sendable {
    enum Kind: String, Sendable {
        case startup = "Startup"
        case readiness = "Readiness"
        case liveness = "Liveness"

        var key: String { "\(rawValue.lowercased())Probe" }
    }

    let kind: Kind
    let action: JSON
    let initialDelay: Int
    let period: Int
    let timeout: Int
    let successThreshold: Int
    let failureThreshold: Int
    let grace: Int?

    /// `nil` where the container has no such probe.
    init?(_ kind: Kind, of container: JSON) {
        guard let probe = container[kind.key] else { return nil }
        func number(_ key: String, _ fallback: Int64) -> Int { Int(max(probe[key]?.integer ?? fallback, 0)) }
        self.kind = kind
        action = probe
        initialDelay = number("initialDelaySeconds", 0)
        period = max(1, number("periodSeconds", 10))
        timeout = max(1, number("timeoutSeconds", 1))
        successThreshold = max(1, number("successThreshold", 1))
        failureThreshold = max(1, number("failureThreshold", 3))
        grace = probe["terminationGracePeriodSeconds"]?.integer.map { Int(Int32(clamping: $0)) }
    }
}

/// Counts a probe's results and says when they mean something: a pure value.
struct ProbeTally: Equatable, Sendable {
    private var successes = 0
    private var failures = 0

    /// What a result leads to: a decision, or `nil` while the threshold is not reached.
    mutating func record(_ isSuccess: Bool, _ settings: ProbeSettings) -> Bool? {
        if isSuccess {
            failures = 0
            successes += 1
            return successes >= settings.successThreshold ? true : nil
        }
        successes = 0
        failures += 1
        return failures >= settings.failureThreshold ? false : nil
    }
}

/// Asks a container how it is.
struct Prober: Sendable {
    let run: ContainerRun
    let runc: Runc
    let container: JSON
    /// The pod's address, and the network from which it is asked; `nil` is the machine's.
    let address: String
    let network: NetworkNamespace?

    /// `nil` is health; else what is wrong.
    func check(_ settings: ProbeSettings) async -> String? {
        let timeout = Duration.seconds(settings.timeout)
        if let exec = settings.action["exec"] {
            let command = exec["command"]?.array?.compactMap(\.string) ?? []
            do {
                guard let outcome = try await ContainerCommand.run(command, in: run, runc, timeout: timeout) else {
                    return
                        "command timed out: \"\(command.joined(separator: " "))\" timed out after \(settings.timeout)s"
                }
                return outcome.exit == .exited(0) ? nil : outcome.output
            } catch {
                return "\(error)"
            }
        }
        if let get = settings.action["httpGet"] { return await httpGet(get, timeout) }
        if let socket = settings.action["tcpSocket"] {
            let host = socket["host"]?.string ?? address
            return await within(timeout) {
                try await Stream.connect(to: .tcp(host: host, port: try port(socket["port"])), in: network).close()
                return nil
            }
        }
        return "the probe has no action that is supported"
    }

    private func httpGet(_ get: JSON, _ timeout: Duration) async -> String? {
        let host = get["host"]?.string ?? address
        var path = get["path"]?.string ?? "/"
        if !path.hasPrefix("/") { path = "/" + path }
        let fixedPath = path
        return await within(timeout) {
            let port = try port(get["port"])
            let stream = try await Stream.connect(to: .tcp(host: host, port: port), in: network)
            defer { stream.close() }
            var head =
                "GET \(fixedPath) HTTP/1.1\r\nConnection: close\r\nUser-Agent: kube-probe/1.36\r\nAccept: */*\r\n"
            var named = false
            for header in get["httpHeaders"]?.array ?? [] {
                guard let name = header["name"]?.string, let value = header["value"]?.string else { continue }
                named = named || name.lowercased() == "host"
                head += "\(name): \(value)\r\n"
            }
            if !named { head += "Host: \(host):\(port)\r\n" }
            try await stream.write(Array((head + "\r\n").utf8))
            var answer: [UInt8] = []
            while answer.count < 12 {
                let bytes = try await stream.read(upTo: 4096)
                if bytes.isEmpty { return "Get \"http://\(host):\(port)\(fixedPath)\": EOF" }
                answer += bytes
            }
            let status = Int(String(decoding: answer[9..<12], as: UTF8.self)) ?? 0
            return (200..<400).contains(status) ? nil : "HTTP probe failed with statuscode: \(status)"
        }
    }

    private func port(_ value: JSON?) throws -> UInt16 {
        if let number = value?.integer.flatMap(UInt16.init(exactly:)) { return number }
        let named = (container["ports"]?.array ?? []).first { $0["name"]?.string == value?.string }
        guard let number = named?["containerPort"]?.integer.flatMap(UInt16.init(exactly:)) else {
            throw ConfigurationError("couldn't find port: \(value?.text ?? "null")")
        }
        return number
    }

    private func within(_ timeout: Duration, _ body: @escaping @Sendable () async throws -> String?) async -> String? {
        let work = Task { () -> String? in
            do {
                return try await body()
            } catch is CancellationError {
                return "context deadline exceeded (probe timed out after \(timeout))"
            } catch {
                return "\(error)"
            }
        }
        let limit = Task {
            try await Task.sleep(for: timeout)
            work.cancel()
        }
        defer { limit.cancel() }
        return await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
    }
}
