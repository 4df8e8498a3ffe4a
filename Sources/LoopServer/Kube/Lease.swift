internal import Glibc
internal import JSON

/// Who syncs into a workload: an annotation on it, so that a second loopd is told instead of fighting the first.
struct Lease: Equatable, Sendable {
    static let annotation = "loopd.dev/lease"
    /// How often the holder renews it, in seconds.
    static let renewalInterval: Int64 = 20
    /// How long a lease lives without renewal, in seconds.
    static let lifetime: Int64 = 60

    /// `user@host`.
    var holder: String
    var pid: Int
    /// Random for each session.
    var session: String
    /// Seconds since 1970.
    var since: Int64
    var renewed: Int64
    /// The holder's process, for other loopds on the same machine.
    var process: ProcessIdentity?

    init(
        holder: String, pid: Int, session: String, since: Int64, renewed: Int64, process: ProcessIdentity? = nil
    ) {
        self.holder = holder
        self.pid = pid
        self.session = session
        self.since = since
        self.renewed = renewed
        self.process = process
    }

    /// A lease of this process.
    static func mine(session: String, now: Int64) -> Lease {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        let user = getpwuid(geteuid()).map { String(cString: $0.pointee.pw_name) } ?? "\(geteuid())"
        let name = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return Lease(
            holder: "\(user)@\(name)", pid: Int(getpid()), session: session, since: now, renewed: now,
            process: ProcessIdentity.current())
    }

    /// The lease in a workload's annotations; `nil` where there is none that can be read: what nobody can read protects
    /// nobody.
    init?(of workload: JSON) {
        guard let text = workload["metadata"]?.strings("annotations")[Lease.annotation],
            let json = try? JSON(parsing: text), let holder = json["holder"]?.string,
            let session = json["session"]?.string, let since = json["since"]?.integer,
            let renewed = json["renewed"]?.integer
        else { return nil }
        self.init(
            holder: holder, pid: Int(json["pid"]?.integer ?? 0), session: session, since: since, renewed: renewed,
            process: (json["process"]?.string).map { ProcessIdentity(text: $0) })
    }

    /// The annotation's value.
    var text: String {
        var json: JSON = [
            "holder": .string(holder), "pid": .integer(Int64(pid)), "session": .string(session),
            "since": .integer(since), "renewed": .integer(renewed),
        ]
        json["process"] = process.map { .string($0.text) }
        return json.text
    }

    /// Whether its holder is still there, as far as can be seen.
    ///
    /// A clock that runs ahead on another machine makes it fresher; by more than an hour, it is no clock.
    func isFresh(at now: Int64) -> Bool { (-3600..<Lease.lifetime).contains(now - renewed) }

    /// Whether the lease keeps others out: it is fresh, and its holder is not known to have been killed.
    func isHeld(at now: Int64) -> Bool { isFresh(at: now) && process?.isGone != true }
}

/// Another loopd has the workload.
struct LeaseHeld: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is held: `deployment/web`.
    let workload: String
    let lease: Lease
    let now: Int64

    var description: String {
        "\(workload) is synced by \(lease.holder) (pid \(lease.pid)) since \(Timestamp(seconds: lease.since).rfc3339)"
    }

    /// As an event's failure.
    var failure: LoopEvent.Failure {
        LoopEvent.Failure(description, nextStep: "end that loopd, or take the workload over with --take-over")
    }
}
