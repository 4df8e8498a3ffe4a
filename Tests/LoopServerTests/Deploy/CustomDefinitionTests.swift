import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

/// An API server with one definition of a kind, which goes by a new one only at the second try.
private final class DefinitionServer: Sendable {
    struct State {
        var definition: JSON?
        var refusals = 1
        var widgets: [String] = []
        var inventory: JSON = [:]
    }

    private let state: Mutex<State>

    init(definition: JSON? = nil) { state = Mutex(State(definition: definition)) }

    var now: State { state.withLock { $0 } }

    func handle(_ exchange: HTTPExchange) async throws {
        let isWrite = exchange.request.method == "PATCH"
        let isDry = exchange.query("dryRun") != nil
        let path = exchange.request.path
        let body = isWrite ? try JSON(parsing: try await exchange.body()) : [:]
        switch path.last {
        case "v1" where path.contains("apiextensions.k8s.io"):
            try await exchange.answer([
                "resources": [
                    ["name": "customresourcedefinitions", "kind": "CustomResourceDefinition", "namespaced": false]
                ]
            ])
        case "v1" where now.definition != nil:
            try await exchange.answer(["resources": [["name": "widgets", "kind": "Widget", "namespaced": true]]])
        case "widgets.example.org" where isWrite:
            if !isDry { state.withLock { $0.definition = body } }
            try await exchange.answer(body)
        case "widgets.example.org":
            guard let definition = now.definition else { return try await exchange.fail(404, "NotFound", "none") }
            try await exchange.answer(definition)
        case "w" where isWrite:
            let isRefused = state.withLock { state in
                if !isDry { state.refusals -= 1 }
                return isDry || state.refusals >= 0
            }
            guard !isRefused else {
                return try await exchange.fail(400, "BadRequest", ".spec.size: field not declared in schema")
            }
            state.withLock { $0.widgets.append(path.joined(separator: "/")) }
            try await exchange.answer(body)
        case "loopd-inventory-app" where isWrite:
            state.withLock { $0.inventory = body }
            try await exchange.answer(body)
        case "configmaps": try await exchange.answer(["items": []])
        default: try await exchange.fail(404, "NotFound", "none")
        }
    }
}

@Suite("A set with a definition and objects of its kind", .turn) struct CustomDefinitionTests {
    private static func definition(_ fields: JSON) -> JSON {
        [
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": ["name": "widgets.example.org"],
            "spec": [
                "group": "example.org", "names": ["kind": "Widget"], "scope": "Namespaced", "fields": fields,
            ],
        ]
    }

    private static let widget: JSON = [
        "apiVersion": "example.org/v1", "kind": "Widget", "metadata": ["name": "w"], "spec": ["size": 1],
    ]

    @Test(
        "goes to its namespace, and is checked by the new definition: one that is not there yet, and one that changes",
        arguments: [false, true])
    func applies(isThere: Bool) async throws {
        let server = DefinitionServer(definition: isThere ? Self.definition([:]) : JSON?.none)
        try await withAPI(server.handle) { client, _ in
            let apply = ManifestApply(client, namespace: "team", service: "app", of: "shop")
            let plan = try await apply.plan([Self.widget, Self.definition(["size": "integer"])])
            #expect(plan.references.map(\.namespace) == [nil, "team"])
            #expect(plan.lines.count == 2, "\(plan.lines)")
            #expect(plan.lines.last?.hasPrefix("+ widget/w") == true)
            let done = try await apply.apply(plan)
            #expect(done == ["customresourcedefinition/widgets.example.org", "widget/w"])
            #expect(server.now.widgets == ["apis/example.org/v1/namespaces/team/widgets/w"])
            let inventory = Inventory(configMap: server.now.inventory)
            #expect(inventory.objects.map(\.namespace) == [nil, "team"])
        }
    }

    @Test("definitions of a chart are applied without an inventory, and awaited until the cluster serves their kind")
    func forgets() async throws {
        let server = DefinitionServer()
        try await withAPI(server.handle) { client, _ in
            var definition = Self.definition([:])
            definition["spec"]?["versions"] = [["name": "v1", "served": true], ["name": "v2", "served": false]]
            let apply = ManifestApply(forgetting: client, namespace: "team")
            let plan = try await apply.plan([definition])
            #expect(plan.lines == ["+ customresourcedefinition/widgets.example.org"])
            await #expect(throws: LoopFailure.self) { try await apply.untilServed(plan) }
            #expect(try await apply.apply(plan) == ["customresourcedefinition/widgets.example.org"])
            try await apply.untilServed(plan)
            #expect(server.now.inventory == [:])
        }
    }

    @Test("a definition that does not change lets its objects be checked first")
    func checks() async throws {
        var definition = Self.definition([:])
        definition["metadata"]?["managedFields"] = [["manager": "loopd", "operation": "Apply"]]
        let server = DefinitionServer(definition: definition)
        try await withAPI(server.handle) { client, _ in
            let apply = ManifestApply(client, namespace: "team", service: "app", of: "shop")
            await #expect(throws: LoopFailure.self) {
                try await apply.plan([Self.widget, Self.definition([:])])
            }
        }
    }
}
