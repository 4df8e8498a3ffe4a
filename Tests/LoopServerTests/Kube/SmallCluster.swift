import HTTP
import JSON
import Synchronization

/// Lists and watches over a few collections that a test changes.
final class SmallCluster: Sendable {
    private struct State {
        /// Above those of recorded objects: a watch that has seen one of them is told everything again.
        var version: Int64 = 1 << 40
        var objects: [String: [JSON]] = [:]
        var removed: [(plural: String, object: JSON, version: Int64)] = []
        var readers: [Int: (plural: String, AsyncStream<JSON>.Continuation)] = [:]
        var nextReader = 0
    }
    private let state = Mutex(State())
    /// Answers instead, where it is set: the HTTP status by plural.
    private let refusals = Mutex<[String: Int]>([:])
    /// The log of every container, and whether the run before was asked for.
    private let logs = Mutex<(text: String, asked: [Bool])>(("", []))

    func setLog(_ text: String) { logs.withLock { $0.text = text } }

    /// What was asked for: whether it was the run before.
    var askedLogs: [Bool] { logs.withLock { $0.asked } }

    func refuse(_ plural: String, with code: Int?) { refusals.withLock { $0[plural] = code } }

    func put(_ plural: String, _ object: JSON) {
        state.withLock { state in
            let name = object.at("metadata", "name")
            let isNew = state.objects[plural]?.contains { $0.at("metadata", "name") == name } != true
            state.objects[plural, default: []].removeAll { $0.at("metadata", "name") == name }
            state.objects[plural, default: []].append(object)
            for reader in state.readers.values where reader.plural == plural {
                reader.1.yield(["type": isNew ? "ADDED" : "MODIFIED", "object": object])
            }
        }
    }

    func remove(_ plural: String, _ object: JSON) {
        state.withLock { state in
            state.objects[plural, default: []].removeAll { $0.at("metadata", "name") == object.at("metadata", "name") }
            state.version += 1
            state.removed.append((plural, object, state.version))
            for reader in state.readers.values where reader.plural == plural {
                reader.1.yield(["type": "DELETED", "object": object])
            }
        }
    }

    func handle(_ exchange: HTTPExchange) async throws {
        let plural = exchange.request.path.last ?? ""
        if let code = refusals.withLock({ $0[plural] }) { return try await exchange.fail(code, "Reason", "refused") }
        if plural == "log" {
            let text = logs.withLock { logs in
                logs.asked.append(exchange.query("previous") == "true")
                return logs.text
            }
            return try await exchange.respond(HTTPResponse(200), body: Array(text.utf8))
        }
        guard exchange.query("watch") != nil else {
            let (items, version) = state.withLock { ($0.objects[plural] ?? [], $0.version) }
            return try await exchange.answer([
                "metadata": ["resourceVersion": .string("\(version)")], "items": .array(items),
            ])
        }
        let (events, yield) = AsyncStream<JSON>.makeStream()
        let from = exchange.query("resourceVersion").flatMap { Int64($0) } ?? 0
        let id = state.withLock { state in
            for gone in state.removed where gone.plural == plural && gone.version > from {
                yield.yield(["type": "DELETED", "object": gone.object])
            }
            // What came between the list and this watch: as changes, which is harmless to tell twice.
            for object in state.objects[plural] ?? [] { yield.yield(["type": "MODIFIED", "object": object]) }
            state.nextReader += 1
            state.readers[state.nextReader] = (plural, yield)
            return state.nextReader
        }
        defer { state.withLock { _ = $0.readers.removeValue(forKey: id) } }
        try await exchange.startBody(HTTPResponse(200))
        for await event in events { try await exchange.write(event.bytes + [0x0A]) }
    }
}
