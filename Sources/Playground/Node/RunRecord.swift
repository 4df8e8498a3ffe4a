internal import Glibc
internal import JSON

/// What is on disk about a run, so that the next playground finds it again.
struct RunRecord {
    let pod: String
    let container: String
    let attempt: Int
    let id: String
    let pid: Int32
    let startTime: UInt64
    let startedAt: Timestamp
    let stopSignal: Int32
    let template: JSON

    private static let file = "run.json"

    init(pod: String, container: String, attempt: Int, run: ContainerRun) {
        self.pod = pod
        self.container = container
        self.attempt = attempt
        id = run.id
        pid = run.process.pid
        startTime = run.process.startTime
        startedAt = run.startedAt
        stopSignal = run.stopSignal
        template = run.template
    }

    /// The record in a container's folder; `nil` where it was never started.
    init?(_ id: String, in layout: NodeLayout) {
        guard let bytes = try? Disk.read("\(layout.container(id))/\(RunRecord.file)"),
            let json = try? JSON(parsing: bytes), let pod = json["pod"]?.string,
            let container = json["container"]?.string, let pid = json["pid"]?.integer.flatMap(Int32.init(exactly:)),
            let startTime = json["startTime"]?.integer.flatMap(UInt64.init(exactly:)),
            let startedAt = json["startedAt"]?.string.flatMap({ Timestamp($0) })
        else { return nil }
        self.id = id
        self.pod = pod
        self.container = container
        self.pid = pid
        self.startTime = startTime
        self.startedAt = startedAt
        attempt = Int(json["attempt"]?.integer ?? 0)
        stopSignal = json["stopSignal"]?.integer.flatMap(Int32.init(exactly:)) ?? SIGTERM
        template = json["process"] ?? [:]
    }

    func save(in layout: NodeLayout) throws {
        let json: JSON = [
            "pod": .string(pod), "container": .string(container), "attempt": .integer(Int64(attempt)),
            "pid": .integer(Int64(pid)), "startTime": .integer(Int64(startTime)),
            "startedAt": .string(startedAt.description), "stopSignal": .integer(Int64(stopSignal)), "process": template,
        ]
        try Disk.write(json.bytes, to: "\(layout.container(id))/\(RunRecord.file)", mode: 0o600)
    }

    static func all(in layout: NodeLayout) -> [RunRecord] {
        Disk.names(in: layout.containers).compactMap { RunRecord($0, in: layout) }
    }
}
