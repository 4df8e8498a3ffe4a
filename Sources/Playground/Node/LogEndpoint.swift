internal import Glibc
internal import HTTP
internal import JSON
internal import Reactor

/// What a client wants of a container's log.
struct LogOptions: Equatable {
    var container = ""
    var follow = false
    var previous = false
    var timestamps = false
    var tailLines: Int?
    var limitBytes: Int?
    var since: Timestamp?
    var stream: ContainerLog.Source?

    /// From the query of `GET …/log`; a value that makes no sense is refused.
    init(_ query: [(name: String, value: String)], now: Timestamp) throws {
        for (name, value) in query {
            switch name {
            case "container": container = value
            case "follow": follow = LogOptions.isTrue(value)
            case "previous": previous = LogOptions.isTrue(value)
            case "timestamps": timestamps = LogOptions.isTrue(value)
            case "tailLines": tailLines = try LogOptions.number(name, value, least: 0)
            case "limitBytes": limitBytes = try LogOptions.number(name, value, least: 1)
            case "sinceSeconds":
                since = Timestamp(seconds: now.seconds - (try LogOptions.number(name, value, least: 1)))
            case "sinceTime":
                guard let time = Timestamp(value) else {
                    throw StatusError.badRequest("sinceTime \(value) is not a time")
                }
                since = time
            case "stream": stream = ContainerLog.Source(rawValue: value.lowercased())
            default: break
            }
        }
    }

    static func isTrue(_ value: String) -> Bool { ["true", "1", "t", "T", "True", "TRUE"].contains(value) }

    private static func number(_ name: String, _ value: String, least: Int) throws -> Int {
        guard let number = Int(value), number >= least else {
            throw StatusError.badRequest(
                "\(name): Invalid value: \(value): must be greater than or equal to \(least)")
        }
        return number
    }
}

/// Answers `GET …/pods/<name>/log`.
struct LogEndpoint {
    let layout: NodeLayout
    let worker: PodWorker?

    func serve(_ exchange: HTTPExchange, pod: JSON, query: [(name: String, value: String)]) async throws {
        var options = try LogOptions(query, now: .now)
        options.container = try ContainerChoice.container(options.container, of: pod, purpose: .log)
        let name = options.container
        let uid = pod.at("metadata", "uid")?.string ?? ""
        let status = ContainerChoice.status(of: name, in: pod)
        let count = Int(status?["restartCount"]?.integer ?? 0)
        func path(_ attempt: Int) -> String { layout.log(ofContainer: name, inPod: uid, attempt: attempt) }
        // The run before is the one in `lastState`: while the container waits for its next run, the one that is counted.
        let isWaiting = status?.at("state", "waiting") != nil && status?.at("lastState", "terminated") != nil
        var attempt = options.previous && !isWaiting ? count - 1 : count
        if options.previous, isWaiting, !Disk.exists(path(attempt)) { attempt -= 1 }
        let path = path(attempt)
        guard attempt >= 0, Disk.exists(path) else {
            let podName = pod.at("metadata", "name")?.string ?? ""
            if options.previous {
                throw StatusError.badRequest(
                    "previous terminated container \"\(name)\" in pod \"\(podName)\" not found")
            }
            let reason = status?.at("state", "waiting", "reason")?.string ?? "ContainerCreating"
            let detail =
                ["ContainerCreating", "PodInitializing"].contains(reason)
                ? reason : status?.at("state", "waiting", "message")?.string ?? reason
            throw StatusError.badRequest(
                "container \"\(name)\" in pod \"\(podName)\" is waiting to start: \(LogEndpoint.cause(reason, detail))")
        }
        let live = options.previous ? nil : await worker?.runs[name]?.log
        try await send(path, options, following: options.follow && live?.path == path ? live : nil, exchange)
    }

    private static func cause(_ reason: String, _ detail: String) -> String {
        switch reason {
        case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull": "trying and failing to pull image"
        case "ContainerCreating", "PodInitializing": reason
        default: reason
        }
    }

    private func send(
        _ path: String, _ options: LogOptions, following log: ContainerLog?, _ exchange: HTTPExchange
    ) async throws {
        var generation = log?.generation ?? 0
        var file = try LogEndpoint.open(path)
        var offset = options.tailLines.map { LogReader.offset(ofLast: $0, in: file.raw) } ?? 0
        var filter = LogFilter(options)
        try await exchange.startBody(HTTPResponse(200, headers: ["Content-Type": "text/plain"]))
        while !filter.isFull {
            let bytes = LogReader.bytes(of: file.raw, from: offset, count: 65536)
            if !bytes.isEmpty {
                offset += bytes.count
                let text = filter.text(of: bytes)
                if !text.isEmpty { try await exchange.write(text) }
                continue
            }
            guard let log else { break }
            let (now, mayGrow) = await log.change(after: offset, of: generation)
            if Task.isCancelled { break }
            if now != generation {
                generation = now
                file = try LogEndpoint.open(path)
                offset = 0
            } else if !mayGrow, LogReader.bytes(of: file.raw, from: offset, count: 1).isEmpty {
                break
            }
        }
        try await exchange.finish()
    }

    private static func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let raw = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw .last("open \(path)") }
        return OwnedDescriptor(raw)
    }
}

/// Turns log records back into what the container wrote, as far as the client wants it.
struct LogFilter {
    private let options: LogOptions
    private var pending: [UInt8] = []
    private var sent = 0

    init(_ options: LogOptions) { self.options = options }

    /// Whether the client has all that it wants.
    var isFull: Bool { options.limitBytes.map { sent >= $0 } ?? false }

    mutating func text(of bytes: [UInt8]) -> [UInt8] {
        pending += bytes
        guard let end = pending.lastIndex(of: 0x0A) else { return [] }
        var out: [UInt8] = []
        for line in pending[...end].split(separator: 0x0A) {
            guard let record = LogRecord(line) else { continue }
            if let since = options.since, let time = Timestamp(String(record.time)), time < since { continue }
            if let stream = options.stream, record.source != stream.rawValue[...] { continue }
            if options.timestamps { out += "\(record.time) ".utf8 }
            out += record.text
            if record.isComplete { out.append(0x0A) }
        }
        pending.removeFirst(end + 1)
        if let limit = options.limitBytes { out = Array(out.prefix(limit - sent)) }
        sent += out.count
        return out
    }
}
