import JSON
import Testing

@testable import LoopServer

@Suite("Changes that the cluster refuses for good") struct ImmutableChangeTests {
    private static func reference(_ kind: String, _ apiVersion: String = "v1") -> ObjectReference {
        ObjectReference(apiVersion: apiVersion, kind: kind, namespace: "a", name: "x")
    }

    private static func error(_ causes: [(String, String)], code: Int = 422) -> KubeError {
        KubeError(
            status: [
                "code": .integer(Int64(code)), "reason": "Invalid", "message": "it is invalid",
                "details": ["causes": .array(causes.map { ["field": .string($0.0), "message": .string($0.1)] })],
            ])
    }

    struct Case: Sendable {
        let kind: String
        var apiVersion = "v1"
        let causes: [(String, String)]
        /// What is said; `nil` for what is refused for another reason.
        let words: String?
    }

    static let cases = [
        Case(
            kind: "Job", apiVersion: "batch/v1",
            causes: [("spec.template", "Invalid value: core.PodTemplateSpec{a: b}: field is immutable")],
            words: "its template changed, and a Job's template is immutable"),
        Case(
            kind: "Job", apiVersion: "batch/v1",
            causes: [("spec.completions", "Invalid value: 3: field is immutable")],
            words: "its spec.completions changed, and a Job's spec.completions is immutable"),
        Case(
            kind: "Pod",
            causes: [
                (
                    "spec",
                    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`\n  core.Pod{"
                )
            ], words: "its spec changed, and a pod's spec is immutable"),
        Case(
            kind: "Deployment", apiVersion: "apps/v1",
            causes: [("spec.selector", "Invalid value: {\"matchLabels\":{\"a\":\"b\"}}: field is immutable")],
            words: "spec.selector is immutable"),
        Case(
            kind: "StatefulSet", apiVersion: "apps/v1",
            causes: [
                (
                    "spec",
                    "Forbidden: updates to statefulset spec for fields other than 'replicas' and 'x' are forbidden"
                )
            ], words: "spec: updates to statefulset spec for fields other than 'replicas' and 'x' are forbidden"),
        Case(
            kind: "Service", causes: [("spec.clusterIPs[0]", "Invalid value: [\"None\"]: may not change once set")],
            words: "spec.clusterIPs[0]: may not change once set"),
        Case(
            kind: "PersistentVolumeClaim",
            causes: [
                (
                    "spec",
                    "Forbidden: spec is immutable after creation except resources.requests for bound claims\n@@ -1 +1 @@"
                )
            ], words: "spec: spec is immutable after creation except resources.requests for bound claims"),
        Case(
            kind: "ConfigMap",
            causes: [
                ("data", "Forbidden: field is immutable when `immutable` is set"),
                ("data", "Forbidden: field is immutable when `immutable` is set"),
            ], words: "data is immutable"),
        Case(
            kind: "RoleBinding", apiVersion: "rbac.authorization.k8s.io/v1",
            causes: [("roleRef", "Invalid value: rbac.RoleRef{Kind: \"Role\"}: cannot change roleRef")],
            words: "roleRef: cannot change roleRef"),
        Case(
            kind: "Widget", apiVersion: "example.org/v1",
            causes: [("spec.size", "Invalid value: \"string\": size is immutable")],
            words: "spec.size: size is immutable"),
        // One that cannot be right beside it: then nothing is applied.
        Case(
            kind: "Job", apiVersion: "batch/v1",
            causes: [
                ("spec.template", "Invalid value: {}: field is immutable"),
                ("spec.template.spec.containers", "Required value"),
            ], words: nil),
        Case(kind: "Deployment", apiVersion: "apps/v1", causes: [("spec.replicas", "Invalid value: -1")], words: nil),
        Case(kind: "Deployment", apiVersion: "apps/v1", causes: [], words: nil),
    ]

    @Test("what cannot change is told in one line, and other refusals are none of it", arguments: cases)
    func words(example: Case) {
        let reference = Self.reference(example.kind, example.apiVersion)
        let change = ImmutableChange(Self.error(example.causes), of: reference)
        let summary = example.words.map { "\(example.kind.lowercased())/x stays as it is: \($0)" }
        #expect(change?.failure.summary == summary)
        #expect(ImmutableChange(Self.error(example.causes, code: 400), of: reference) == nil)
    }

    @Test("what to do: consent for what runs, and otherwise a deletion by hand that keeps what it can")
    func nextSteps() {
        func step(_ kind: String, _ apiVersion: String) -> String? {
            ImmutableChange(reference: Self.reference(kind, apiVersion), fields: ["spec"]).failure.nextStep
        }
        #expect(step("Job", "batch/v1")?.contains("\"recreate\": true") == true)
        #expect(step("Pod", "v1")?.contains("\"recreate\": true") == true)
        #expect(step("Service", "v1") == "`kubectl delete service/x -n a`, and the next deployment makes it anew")
        #expect(step("StatefulSet", "apps/v1")?.contains("delete statefulset/x -n a --cascade=orphan`") == true)
        #expect(step("PersistentVolumeClaim", "v1")?.hasPrefix("take the change back") == true)
    }

    @Test("a change of what a Job or a pod runs is seen before the cluster is asked")
    func foreseen() {
        let old: JSON = ["spec": ["parallelism": 1, "template": ["a": 1]]]
        let scaled: JSON = ["spec": ["parallelism": 2, "template": ["a": 1]]]
        let changed: JSON = ["spec": ["parallelism": 1, "template": [:]]]
        let (job, pod) = (Self.reference("Job", "batch/v1"), Self.reference("Pod"))
        #expect(ImmutableChange(job, from: old, to: scaled) == nil)
        #expect(
            ImmutableChange(job, from: old, to: changed)?.line == "! job/x  is made anew: its template is immutable")
        #expect(ImmutableChange(pod, from: old, to: scaled)?.line == "! pod/x  is made anew: its spec is immutable")
        #expect(ImmutableChange(Self.reference("Deployment", "apps/v1"), from: old, to: changed) == nil)
    }
}
