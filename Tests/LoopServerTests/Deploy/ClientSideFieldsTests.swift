import JSON
import Testing

@testable import LoopServer

@Suite("Fields that kubectl has set") struct ClientSideFieldsTests {
    private static func entry(_ manager: String, _ operation: String, _ fields: JSON, at time: String = "1") -> JSON {
        [
            "manager": .string(manager), "operation": .string(operation), "apiVersion": "v1", "time": .string(time),
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        ]
    }

    private static func object(_ entries: [JSON], last: JSON = [:], data: JSON = [:]) -> JSON {
        let annotations: JSON = ["kubectl.kubernetes.io/last-applied-configuration": .string(last.text)]
        return [
            "metadata": [
                "name": "x", "resourceVersion": "7", "annotations": annotations, "managedFields": .array(entries),
            ], "data": data,
        ]
    }

    @Test("kubectl's entry becomes loopd's, beside those of others, for the version that was read")
    func takeover() throws {
        let kubectl = Self.entry("kubectl-client-side-apply", "Update", ["f:data": [".": [:], "f:a": [:]]])
        let other = Self.entry("hpa", "Update", ["f:spec": ["f:replicas": [:]]])
        let fields = try #require(ClientSideFields(of: Self.object([kubectl, other])))
        let patch = fields.takeover
        #expect(patch[0] == ["op": "replace", "path": "/metadata/resourceVersion", "value": "7"])
        let entries = patch[1]?["value"]?.array ?? []
        #expect(entries.map { $0["manager"] } == ["hpa", "loopd"])
        #expect(entries.last?["operation"] == "Apply")
        #expect(entries.last?["fieldsV1"] == kubectl["fieldsV1"])

        let own = Self.entry("loopd", "Apply", ["f:data": ["f:b": [:]]], at: "2")
        let both = try #require(ClientSideFields(of: Self.object([own, kubectl, other])))
        let joined = both.takeover[1]?["value"]?.array ?? []
        #expect(joined.count == 2)
        #expect(joined.last?["fieldsV1"] == ["f:data": ["f:b": [:], ".": [:], "f:a": [:]]])
    }

    @Test("what others have written is left alone: image rollouts, status, and server-side applies of kubectl")
    func nothing() {
        var status = Self.entry("kubectl-client-side-apply", "Update", ["f:status": [:]])
        status["subresource"] = "status"
        let others = [
            Self.entry("loopd", "Update", ["f:spec": [:]]), Self.entry("kubectl", "Apply", ["f:data": [:]]), status,
        ]
        #expect(ClientSideFields(of: Self.object(others)) == nil)
        #expect(ClientSideFields(of: ["metadata": ["name": "x"]]) == nil)
    }

    @Test("a leaf and its parts are one set that has both")
    func union() {
        #expect(ClientSideFields.union(["f:a": [:]], ["f:a": ["f:b": [:]]]) == ["f:a": [".": [:], "f:b": [:]]])
        #expect(ClientSideFields.union(["f:a": ["f:b": [:]]], ["f:a": [:]]) == ["f:a": ["f:b": [:], ".": [:]]])
        #expect(ClientSideFields.union(["f:a": [:]], ["f:a": [:], "f:c": [:]]) == ["f:a": [:], "f:c": [:]])
    }

    @Test("what kubectl has applied and the manifest has no more is foreseen to go, unless another one has set it, too")
    func removed() throws {
        let kubectl = Self.entry("kubectl-client-side-apply", "Update", ["f:data": [:], "f:spec": [:]])
        let other = Self.entry("hpa", "Update", ["f:data": ["f:shared": [:]]])
        let last: JSON = [
            "metadata": ["name": "x"], "data": ["a": "1", "b": "2", "shared": "3"],
            "spec": ["list": [["name": "one", "x": 1, "y": 2], ["name": "two"]], "ports": [1, 2]],
        ]
        let fields = try #require(ClientSideFields(of: Self.object([kubectl, other], last: last)))
        let applied: JSON = [
            "metadata": ["name": "x"], "data": ["a": "1", "b": "2", "shared": "3", "theirs": "4"],
            "spec": [
                "list": [["name": "one", "x": 1, "y": 2, "default": 3], ["name": "two"], ["name": "three"]],
                "ports": [1],
            ],
        ]
        let wanted: JSON = [
            "metadata": ["name": "x"], "data": ["a": "1"], "spec": ["list": [["name": "one", "x": 1]], "ports": [1]],
        ]
        #expect(
            fields.removed(from: applied, wanted: wanted) == [
                "metadata": ["name": "x"], "data": ["a": "1", "shared": "3", "theirs": "4"],
                "spec": ["list": [["name": "one", "x": 1, "default": 3], ["name": "three"]], "ports": [1]],
            ])
        #expect(fields.removed(from: applied, wanted: applied) == applied)
        let unknown = try #require(ClientSideFields(of: Self.object([kubectl])))
        #expect(unknown.removed(from: applied, wanted: wanted) == applied)
    }

    @Test("the workloads that kubectl has changed are found by its own lines")
    func workloads() {
        func reference(_ kind: String, _ apiVersion: String, _ name: String) -> ObjectReference {
            ObjectReference(apiVersion: apiVersion, kind: kind, namespace: "a", name: name)
        }
        let all = [
            reference("Deployment", "apps/v1", "web"), reference("Deployment", "apps/v1", "other"),
            reference("ConfigMap", "v1", "web"), reference("Job", "batch/v1", "once"), reference("Pod", "v1", "bare"),
            reference("Deployment", "example.org/v1", "web"),
        ]
        let lines = [
            "configmap/web created", "deployment.apps/web configured", "job.batch/once created", "pod/bare created",
            "deployment.example.org/web created",
        ]
        #expect(
            StartManifests.workloads(among: all, in: lines).map(\.description) == [
                "deployment/web", "job/once", "pod/bare",
            ])
    }
}
