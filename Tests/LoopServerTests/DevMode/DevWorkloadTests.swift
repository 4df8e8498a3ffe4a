import JSON
@testable import LoopServer
import Testing

@Suite("Dev mode's patches") struct DevWorkloadTests {
    @Test("the patch names the version that it was made for, and only what differs")
    func patch() throws {
        let workload = DevFixture.deployment()
        let entered = try DevFixture.enter(workload, DevFixture.inputs())
        let patch = try #require(DevWorkload.patch(from: workload, to: entered)?.array)
        #expect(patch.first == ["op": "replace", "path": "/metadata/resourceVersion", "value": "7"])
        #expect(
            patch.dropFirst().map { "\($0["op"]?.string ?? "") \($0["path"]?.string ?? "")" } == [
                "replace /spec/template/spec/containers", "add /spec/template/spec/volumes",
                "add /metadata/annotations",
            ])
        #expect(DevWorkload.patch(from: entered, to: entered) == nil)
        let back = try #require(DevWorkload.patch(from: entered, to: try DevFixture.leave(entered))?.array)
        #expect(
            back.dropFirst().map { "\($0["op"]?.string ?? "") \($0["path"]?.string ?? "")" } == [
                "replace /spec/template/spec/containers", "remove /spec/template/spec/volumes",
                "remove /metadata/annotations/loopd.dev~1dev-mode",
            ])
    }

    @Test("what kubectl remembers of loopd's own apply is the original again afterwards")
    func lastApplied() throws {
        let manifest: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["annotations": [:], "name": "app", "namespace": "d"],
            "spec": [
                "template": [
                    "spec": ["containers": [["command": ["sh", "-c", "a <b >c &"], "image": "i", "name": "app"]]]
                ]
            ],
        ]
        let carried = try DevFixture.enter(manifest, DevFixture.inputs())
        // As the server has it: completed, with what kubectl remembers.
        var live = try DevFixture.enter(DevFixture.deployment(), DevFixture.inputs())
        live["metadata"]?["annotations"]?[DevWorkload.lastApplied] = .string(carried.text)
        let left = try DevFixture.leave(live)
        let text = try #require(left.at("metadata", "annotations")?[DevWorkload.lastApplied]?.string)
        #expect(try JSON(parsing: text) == manifest)
        #expect(text.hasSuffix("\n") && text.contains("a \\u003cb \\u003ec \\u0026"))
        // Manifests that somebody else has applied stay what they were.
        live["metadata"]?["annotations"]?[DevWorkload.lastApplied] = .string(manifest.text)
        #expect(
            try DevFixture.leave(live).at("metadata", "annotations")?[DevWorkload.lastApplied] == .string(manifest.text)
        )
    }

    @Test("a manifest that is applied while another session has dev mode carries its fields along")
    func carried() throws {
        let workload = DevFixture.deployment()
        let live = try DevFixture.enter(workload, DevFixture.inputs())
        let record = try #require(DevRecord(of: live))
        let manifest = DevFixture.deployment(container: ["image": "registry/app:2"])
        let carried = DevWorkload.carried(manifest, record, from: live)
        #expect(record.isHeld(by: carried))
        #expect(carried.podSpec.named("app", in: "containers")?["image"] == "registry/app:2")
        #expect(DevRecord(of: carried) == record)
    }

    // MARK: - Field managers

    private static func entry(_ manager: String, _ time: String, _ container: JSON, subresource: String? = nil) -> JSON
    {
        var entry: JSON = [
            "manager": .string(manager), "operation": "Update", "time": .string(time),
            "fieldsV1": [
                "f:spec": ["f:template": ["f:spec": ["f:containers": [#"k:{"name":"app"}"#: container]]]]
            ],
        ]
        entry["subresource"] = subresource.map(JSON.string)
        return entry
    }

    @Test("who took it back is the last of those who own a field of it")
    func reverter() throws {
        var workload = try DevFixture.enter(DevFixture.deployment(), DevFixture.inputs())
        let record = try #require(DevRecord(of: workload))
        workload.podSpec.change("app", in: "containers") { $0["command"] = ["theirs"] }
        let lost = record.lost(in: workload)
        func named(_ entries: JSON...) -> String? {
            var workload = workload
            workload["metadata"]?["managedFields"] = .array(entries)
            return FieldManagers.reverter(of: lost, in: workload)
        }
        let early = DevWorkloadTests.entry("helm", "2026-01-01T00:00:01Z", ["f:command": [:]])
        let late = DevWorkloadTests.entry("argo", "2026-01-01T00:00:05Z", ["f:command": [:], "f:image": [:]])
        let other = DevWorkloadTests.entry("scaler", "2026-01-01T00:00:09Z", ["f:image": [:]])
        let own = DevWorkloadTests.entry("loopd", "2026-01-01T00:00:10Z", ["f:command": [:]])
        let status = DevWorkloadTests.entry("manager", "2026-01-01T00:00:11Z", [:], subresource: "status")
        #expect(named(early, other, own, status) == "helm")
        #expect(named(late, early, other) == "argo")
        // Who takes a field away owns nothing of it.
        #expect(named(other, own, status) == "scaler")
        #expect(named(own, status) == nil)
    }

    @Test("afterwards loopd owns no field but those that it has applied")
    func release() {
        var workload = DevFixture.deployment()
        #expect(FieldManagers.release(of: workload) == nil)
        let (own, other) = (DevWorkloadTests.entry("loopd", "t", [:]), DevWorkloadTests.entry("helm", "t", [:]))
        workload["metadata"]?["managedFields"] = [own, other]
        #expect(
            FieldManagers.release(of: workload) == [
                ["op": "replace", "path": "/metadata/resourceVersion", "value": "7"],
                ["op": "replace", "path": "/metadata/managedFields", "value": [other]],
            ])
        workload["metadata"]?["managedFields"] = [other]
        #expect(FieldManagers.release(of: workload) == nil)
        // What it has applied stays loopd's, so that a later apply can take it away.
        var applied = own
        applied["operation"] = "Apply"
        workload["metadata"]?["managedFields"] = [applied, own, other]
        #expect(FieldManagers.release(of: workload)?.array?.last?["value"] == [applied, other])
        workload["metadata"]?["managedFields"] = [applied, other]
        #expect(FieldManagers.release(of: workload) == nil)
        // An empty list would take everybody's fields away.
        workload["metadata"]?["managedFields"] = [own]
        #expect(FieldManagers.release(of: workload) == nil)
    }

    // MARK: - Programs

    @Test("what a debugger reads is cut off a program; what is no program stays")
    func stripping() throws {
        let path = try #require(Programs.find().helpers["amd64"] ?? Programs.find().helpers["arm64"])
        let program = try HelperProgram.load(
            architecture: path.hasSuffix("arm64") ? "arm64" : "amd64", from: Programs.find())
        #expect(program.bytes.count < 1 << 20)
        #expect(program.bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46]))
        for text in [
            [], [1, 2, 3], Array("#!/bin/sh\n".utf8),
            [0x7F, 0x45, 0x4C, 0x46, 2, 1] + [UInt8](repeating: 0xFF, count: 100),
        ] {
            #expect(ElfStripping.stripped(text) == nil)
        }
    }
}
