import JSON
import Testing

@testable import LoopServer

@Suite("What a deployment changes, in lines") struct ManifestDiffTests {
    private static let web = ObjectReference(apiVersion: "apps/v1", kind: "Deployment", namespace: "a", name: "web")

    struct Case: Sendable {
        let old: JSON?
        let new: JSON?
        let lines: [String]
    }

    private static func pods(_ containers: JSON, replicas: JSON = 1) -> JSON {
        ["spec": ["replicas": replicas, "template": ["spec": ["containers": containers]]]]
    }

    static let cases = [
        Case(old: nil, new: ["spec": ["replicas": 1]], lines: ["+ deployment/web"]),
        Case(old: ["spec": [:]], new: nil, lines: ["- deployment/web"]),
        Case(
            old: pods([["name": "web", "image": "web:1"]]),
            new: pods([["name": "web", "image": "web:2"]], replicas: 2),
            lines: [
                "~ deployment/web  spec.replicas 1 → 2",
                "~ deployment/web  spec.template.spec.containers[web].image web:1 → web:2",
            ]),
        Case(
            old: pods([["name": "web", "args": ["a", "b"]]]),
            new: pods([["name": "log"], ["name": "web", "args": ["a", "c", "d"]]]),
            lines: [
                "~ deployment/web  spec.template.spec.containers[web].args[1] b → c",
                "~ deployment/web  spec.template.spec.containers[web].args[2] (none) → d",
                "~ deployment/web  spec.template.spec.containers[log] (none) → {\"name\":\"log\"}",
            ]),
        Case(
            old: ["metadata": ["labels": ["app.kubernetes.io/name": "a"]], "data": ["text": "one\ntwo"]],
            new: ["metadata": ["labels": ["app.kubernetes.io/name": "b"]], "data": ["text": ""]],
            lines: [
                "~ deployment/web  data.text one⏎two → \"\"",
                "~ deployment/web  metadata.labels[app.kubernetes.io/name] a → b",
            ]),
    ]

    @Test("new, gone, and each field that changes; named elements by their names", arguments: cases)
    func lines(example: Case) {
        let lines = ManifestDiff.lines(ManifestDiffTests.web, from: example.old, to: example.new)
        #expect(lines.sorted() == example.lines.sorted())
    }

    @Test("what only the cluster keeps is no difference")
    func bookkeeping() {
        let old: JSON = [
            "metadata": [
                "name": "web", "generation": 3, "resourceVersion": "7", "uid": "u", "managedFields": [],
                "annotations": ["deployment.kubernetes.io/revision": "2"],
            ], "spec": ["replicas": 1], "status": ["replicas": 1],
        ]
        let new: JSON = ["metadata": ["name": "web", "generation": 4], "spec": ["replicas": 1]]
        #expect(ManifestDiff.lines(ManifestDiffTests.web, from: old, to: new) == [])
    }

    @Test("a Secret's values never appear, however they change")
    func secrets() {
        let secret = ObjectReference(apiVersion: "v1", kind: "Secret", namespace: "a", name: "login")
        let states: [JSON?] = [
            nil, ["data": ["password": "aHVudGVyMg==", "tls.crt": "aHVudGVyMg=="]],
            ["data": ["password": "bmV3aHVudGVyMg=="]], ["stringData": ["a": "aHVudGVyMg=="]],
            ["metadata": ["annotations": ["x": "aHVudGVyMg=="]]], ["data": "aHVudGVyMg=="],
        ]
        for old in states {
            for new in states {
                let lines = ManifestDiff.lines(secret, from: old, to: new)
                #expect(!lines.joined().contains("HVudGVyMg"), "\(lines)")
            }
        }
        #expect(
            ManifestDiff.lines(secret, from: states[1], to: states[2]).sorted() == [
                "~ secret/login  data.password changed", "~ secret/login  data[tls.crt] removed",
            ])
    }

    @Test("of many lines only so many are shown")
    func shortened() {
        let lines = (1...30).map { "~ \($0)" }
        let shown = ManifestDiff.shortened(lines)
        #expect(shown.count == 20 && shown.last == "… and 11 more")
        #expect(ManifestDiff.shortened(Array(lines.prefix(20))) == Array(lines.prefix(20)))
    }
}
