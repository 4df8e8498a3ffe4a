import JSON
@testable import LoopServer
import Testing

@Suite("Pods and workloads as recorded")
struct PodStateTests {
    @Test(
        "why a pod is not ready is one line with the cause",
        arguments: [
            ("running", nil),
            ("readonly", nil),
            ("crash", "crash-58bf6bd977-r49zb: container \"crash\" exited with code 3 (restarted 3 times)"),
            (
                "imagepull",
                "imagepull-6fcccf979f-pjvn6: container \"imagepull\": node lab cannot pull image "
                    + "localhost:5000/nosuch:dev: localhost:5000 has no such image or tag"
            ),
            (
                "oom",
                "oom-6b8c79cfd5-v4z6n: container \"oom\" was killed for using more memory than its limit of 24Mi "
                    + "(restarted 3 times)"
            ),
            (
                "noconfig",
                "noconfig-788f764b7b-dtbvh: container \"noconfig\" cannot be created: there is no ConfigMap "
                    + "\"missing-config\""
            ),
            ("unsched", "unsched-75dccc7668-kkktj: no node takes it: 0/1 nodes are available: 1 Insufficient cpu"),
            ("notready", "notready-799544f56f-d6m2x: container \"notready\" runs but is not ready yet"),
            (
                "nocmd",
                "nocmd-5cc68fdd4c-r8d59: container \"nocmd\" cannot start: there is no \"/no/such/binary\" in the image"
            ),
            (
                "liveness",
                "liveness-dbdb87578-fk4vn: container \"liveness\" was ended by SIGKILL (exit code 137): something "
                    + "killed it, and neither its own memory limit nor a probe is named (restarted 4 times)"
            ),
            ("pvc", "pvc-6c57c96ccd-5x2q7: there is no PersistentVolumeClaim \"missing\""),
            (
                "initfail",
                "initfail-996b58b95-xngd7: init container \"migrate\" exited with code 1 (restarted 3 times)"
            ),
        ] as [(String, String?)])
    func reasons(file: String, reason: String?) throws {
        let pods = try Recording.pods(file)
        #expect(pods.count == 1)
        #expect(PodDiagnosis.reason(pods[0]) == reason)
    }

    @Test("a container in dev mode is known by its command; what restarts need is there, or what stands for it")
    func devMode() throws {
        let pod: JSON = [
            "metadata": ["name": "web-1", "uid": "u", "ownerReferences": [["controller": true, "uid": "set"]]],
            "spec": [
                "nodeName": "node", "terminationGracePeriodSeconds": 5,
                "containers": [
                    ["name": "web", "command": ["/.loopd/bin/helper", "supervise", "--", "/srv/web"]],
                    ["name": "side", "command": ["/.loopd/bin/helper"]],
                ],
            ],
            "status": [
                "phase": "Running",
                "containerStatuses": [
                    ["name": "web", "containerID": "c://1", "state": ["running": [:]]],
                    ["name": "side", "containerID": "c://2", "state": ["running": [:]]],
                ],
            ],
        ]
        let web = try #require(PodState(pod).instance(of: "web"))
        #expect(web.isInDevMode && web.hasController && web.gracePeriod == .seconds(5))
        var bare = pod
        bare["metadata"] = ["name": "web-1", "uid": "u"]
        bare["spec"] = ["nodeName": "node", "containers": [["name": "side"]]]
        let side = try #require(PodState(bare).instance(of: "side"))
        #expect(!side.isInDevMode && !side.hasController && side.gracePeriod == .seconds(30))
        #expect(try #require(PodState(pod).instance(of: "side")).isInDevMode == false)
    }

    @Test("what is missing, null or of another kind than expected is as if it were not there")
    func holes() {
        for hole in [nil, .null, "text", 7, [], [nil], [:]] as [JSON?] {
            var pod: JSON = [:]
            for key in ["metadata", "spec", "status"] { pod[key] = hole }
            #expect(PodState(pod).instance(of: "web") == nil)
            let status: JSON = ["name": "web", "containerID": "containerd://1", "ready": true]
            pod = [
                "spec": ["nodeName": "n", "containers": [["name": "web"]]], "status": [:], "metadata": ["uid": "u"],
            ]
            for state in [["running": hole ?? .null, "waiting": ["reason": "R"]], ["waiting": hole ?? .null]] as [JSON]
            {
                var status = status
                status["state"] = state
                status["lastState"] = ["terminated": hole ?? .null]
                pod["status"]?["containerStatuses"] = [status]
                let container = PodState(pod).containers[0]
                // An object without content is what a start without a time would be.
                if hole != [:] { #expect(container.now != .running) }
                if hole == nil { #expect(container.last == nil) }
            }
        }
    }

    @Test(
        "why no pod exists stands in the workload's condition",
        arguments: [
            ("quota", "no pod of quota can be created: ResourceQuota \"q\" is used up"),
            ("pod-security", "no pod of psa can be created: Pod Security \"restricted\" refuses it"),
        ])
    func noPods(file: String, reason: String) throws {
        let state = WorkloadState(workload: try Recording.json("deployments/\(file).json"))
        #expect(state.reason(container: nil)?.hasPrefix(reason) == true)
    }

    @Test("a healthy workload has no reason", arguments: ["app", "readonly"])
    func healthy(file: String) throws {
        let workload = try Recording.json("deployments/\(file).json")
        #expect(PodDiagnosis.reason(workload: workload) == nil)
    }

    @Test("a crashed container that has just been started again still shows its crash")
    func startedAgain() throws {
        let list = try Recording.json("pods/crash.json")
        var pod = try #require(list["items"]?[0])
        var status = try #require(pod.at("status", "containerStatuses")?[0])
        status["state"] = ["running": ["startedAt": "2026-11-21T00:41:12Z"]]
        pod["status"]?["containerStatuses"] = [status]
        #expect(
            PodDiagnosis.reason(PodState(pod))
                == "crash-58bf6bd977-r49zb: container \"crash\" exited with code 3 (restarted 3 times)")
    }

    @Test("a running container is an instance, by the pod's uid and the container's id")
    func instance() throws {
        let pod = try Recording.pods("running")[0]
        #expect(pod.usualContainer == "app")
        let instance = try #require(pod.instance(of: "app"))
        #expect(instance.id.podUID == pod.uid)
        #expect(instance.id.containerID.hasPrefix("containerd://"))
        #expect(instance.node == "lab")
        #expect(pod.instance(of: "other") == nil)
    }

    @Test("a container that runs but is not ready is an instance; one that crashed is not")
    func readiness() throws {
        #expect(try Recording.pods("notready")[0].instance(of: "notready") != nil)
        #expect(try Recording.pods("crash")[0].instance(of: "crash") == nil)
    }

    @Test("a pod that is being deleted has no instance")
    func terminating() throws {
        var pod = try #require(try Recording.json("pods/running.json")["items"]?[0])
        pod["metadata"]?["deletionTimestamp"] = "2026-11-21T00:00:00Z"
        #expect(PodState(pod).instance(of: "app") == nil)
        #expect(PodDiagnosis.reason(PodState(pod)) == "app-84f897f96b-fcssn is being deleted")
    }

    @Test("a Deployment's pods are those of the ReplicaSet with its revision")
    func deployment() throws {
        // The Deployment is at revision 4, whose ReplicaSet is app-84f897f96b.
        let workload = try Recording.json("deployments/app.json")
        let sets = try Recording.json("objects/replicasets.json")["items"]?.array ?? []
        let now = try Recording.pods("running")
        let old = try Recording.lines("watch/pods-during-rollout.jsonl").compactMap { line in
            try JSON(parsing: line)["object"].map { PodState($0) }
        }
        .filter { $0.name.hasPrefix("app-5f856bfd8d") }
        #expect(!old.isEmpty)
        let current = WorkloadPods.current(.deployment, workload, revisions: sets, pods: now + old.prefix(1))
        #expect(current == now)
        #expect(workload.selectorText == "app=app")
    }

    @Test("a StatefulSet's pods are those of its update revision")
    func statefulSet() throws {
        let workload = try Recording.json("objects/statefulset.json")
        let uid = try #require(workload.at("metadata", "uid")?.string)
        let pods = ["db-67f9cdfb64", "db-old"].map { hash in
            PodState([
                "metadata": [
                    "name": .string("pod-\(hash)"), "labels": ["controller-revision-hash": .string(hash)],
                    "ownerReferences": [["controller": true, "uid": .string(uid)]],
                ]
            ])
        }
        #expect(
            WorkloadPods.current(.statefulset, workload, revisions: [], pods: pods).map(\.name) == ["pod-db-67f9cdfb64"]
        )
    }

    @Test("a DaemonSet's pods are those of its newest ControllerRevision; without any, all of them")
    func daemonSet() throws {
        let workload = try Recording.json("objects/daemonset.json")
        let uid = try #require(workload.at("metadata", "uid")?.string)
        let owner: JSON = [["controller": true, "uid": .string(uid)]]
        let pods = ["a", "b"].map { hash in
            PodState([
                "metadata": [
                    "name": .string(hash), "labels": ["controller-revision-hash": .string(hash)],
                    "ownerReferences": owner,
                ]
            ])
        }
        let revisions: [JSON] = [("a", 9), ("b", 10)].map { hash, number in
            [
                "metadata": ["labels": ["controller-revision-hash": .string(hash)], "ownerReferences": owner],
                "revision": .integer(number),
            ]
        }
        #expect(WorkloadPods.current(.daemonset, workload, revisions: revisions, pods: pods).map(\.name) == ["b"])
        #expect(WorkloadPods.current(.daemonset, workload, revisions: [], pods: pods).map(\.name) == ["a", "b"])
    }

    @Test("a selector with expressions is written in the API's syntax")
    func selector() {
        let workload: JSON = [
            "spec": [
                "selector": [
                    "matchLabels": ["b": "2", "a": "1"],
                    "matchExpressions": [
                        ["key": "c", "operator": "In", "values": ["x", "y"]],
                        ["key": "d", "operator": "NotIn", "values": ["z"]],
                        ["key": "e", "operator": "Exists"], ["key": "f", "operator": "DoesNotExist"],
                    ],
                ]
            ]
        ]
        #expect(workload.selectorText == "a=1,b=2,c in (x,y),d notin (z),e,!f")
    }
}
