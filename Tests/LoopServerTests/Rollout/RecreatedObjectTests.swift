import JSON
import Testing

@testable import LoopServer

@Suite("What is made anew")
struct RecreatedObjectTests {
    static let job: JSON = [
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": [
            "name": "once", "namespace": "d", "uid": "u1", "resourceVersion": "7", "generation": 1,
            "creationTimestamp": "2026-11-21T00:40:11Z", "generateName": "on",
            "labels": ["team": "a", "controller-uid": "u1", "job-name": "once"],
            "annotations": ["note": "n", "batch.kubernetes.io/job-tracking": "", Lease.annotation: "{}"],
            "ownerReferences": [["kind": "App", "name": "a", "uid": "o"]],
            "finalizers": ["foregroundDeletion", "acme.org/keep"], "managedFields": [[:]],
        ],
        "spec": [
            "backoffLimit": 3, "selector": ["matchLabels": ["batch.kubernetes.io/controller-uid": "u1"]],
            "template": [
                "metadata": [
                    "labels": [
                        "app": "once", "controller-uid": "u1", "job-name": "once",
                        "batch.kubernetes.io/controller-uid": "u1", "batch.kubernetes.io/job-name": "once",
                    ]
                ],
                "spec": ["containers": [["name": "c", "image": "web:1"]], "restartPolicy": "Never"],
            ],
        ],
        "status": ["succeeded": 1],
    ]

    @Test("a Job keeps what people have said of it, and loses what ties it to its pods")
    func jobs() {
        let expected: JSON = [
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": [
                "name": "once", "namespace": "d", "labels": ["team": "a"],
                "annotations": ["note": "n", Lease.annotation: "{}"],
                "ownerReferences": [["kind": "App", "name": "a", "uid": "o"]], "finalizers": ["acme.org/keep"],
            ],
            "spec": [
                "backoffLimit": 3,
                "template": [
                    "metadata": ["labels": ["app": "once"]],
                    "spec": ["containers": [["name": "c", "image": "web:1"]], "restartPolicy": "Never"],
                ],
            ],
        ]
        #expect(RecreatedObject.manifest(of: Self.job, .job) == expected)
        #expect(RecreatedObject.manifest(of: expected, .job) == expected)
    }

    @Test("a selector of its own stays, with its labels")
    func manualSelector() {
        var job = Self.job
        job["spec"]?["manualSelector"] = true
        let manifest = RecreatedObject.manifest(of: job, .job)
        #expect(manifest["spec"] == job["spec"])
    }

    @Test("a pod loses its node, its token and what admission has added")
    func pods() throws {
        let recorded = try #require(try Recording.json("pods/running.json")["items"]?[0])
        var pod = recorded
        pod["spec"]?["volumes"] = [
            ["name": "data", "emptyDir": [:]], ["name": "kube-api-access-x7k2p", "projected": ["sources": []]],
        ]
        pod["spec"]?["priority"] = 0
        pod["spec"]?["ephemeralContainers"] = [["name": "debugger", "image": "busybox"]]
        pod.change("app", in: "nothing") { _ in }
        var spec = pod["spec"] ?? [:]
        spec.change("app", in: "containers") {
            $0["volumeMounts"] = [
                ["name": "data", "mountPath": "/data"],
                ["name": "kube-api-access-x7k2p", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"],
            ]
        }
        pod["spec"] = spec
        let manifest = RecreatedObject.manifest(of: pod, .pod)
        for key in ["nodeName", "priority", "ephemeralContainers", "preemptionPolicy"] {
            #expect(manifest.at("spec", key) == nil, "\(key)")
        }
        #expect(manifest.at("spec", "volumes") == [["name": "data", "emptyDir": [:]]])
        #expect(manifest.at("spec", "containers")?[0]?["volumeMounts"] == [["name": "data", "mountPath": "/data"]])
        #expect(manifest["status"] == nil)
        #expect(manifest.at("metadata", "labels") == pod.at("metadata", "labels"))
        // Whoever has asked for a node gets it.
        pod["metadata"]?["managedFields"] = [["manager": "kubectl", "fieldsV1": ["f:spec": ["f:nodeName": [:]]]]]
        #expect(RecreatedObject.manifest(of: pod, .pod).at("spec", "nodeName") == pod.at("spec", "nodeName"))
    }

    @Test("without consent, and a pod that a controller makes, is left")
    func obstacles() {
        let job = Recreation.obstacle(to: Self.job, .job, mayRecreate: false)
        #expect(job?.summary == "job/once keeps its image: the template of a Job cannot be changed")
        #expect(job?.nextStep?.contains("\"recreate\": true") == true)
        #expect(Recreation.obstacle(to: Self.job, .job, mayRecreate: true) == nil)
        let pod: JSON = [
            "metadata": [
                "name": "web-1", "ownerReferences": [["kind": "ReplicaSet", "name": "web", "controller": true]],
            ]
        ]
        let owned = Recreation.obstacle(to: pod, .pod, mayRecreate: true)
        #expect(
            owned?.summary == "pod/web-1 belongs to replicaset/web, which makes it as it likes: it gets no other image")
    }
}
