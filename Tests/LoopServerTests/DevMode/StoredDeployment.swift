import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization

/// An API server with one Deployment, as far as dev mode asks it.
final class StoredDeployment: Sendable {
    struct State {
        var object: JSON
        var configMaps: Set<String> = []
        /// Whether nobody may delete ConfigMaps.
        var keepsConfigMaps = false
        var conflicts = 0
        var patches = 0
        /// What the trial of a pod is answered, by whether the pod is in dev mode.
        var podRefusal: @Sendable (_ isInDevMode: Bool) -> String? = { _ in nil }
        var patchRefusal: (code: Int, message: String)?
    }

    private let state: Mutex<State>

    init(_ object: JSON = DevFixture.deployment()) { state = Mutex(State(object: object)) }

    var now: State { state.withLock { $0 } }
    var object: JSON { now.object }

    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }

    /// Changes the object as somebody else would, who then is the manager of the command.
    func write(as manager: String? = nil, _ change: (inout JSON) -> Void) {
        state.withLock { state in
            let before = state.object.podSpec
            change(&state.object)
            StoredDeployment.count(&state.object, templateChanged: state.object.podSpec != before)
            guard let manager else { return }
            let version = state.object.at("metadata", "resourceVersion")?.string ?? ""
            let fields: JSON = [
                "f:spec": [
                    "f:template": ["f:spec": ["f:containers": [#"k:{"name":"app"}"#: ["f:command": [:]]]]]
                ]
            ]
            state.object["metadata"]?["managedFields"] = [
                ["manager": "loopd", "time": "2030-01-01T00:00:00Z", "fieldsV1": fields],
                ["manager": .string(manager), "time": .string(version), "fieldsV1": fields],
            ]
        }
    }

    private static func count(_ object: inout JSON, templateChanged: Bool) {
        let version = object.at("metadata", "resourceVersion")?.string.flatMap { Int($0) } ?? 0
        object["metadata"]?["resourceVersion"] = .string("\(version + 1)")
        guard templateChanged else { return }
        let generation = object.at("metadata", "generation")?.integer ?? 0
        object["metadata"]?["generation"] = .integer(generation + 1)
    }

    func handle(_ exchange: HTTPExchange) async throws {
        let method = exchange.request.method
        switch exchange.request.path.last {
        case "nodes": try await exchange.answer(["metadata": [:], "items": [["metadata": ["name": "n"]]]])
        case "pods" where method == "POST":
            let pod = try JSON(parsing: try await exchange.body())
            let isInDevMode = pod["spec"]?["containers"]?[0]?["command"]?[0]?.string == HelperProgram.supervisor
            if let refusal = now.podRefusal(isInDevMode) {
                try await exchange.fail(403, "Forbidden", refusal)
            } else {
                try await exchange.answer(201, pod)
            }
        case "configmaps" where method == "POST":
            let map = try JSON(parsing: try await exchange.body())
            set { $0.configMaps.insert(map.at("metadata", "name")?.string ?? "") }
            try await exchange.answer(201, map)
        case "app" where method == "PATCH": try await patch(exchange)
        case "app": try await exchange.answer(object)
        case "deployments": try await exchange.answer(["metadata": [:], "items": [object]])
        case let name? where name.hasPrefix("loopd-helper-"):
            guard now.configMaps.contains(name) else { return try await exchange.fail(404, "NotFound", name) }
            if method == "DELETE", now.keepsConfigMaps { return try await exchange.fail(403, "Forbidden", name) }
            if method == "DELETE" { set { $0.configMaps.remove(name) } }
            try await exchange.answer([:])
        default: try await exchange.answer(["metadata": [:], "items": []])
        }
    }

    private func patch(_ exchange: HTTPExchange) async throws {
        let operations = try JSON(parsing: try await exchange.body()).array ?? []
        if let (code, message) = now.patchRefusal { return try await exchange.fail(code, "Forbidden", message) }
        let answer: JSON? = state.withLock { state in
            if state.conflicts > 0 {
                state.conflicts -= 1
                StoredDeployment.count(&state.object, templateChanged: false)
                return nil
            }
            guard operations.first?["value"] == state.object.at("metadata", "resourceVersion") else { return nil }
            let before = state.object.podSpec
            for operation in operations.dropFirst() { StoredDeployment.apply(operation, to: &state.object) }
            StoredDeployment.count(&state.object, templateChanged: state.object.podSpec != before)
            state.patches += 1
            return state.object
        }
        if let answer { try await exchange.answer(answer) } else { try await exchange.fail(409, "Conflict", "changed") }
    }

    /// Does one operation of a JSON patch.
    static func apply(_ operation: JSON, to object: inout JSON) {
        let path = (operation["path"]?.string ?? "").split(separator: "/").map(String.init).map {
            $0.replacing("~1", with: "/").replacing("~0", with: "~")
        }
        set(operation["op"] == "remove" ? nil : operation["value"], path[...], in: &object)
    }

    private static func set(_ value: JSON?, _ path: ArraySlice<String>, in object: inout JSON) {
        guard let key = path.first else { return }
        if let index = Int(key), var list = object.array, list.indices.contains(index) {
            set(value, path.dropFirst(), in: &list[index])
            object = .array(list)
        } else if path.count == 1 {
            object[key] = value
        } else {
            var inner = object[key] ?? [:]
            set(value, path.dropFirst(), in: &inner)
            object[key] = inner
        }
    }
}
