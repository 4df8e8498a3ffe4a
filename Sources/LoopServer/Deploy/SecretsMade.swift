internal import JSON
internal import Reactor

/// What has become of the Secrets of one SopsSecret.
actor SecretsMade {
    enum Result {
        /// They are there; those that were there before and have changed.
        case made(Set<String>)
        /// They are there and healthy, and as they were.
        case same
        /// The operator has refused it.
        case failed(String)
        case missing(Set<String>, message: String?)
        /// The cluster has not said what is there, or what the operator says.
        case unknown(String)
    }

    private let wanted: Set<String>
    private let old: [String: String]
    private let oldMessage: String?
    private var now = ObjectSet()
    private var message: String?
    private var lastChange = ContinuousClock.now
    private var isOperatorSynced = false
    private var operatorDisconnection: String?
    /// From when on they may be missed: both watches have told what there is, or that they cannot.
    private var started: ContinuousClock.Instant?
    private let news = Gate()

    init(_ wanted: Set<String>, old: [String: String], message: String?) {
        self.wanted = wanted
        self.old = old
        oldMessage = message
        self.message = message
    }

    func take(secrets change: ResourceChange) {
        let before = (fresh, isSynced)
        now.apply(change)
        if fresh != before.0 { lastChange = .now }
        tellNews(wasSynced: before.1)
    }

    func take(operator change: ResourceChange) {
        let wasSynced = isSynced
        switch change {
        case .synced(let objects):
            message = objects.first?.at("status", "message")?.string
            isOperatorSynced = true
        case .changed(let object): message = object.at("status", "message")?.string
        case .disconnected(let reason, _): operatorDisconnection = reason
        case .removed: break
        }
        tellNews(wasSynced: wasSynced)
    }

    private var isSynced: Bool { now.isSynced && isOperatorSynced }

    private func tellNews(wasSynced: Bool) {
        let isHeard =
            (now.isSynced || now.disconnection != nil) && (isOperatorSynced || operatorDisconnection != nil)
        if isSynced != wasSynced || (started == nil && isHeard) { started = .now }
        news.signal()
    }

    /// Those that are there and not as before.
    private var fresh: Set<String> {
        wanted.filter { name in
            guard let version = now.objects[name]?.at("metadata", "resourceVersion")?.string else { return false }
            return version != old[name]
        }
    }

    private var missing: Set<String> { wanted.filter { now.objects[$0] == nil } }

    private var isRefused: Bool {
        guard let message, !message.isEmpty, message != SecretsMade.healthy else { return false }
        return message != oldMessage
    }

    private static let healthy = "Healthy"

    var result: Result {
        if isRefused { return .failed(message ?? "") }
        guard now.isSynced else { return .unknown(now.disconnection ?? "") }
        if !isOperatorSynced, message == nil, fresh.isEmpty { return .unknown(operatorDisconnection ?? "") }
        guard missing.isEmpty else { return .missing(missing, message: message) }
        if !fresh.isEmpty { return .made(fresh.filter { old[$0] != nil }) }
        if let message, !message.isEmpty, message != SecretsMade.healthy { return .failed(message) }
        return message == nil ? .missing(wanted, message: nil) : .same
    }

    /// Returns when it is clear what has become of them, or `limit` after the cluster has told what there is.
    func untilDecided(within limit: Duration, quiet: Duration) async {
        while !Task.isCancelled {
            if isRefused || (missing.isEmpty && fresh == wanted) { return }
            let isAlmost = missing.isEmpty && !fresh.isEmpty
            if isAlmost, ContinuousClock.now >= lastChange + quiet { return }
            let end = started.map { $0 + limit }
            if let end, ContinuousClock.now >= end { return }
            let pause = isAlmost ? lastChange + quiet : end
            let news = news
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await news.pass() }
                // Silence is what is waited for, or that the limit passes: nothing else tells either.
                if let pause { group.addTask { try? await Task.sleep(until: pause, clock: .continuous) } }
                await group.next()
                group.cancelAll()
            }
        }
    }
}
