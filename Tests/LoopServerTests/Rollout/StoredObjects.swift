import HTTP
import JSON
import Reactor
import Synchronization

@testable import LoopServer

/// What becomes of a connection before its request is answered.
enum Fault {
    /// It is cut, and nothing was done.
    case cutBefore
    /// It is cut, and what was asked for was done.
    case cutAfter
    /// What was asked for was done, and the answer never comes.
    case stall
}

/// An API server that keeps whatever objects it is given: lists, watches, and the writes that loopd makes.
final class StoredObjects: Sendable {
    struct State {
        /// By plural and name.
        var objects: [String: [String: JSON]] = [:]
        var version = 10
        /// With their versions, by plural.
        fileprivate var removed: [String: [JSON]] = [:]
        var requests: [String] = []
        /// What a request is refused with, by method and plural: `POST jobs`; the last one first.
        var refusals: [String: [(code: Int, message: String)]] = [:]
        /// What becomes of a request's connection, by the request as `requests` has it; the last one first.
        var faults: [String: [Fault]] = [:]
        /// Plurals whose objects stay, marked, when they are deleted.
        var holdsDeleted: Set<String> = []
        fileprivate var readers: [Int: (plural: String, AsyncStream<JSON>.Continuation)] = [:]
        fileprivate var nextReader = 0
    }

    private let state = Mutex(State())

    /// Changes the state as nobody in particular.
    func set<Result: Sendable>(_ change: (inout State) -> Result) -> Result { state.withLock { change(&$0) } }

    var requests: [String] { state.withLock { $0.requests } }

    func object(_ plural: String, _ name: String) -> JSON? { state.withLock { $0.objects[plural]?[name] } }

    @discardableResult
    func put(_ plural: String, _ object: JSON) -> JSON { state.withLock { StoredObjects.put(plural, object, &$0) } }

    func remove(_ plural: String, _ name: String) {
        state.withLock { state in
            guard let object = state.objects[plural]?[name] else { return }
            StoredObjects.remove(plural, object, &state)
        }
    }

    private static func remove(_ plural: String, _ object: JSON, _ state: inout State) {
        var object = object
        state.version += 1
        object["metadata"]?["resourceVersion"] = .string("\(state.version)")
        state.objects[plural]?[object.at("metadata", "name")?.string ?? ""] = nil
        state.removed[plural, default: []].append(object)
        tell(plural, "DELETED", object, state)
    }

    private static func put(_ plural: String, _ object: JSON, _ state: inout State) -> JSON {
        var object = object
        let name = object.at("metadata", "name")?.string ?? ""
        state.version += 1
        object["metadata"]?["resourceVersion"] = .string("\(state.version)")
        if object.at("metadata", "uid") == nil { object["metadata"]?["uid"] = .string("uid-\(state.version)") }
        let isNew = state.objects[plural]?[name] == nil
        state.objects[plural, default: [:]][name] = object
        tell(plural, isNew ? "ADDED" : "MODIFIED", object, state)
        return object
    }

    private static func tell(_ plural: String, _ type: String, _ object: JSON, _ state: State) {
        for reader in state.readers.values where reader.plural == plural {
            reader.1.yield(["type": .string(type), "object": object])
        }
    }

    func handle(_ exchange: HTTPExchange) async throws {
        let path = exchange.request.path
        let isCollection =
            path.count == 5 && path[1] != "apps" && path[1] != "batch" || path.count == 6 && path[0] == "apis"
        let plural = path[path.count - (isCollection ? 1 : 2)]
        let name = isCollection ? "" : path[path.count - 1]
        let method = exchange.request.method
        let dryRun = exchange.query("dryRun") == nil ? "" : " (dry run)"
        let request = "\(method) \(plural)\(dryRun)"
        if method != "GET" { state.withLock { $0.requests.append(request) } }
        // A single object that is read is a request of its own.
        let asked = method == "GET" && !isCollection ? "GET \(plural)/\(name)" : "\(method) \(plural)"
        if let (code, message) = state.withLock({ $0.refusals[asked]?.popLast() }) {
            return try await exchange.fail(code, "Refused", message)
        }
        guard let fault = state.withLock({ $0.faults[request]?.popLast() }) else {
            return try await perform(method, plural, name, isCollection: isCollection, exchange)
        }
        // A body that has begun has no other answer, and ends with its connection.
        try await exchange.startBody(HTTPResponse(200))
        guard fault != .cutBefore else { return }
        try? await perform(method, plural, name, isCollection: isCollection, exchange)
        if fault == .stall { try await Task.sleep(for: .seconds(600)) }
    }

    private func perform(
        _ method: String, _ plural: String, _ name: String, isCollection: Bool, _ exchange: HTTPExchange
    ) async throws {
        switch method {
        case "GET" where exchange.query("watch") != nil: try await watch(plural, exchange)
        case "GET" where isCollection:
            let (items, version) = state.withLock { (Array(($0.objects[plural] ?? [:]).values), $0.version) }
            try await exchange.answer(["metadata": ["resourceVersion": .string("\(version)")], "items": .array(items)])
        case "POST": try await create(plural, exchange)
        case "DELETE": try await delete(plural, name, exchange)
        case "PATCH":
            try await patch(plural, name, exchange)
        default:
            guard let object = object(plural, name) else { return try await exchange.fail(404, "NotFound", name) }
            try await exchange.answer(object)
        }
    }

    /// Takes operations for the object that is there, and everything else as what it shall be.
    private func patch(_ plural: String, _ name: String, _ exchange: HTTPExchange) async throws {
        let change = try JSON(parsing: try await exchange.body())
        guard let operations = change.array else { return try await exchange.answer(put(plural, change)) }
        let patched: JSON? = state.withLock { state in
            guard var object = state.objects[plural]?[name],
                operations.first?["value"] == object.at("metadata", "resourceVersion")
            else { return nil }
            for operation in operations.dropFirst() { StoredDeployment.apply(operation, to: &object) }
            return StoredObjects.put(plural, object, &state)
        }
        guard let patched else { return try await exchange.fail(409, "Conflict", "changed") }
        try await exchange.answer(patched)
    }

    private func create(_ plural: String, _ exchange: HTTPExchange) async throws {
        let object = try JSON(parsing: try await exchange.body())
        let name = object.at("metadata", "name")?.string ?? ""
        let isDryRun = exchange.query("dryRun") != nil
        let created: JSON? = state.withLock { state in
            guard state.objects[plural]?[name] == nil else { return nil }
            return isDryRun ? object : StoredObjects.put(plural, object, &state)
        }
        guard let created else { return try await exchange.fail(409, "AlreadyExists", "\(name) already exists") }
        try await exchange.answer(201, created)
    }

    private func delete(_ plural: String, _ name: String, _ exchange: HTTPExchange) async throws {
        let options = try JSON(parsing: try await exchange.body())
        let uid = options.at("preconditions", "uid")
        let code: Int = state.withLock { state in
            guard var object = state.objects[plural]?[name] else { return 404 }
            if let uid, object.at("metadata", "uid") != uid { return 409 }
            if state.holdsDeleted.contains(plural) {
                object["metadata"]?["deletionTimestamp"] = "2026-11-21T00:40:11Z"
                _ = StoredObjects.put(plural, object, &state)
            } else {
                StoredObjects.remove(plural, object, &state)
            }
            return 200
        }
        if code == 200 { try await exchange.answer([:]) } else { try await exchange.fail(code, "Refused", name) }
    }

    private func watch(_ plural: String, _ exchange: HTTPExchange) async throws {
        let (events, yield) = AsyncStream<JSON>.makeStream()
        let from = exchange.query("resourceVersion").flatMap { Int($0) } ?? 0
        let id = state.withLock { state in
            for object in state.removed[plural] ?? [] {
                let version = object.at("metadata", "resourceVersion")?.string.flatMap { Int($0) } ?? 0
                if version > from { yield.yield(["type": "DELETED", "object": object]) }
            }
            // What came between the list and this watch: as changes, which is harmless to tell twice.
            for object in (state.objects[plural] ?? [:]).values { yield.yield(["type": "MODIFIED", "object": object]) }
            state.nextReader += 1
            state.readers[state.nextReader] = (plural, yield)
            return state.nextReader
        }
        defer { state.withLock { _ = $0.readers.removeValue(forKey: id) } }
        try await exchange.startBody(HTTPResponse(200))
        for await event in events { try await exchange.write(event.bytes + [0x0A]) }
    }
}
