import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

@Suite("Inventories, and what was there before", .turn) struct InventoryTests {
    private static func reference(
        _ kind: String, _ name: String, _ apiVersion: String = "v1", namespace: String? = "a"
    ) -> ObjectReference {
        ObjectReference(apiVersion: apiVersion, kind: kind, namespace: namespace, name: name)
    }

    @Test("an inventory survives its ConfigMap, and knows what has left the set whatever its version")
    func survives() {
        let old = [
            Self.reference("Deployment", "web", "apps/v1beta1"), Self.reference("ConfigMap", "one"),
            Self.reference("Namespace", "x", namespace: nil),
        ]
        let inventory = Inventory(old, found: [old[0], Self.reference("ConfigMap", "left")])
        let map = inventory.configMap(named: Inventory.name(of: "web"), of: "web", in: "shop", namespace: "a")
        #expect(map.at("metadata", "name")?.string == "loopd-inventory-web")
        let read = Inventory(configMap: map)
        #expect(read == inventory)
        #expect(read.wasFound(Self.reference("Deployment", "web", "apps/v1")) && !read.wasFound(old[1]))
        #expect(read.wasFound(Self.reference("ConfigMap", "left")) && !read.holds(Self.reference("ConfigMap", "left")))
        #expect(
            inventory.leftovers(beside: [Self.reference("Deployment", "web", "apps/v1")]).map(\.description) == [
                "namespace/x", "configmap/one",
            ])
        #expect(Inventory(configMap: ["data": ["objects": "[{\"kind\": 3}, 7]"]]) == Inventory([]))
        #expect(Inventory(configMap: ["data": ["objects": "no JSON"]]) == Inventory([]))
    }

    @Test("the list of an earlier loopd: namespaces without its mark were there before, and everything else was made")
    func earlier() {
        let entries: JSON = [
            ["apiVersion": "v1", "kind": "Namespace", "name": "mine", "made": true],
            ["apiVersion": "v1", "kind": "Namespace", "name": "theirs"],
            ["apiVersion": "v1", "kind": "ConfigMap", "name": "one", "namespace": "a"],
        ]
        let inventory = Inventory(configMap: ["data": ["objects": .string(entries.text)]])
        #expect(inventory.objects.count == 3)
        #expect(inventory.found.map(\.description) == ["namespace/theirs"])
    }

    struct Example: Sendable {
        var kind = "ConfigMap"
        var live: JSON = ["metadata": [:]]
        var project = "shop"
        var holds = false
        var finds = false
        let isFound: Bool
    }

    private static let applied: JSON = ["metadata": ["managedFields": [["manager": "loopd", "operation": "Apply"]]]]
    private static let examples = [
        Example(isFound: true), Example(live: applied, isFound: false),
        // By another list of the project: of another service, or of the same.
        Example(holds: true, isFound: false), Example(live: applied, holds: true, finds: true, isFound: true),
        Example(live: applied, finds: true, isFound: true),
        // What another project has made was there before.
        Example(live: applied, project: "other", holds: true, isFound: true),
        // A namespace is never taken for loopd's by its fields.
        Example(kind: "Namespace", live: applied, isFound: true),
        Example(
            kind: "Namespace", live: ["metadata": ["labels": ["app.kubernetes.io/managed-by": "loopd"]]], isFound: false
        ),
    ]

    @Test(
        "an object that no list of its service knows was there before, unless loopd itself has put it there",
        arguments: examples)
    func finds(example: Example) {
        let object = Self.reference(example.kind, "x")
        let inventory = Inventory(example.holds ? [object] : [], found: example.finds ? [object] : [])
        let other = InventoryStore.Entry(project: example.project, service: "api", inventory: inventory)
        #expect(
            FoundObjects.isFound(object, live: example.live, project: "shop", others: [other]) == example.isFound)
    }

    @Test("what was found, deleted by somebody and made again is loopd's; what loopd has made stays its own")
    func again() async throws {
        try await withAPI({ try await $0.answer(["items": []]) }) { client, _ in
            let (found, made, new) = (
                Self.reference("ConfigMap", "found"), Self.reference("ConfigMap", "made"),
                Self.reference("ConfigMap", "new")
            )
            let store = InventoryStore(client: client, namespace: "a", service: "web", project: "shop", part: .rules)
            let known = Inventory([found, made], found: [found])
            var objects = FoundObjects(known, store)
            for object in [found, made, new] { try await objects.look(at: object, live: ["metadata": [:]]) }
            #expect(objects.references == [found, new])
            for object in [found, made, new] { try await objects.look(at: object, live: nil) }
            #expect(objects.references.isEmpty)
        }
    }

    @Test("releases that are installed at the same time are all in the list")
    func releases() async throws {
        let map = Mutex(JSON?.none)
        try await withAPI({ exchange in
            let body = exchange.request.method == "GET" ? [:] : try JSON(parsing: try await exchange.body())
            let answer = map.withLock { map -> JSON? in
                switch exchange.request.method {
                case "POST" where map == nil: map = body
                case "POST": return nil
                case "PATCH":
                    for (key, value) in body["data"]?.object ?? JSONObject() { map?["data"]?[key] = value }
                default: break
                }
                return map ?? [:]
            }
            switch answer {
            case nil: try await exchange.fail(409, "AlreadyExists", "it is there")
            case [:]: try await exchange.fail(404, "NotFound", "none")
            case let map?: try await exchange.answer(map)
            }
        }) { client, _ in
            let store = InventoryStore(
                client: client, namespace: "a", service: "web", project: "shop", part: .releases)
            let names = (0..<8).map { "release-\($0)" }
            try await withThrowingTaskGroup { group in
                for name in names { group.addTask { try await store.add(release: name) } }
                try await group.waitForAll()
            }
            #expect(try await store.read()?.objects.map(\.name) == names)
        }
    }

    @Test("letting go of an object leaves the entries of others, or none at all")
    func departure() {
        func object(_ managers: String...) -> JSON {
            [
                "metadata": [
                    "resourceVersion": "7",
                    "managedFields": .array(managers.map { ["manager": .string($0), "operation": "Apply"] }),
                ]
            ]
        }
        let value = FieldManagers.departure(from: object("loopd", "helm", "loopd"))?[1]?["value"]
        #expect(value == [["manager": "helm", "operation": "Apply"]])
        #expect(FieldManagers.departure(from: object("loopd"))?[1]?["value"] == [[:]])
        #expect(FieldManagers.departure(from: object("helm")) == nil)
        #expect(FieldManagers.departure(from: [:]) == nil)
    }
}
