import JSON
import Testing

@testable import Playground

struct StoreTests {
    private func withStore(
        historyLimit: Int = 4096, _ body: (ObjectStore, String) async throws -> Void
    ) async throws {
        let directory = try RunningAPI.temporaryDirectory()
        defer { FileTree.remove(directory) }
        let store = try ObjectStore(directory: directory, historyLimit: historyLimit)
        try Bootstrap.prepare(store, node: "node", address: "10.0.0.1")
        try await body(store, directory)
    }

    private func create(_ store: ObjectStore, _ name: String, _ value: String = "1") throws -> JSON {
        try store.create(.configMap, ["metadata": ["name": .string(name)], "data": ["value": .string(value)]])
    }

    private func version(_ object: JSON) -> UInt64 {
        UInt64(object.at("metadata", "resourceVersion")?.string ?? "") ?? 0
    }

    @Test("a watch resumes after a version without a gap")
    func resume() async throws {
        try await withStore { store, _ in
            let first = try create(store, "a")
            _ = try create(store, "b")
            try store.modify(.configMap, "default", "a") { $0["data"] = ["value": "2"] }
            try store.remove(.configMap, "default", "b")
            var seen: [String] = []
            for try await event in try store.watch(.configMap, from: version(first)) {
                seen.append("\(event.type.rawValue) \(event.object.at("metadata", "name")?.string ?? "")")
                if seen.count == 3 { break }
            }
            #expect(seen == ["ADDED b", "MODIFIED a", "DELETED b"])
        }
    }

    @Test("a watch from a forgotten version is refused with 410, as recorded")
    func expired() async throws {
        try await withStore(historyLimit: 2) { store, _ in
            let first = try create(store, "a")
            for value in 0..<4 {
                try store.modify(.configMap, "default", "a") { $0["data"] = ["value": .string("\(value)x")] }
            }
            let error = #expect(throws: StatusError.self) {
                _ = try store.watch(.configMap, from: version(first))
            }
            #expect(error?.code == 410)
            #expect(error?.reason == "Expired")
            #expect(error?.message.hasPrefix("too old resource version: \(version(first)) (") == true)
        }
    }

    @Test("a reader that is too slow gets 410 instead of a gap")
    func slowReader() async throws {
        try await withStore(historyLimit: 2) { store, _ in
            var reader = try store.watch(.configMap).makeAsyncIterator()
            for index in 0..<5 { _ = try create(store, "c\(index)") }
            await #expect(throws: StatusError.self) { _ = try await reader.next() }
        }
    }

    @Test("objects survive a restart, versions go on, and an old watch must list again")
    func restart() async throws {
        try await withStore { store, directory in
            let object = try create(store, "kept")
            _ = try create(store, "gone")
            let last = try store.remove(.configMap, "default", "gone")
            let again = try ObjectStore(directory: directory)
            #expect(again.get(.configMap, "default", "kept") == object)
            #expect(again.get(.configMap, "default", "gone") == nil)
            let next = try create(again, "next")
            #expect(version(next) > version(last))
            #expect(throws: StatusError.self) { _ = try again.watch(.configMap, from: version(object)) }
        }
    }

    @Test("an update of an old version conflicts, in Kubernetes' words")
    func conflict() async throws {
        try await withStore { store, _ in
            let object = try create(store, "a")
            try store.modify(.configMap, "default", "a") { $0["data"] = ["value": "2"] }
            let error = #expect(throws: StatusError.self) { _ = try store.update(.configMap, object) }
            #expect(error?.code == 409)
            #expect(
                error?.message
                    == "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please "
                    + "apply your changes to the latest version and try again")
        }
    }

    @Test("a change that changes nothing is no event and no new version")
    func unchanged() async throws {
        try await withStore { store, _ in
            let object = try create(store, "a")
            let same = try store.modify(.configMap, "default", "a") { $0["data"] = ["value": "1"] }
            #expect(same == object)
            #expect(store.currentVersion == version(object))
        }
    }

    @Test("generation counts changes of the spec alone, and not the binding to a node")
    func generation() async throws {
        try await withStore { store, _ in
            _ = try store.create(.pod, ["metadata": ["name": "p"], "spec": ["containers": []]])
            func generation() -> Int64? { store.get(.pod, "default", "p")?.at("metadata", "generation")?.integer }
            #expect(generation() == 1)
            try store.modify(.pod, "default", "p") { $0["spec"]?["nodeName"] = "node" }
            try store.modify(.pod, "default", "p") { $0["status"] = ["phase": "Running"] }
            #expect(generation() == 1)
            try store.modify(.pod, "default", "p") { $0["spec"]?["activeDeadlineSeconds"] = 5 }
            #expect(generation() == 2)
            try store.delete(.pod, "default", "p")
            #expect(generation() == 3)
        }
    }

    @Test("a deletion waits for finalizers, and the last one's removal ends it")
    func finalizers() async throws {
        try await withStore { store, _ in
            _ = try store.create(.configMap, ["metadata": ["name": "a", "finalizers": ["example.com/hold"]]])
            try store.delete(.configMap, "default", "a")
            #expect(store.get(.configMap, "default", "a")?.at("metadata", "deletionTimestamp") != nil)
            try store.modify(.configMap, "default", "a") { $0["metadata"]?["finalizers"] = [] }
            #expect(store.get(.configMap, "default", "a") == nil)
        }
    }

    @Test("a pod that ended on its node stays until its last finalizer is removed")
    func podFinalizers() async throws {
        try await withStore { store, _ in
            _ = try store.create(
                .pod,
                ["metadata": ["name": "p", "finalizers": ["example.com/hold"]], "spec": ["nodeName": "node"]])
            try store.delete(.pod, "default", "p")
            try store.remove(.pod, "default", "p")
            let kept = store.get(.pod, "default", "p")
            #expect(kept?.at("metadata", "deletionGracePeriodSeconds") == 0)
            // Once more changes nothing.
            #expect(try store.remove(.pod, "default", "p") == kept)
            try store.modify(.pod, "default", "p") { $0["metadata"]?["finalizers"] = [] }
            #expect(store.get(.pod, "default", "p") == nil)
        }
    }

    @Test("of large changes fewer are remembered, and the latest one always")
    func largeChanges() throws {
        var history = EventHistory(limit: 4, forgotten: 0)
        func change(_ version: Int) -> StoredEvent {
            StoredEvent(
                type: .modified, object: ["metadata": ["resourceVersion": .string("\(version)")]], previous: nil)
        }
        func known() -> [UInt64] { history.events(after: history.forgotten).map(\.resourceVersion) }
        for version in 1...20 { history.append(change(version), size: 100) }
        #expect(known() == [17, 18, 19, 20])
        #expect(history.forgotten == 16)
        #expect(history.events(after: 18).map(\.resourceVersion) == [19, 20])
        for version in 21...22 { history.append(change(version), size: 20 << 20) }
        #expect(known() == [22])
        history.append(change(23), size: 1 << 30)
        #expect(known() == [23])
        history.append(change(24), size: 100)
        #expect(known() == [24])
    }

    @Test("a pod that no node runs ends at once")
    func lostPod() async throws {
        try await withStore { store, _ in
            _ = try store.create(.node, ["metadata": ["name": "here"]])
            for node in ["here", "gone"] {
                _ = try store.create(.pod, ["metadata": ["name": .string(node)], "spec": ["nodeName": .string(node)]])
                try store.delete(.pod, "default", node)
            }
            #expect(store.get(.pod, "default", "here") != nil)
            #expect(store.get(.pod, "default", "gone") == nil)
        }
    }

    @Test("a long generateName is cut, so that the name can be a host's")
    func longNames() async throws {
        try await withStore { store, _ in
            let prefix = String(repeating: "n", count: 70)
            let created = try store.create(.configMap, ["metadata": ["generateName": .string(prefix)]])
            #expect(created.at("metadata", "name")?.string?.utf8.count == 63)
            #expect(created.at("metadata", "generateName") == .string(prefix))
        }
    }

    @Test("names from generateName are unique, and a missing namespace is refused")
    func names() async throws {
        try await withStore { store, _ in
            let names = try (0..<50).map { _ in
                try store.create(.configMap, ["metadata": ["generateName": "x-"]]).at("metadata", "name")?.string
            }
            #expect(Set(names).count == 50)
            let error = #expect(throws: StatusError.self) {
                _ = try store.create(.configMap, ["metadata": ["name": "a", "namespace": "nowhere"]])
            }
            #expect(error?.message == "namespaces \"nowhere\" not found")
        }
    }
}
