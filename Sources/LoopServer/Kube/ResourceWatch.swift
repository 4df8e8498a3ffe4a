internal import HTTP
internal import JSON
internal import Reactor
internal import Synchronization

/// Follows the objects of one scope: a list, then a watch that goes on from it, for as long as `run` runs.
///
/// A watch that ends is resumed from its last version; a version that the server no longer has means a new list; a cluster
/// that does not answer is tried again with growing pauses. A watch that has been silent for a while is resumed as well: a
/// dead connection need not end, and the next request tells. One task runs it, one task reads `next`.
final class ResourceWatch: Sendable {
    let scope: KubeClient.Scope
    private let client: KubeClient
    private let backlog = Mutex(WatchBacklog())
    private let news = Gate()
    private let firstPause: Duration
    private let patience: Duration

    /// Servers send a bookmark each minute: `patience` is longer than that.
    init(
        _ client: KubeClient, _ scope: KubeClient.Scope, firstPause: Duration = .milliseconds(100),
        patience: Duration = .seconds(90)
    ) {
        self.client = client
        self.scope = scope
        self.firstPause = firstPause
        self.patience = patience
    }

    /// The next change, waiting for it; `nil` when the reader's task is cancelled.
    func next() async -> ResourceChange? {
        while !Task.isCancelled {
            if let change = backlog.withLock({ $0.next() }) { return change }
            await news.pass()
        }
        return nil
    }

    /// Watches until a change is the wanted one; false when the task is cancelled before.
    ///
    /// In place of `run` and `next`.
    func until(_ isWanted: @escaping @Sendable (ResourceChange) -> Bool) async -> Bool {
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await self.run()
                return false
            }
            group.addTask {
                while let change = await self.next() {
                    if isWanted(change) { return true }
                }
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
    }

    /// Watches until the task is cancelled.
    func run() async {
        var backoff = Backoff(first: firstPause, limit: .seconds(10))
        var version: String?
        var isConnected = true
        while !Task.isCancelled {
            var hasNews = false
            do {
                if version == nil {
                    let list = try await client.list(scope)
                    tell { $0.replace(with: list.items.map(ResourceWatch.trimmed)) }
                    version = list.resourceVersion
                    isConnected = true
                }
                let started = ContinuousClock.now
                try await follow(&version, isResumed: !isConnected, &hasNews)
                isConnected = true
                if ContinuousClock.now - started > .seconds(20) { backoff.reset() }
            } catch is CancellationError {
                return
            } catch let error as KubeError where error.needsNewList {
                version = nil
            } catch {
                let code = (error as? KubeError)?.code
                tell { $0.disconnect("\(error)", isRefusal: code == 403 || code == 404) }
                isConnected = false
            }
            // Also where it was cut: what cut it, kubectl proxy's death for one, is over sooner than a cluster's absence.
            if hasNews { backoff.reset() }
            // A server ends a watch every few minutes; one that ends it at once must not be asked in a tight loop.
            try? await Task.sleep(for: backoff.next())
        }
    }

    /// Reads one watch to its end; `version` moves with it, and `hasNews` says whether anything arrived.
    private func follow(_ version: inout String?, isResumed: Bool, _ hasNews: inout Bool) async throws {
        let answer = try await client.watch(scope, from: version ?? "")
        defer { answer.close() }
        if isResumed { tell { $0.resync() } }
        var lines = WatchLines(limit: 32 << 20)
        while true {
            guard let bytes = try await read(answer), !bytes.isEmpty else { return }
            for line in try lines.split(bytes) {
                let event = try JSON(parsing: line)
                guard let object = event["object"] else { continue }
                switch event["type"]?.string {
                case "ADDED", "MODIFIED": tell { $0.change(ResourceWatch.trimmed(object)) }
                case "DELETED": tell { $0.remove(ResourceWatch.trimmed(object)) }
                case "BOOKMARK": break
                case "ERROR": throw KubeError(status: object, attempt: "watch \(scope.resource.plural)")
                default: continue
                }
                hasNews = true
                version = object.at("metadata", "resourceVersion")?.string ?? version
            }
        }
    }

    /// The next bytes; `nil` when none have come for too long.
    private func read(_ answer: HTTPResponseBody) async throws -> [UInt8]? {
        do {
            return try await KubeClient.within(patience, "watch") { try await answer.read() }
        } catch let error as KubeError where error.isTimeout {
            return nil
        }
    }

    private func tell(_ change: (inout WatchBacklog) -> Void) {
        backlog.withLock { change(&$0) }
        news.signal()
    }

    /// Without the field managers' records: often half of an object, and of no use here.
    private static func trimmed(_ object: JSON) -> JSON {
        var object = object
        object["metadata"]?["managedFields"] = nil
        return object
    }
}

/// Cuts bytes into lines.
struct WatchLines {
    private let limit: Int
    private var rest: [UInt8] = []

    init(limit: Int) { self.limit = limit }

    /// The lines that are whole now, without their line feeds and without empty ones.
    ///
    /// A longer line than the limit throws.
    mutating func split(_ bytes: [UInt8]) throws(HTTPError) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var start = 0
        while let end = bytes[start...].firstIndex(of: 0x0A) {
            let line = rest + bytes[start..<end]
            rest = []
            if !line.isEmpty { lines.append(line) }
            start = end + 1
        }
        rest += bytes[start...]
        guard rest.count <= limit else { throw .tooLarge("a line of more than \(limit) bytes") }
        return lines
    }
}
