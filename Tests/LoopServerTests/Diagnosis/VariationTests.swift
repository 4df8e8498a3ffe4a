import JSON
@testable import LoopServer
import Testing

@Suite("Variations of the recorded states")
struct VariationTests {
    @Test(
        "an exit code is told with what it means",
        arguments: [
            (0, "exited with code 0, although it is to keep running"), (1, "exited with code 1"),
            (126, "exited with code 126: a command that is no program"),
            (127, "exited with code 127: a command that the image does not have"),
            (134, "ended by SIGABRT (exit code 134)"), (137, "ended by SIGKILL (exit code 137): something killed it"),
            (139, "ended by SIGSEGV (exit code 139): invalid memory access"), (143, "ended by SIGTERM (exit code 143)"),
            (132, "ended by SIGILL (exit code 132)"),
        ])
    func exitCodes(code: Int64, words: String) throws {
        var recorded = try RecordedPicture("crash")
        recorded.setContainer(["terminated": ["exitCode": .integer(code), "reason": "Error"]])
        #expect(try #require(recorded.cause()).contains(words))
    }

    @Test("a program of another architecture in a script is recognised by its words")
    func architecture() throws {
        var recorded = try RecordedPicture("crash")
        recorded.logs = ["crash": ["/start.sh: line 2: /srv/web: cannot execute binary file: Exec format error"]]
        #expect(try #require(recorded.cause()).contains("another architecture"))
    }

    @Test("a crash that wrote nothing says so; one that left a message shows it")
    func silent() throws {
        var recorded = try RecordedPicture("crash")
        recorded.setContainer(["terminated": ["exitCode": 3]])
        #expect(try #require(recorded.cause()).contains("it wrote nothing to its log"))
        recorded.setContainer(["terminated": ["exitCode": 3, "message": "cannot bind"]])
        #expect(try #require(recorded.cause()).contains("\ncannot bind\n"))
    }

    @Test("the log is asked for where the crash is: the present run, or the one before")
    func logs() throws {
        var recorded = try RecordedPicture("crash")
        let ended: JSON = ["terminated": ["exitCode": 3, "containerID": "containerd://ended"]]
        func question() -> Question? { recorded.picture.examine().questions.first }
        let pod = recorded.picture.state.pods[0].name
        recorded.setContainer(ended)
        #expect(
            question() == .log(pod: pod, container: "crash", run: "containerd://ended", isPrevious: false))
        recorded.setContainer(["waiting": ["reason": "CrashLoopBackOff"]], last: ended)
        let previous = Question.log(pod: pod, container: "crash", run: "containerd://ended", isPrevious: true)
        #expect(question() == previous)
        recorded.setContainer(["running": ["startedAt": "2026-11-21T00:41:12Z"]], last: ended)
        #expect(question() == previous)
        // What was read before the restart is not asked for again.
        recorded.picture.answers = [
            .log(pod: pod, container: "crash", run: "containerd://ended", isPrevious: false): .lines(["error: x"])
        ]
        #expect(question() == nil)
    }

    @Test("a container that has crashed before and is ready now has no cause")
    func recovered() throws {
        var recorded = try RecordedPicture("crash")
        recorded.setContainer(
            ["running": ["startedAt": "2026-11-21T00:41:12Z"]], last: ["terminated": ["exitCode": 3]], ready: true,
            restarts: 4)
        recorded.changePod { $0["status"]?["conditions"] = [["type": "Ready", "status": "True"]] }
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        #expect(recorded.cause() == nil)
    }

    @Test(
        "a container that its node has started again is no failure, until it takes too long",
        arguments: [("Unknown", 255, 1), ("Unknown", 255, 4), ("Error", 255, 1), ("ContainerStatusUnknown", 137, 1)])
    func returned(reason: String, code: Int64, restarts: Int64) throws {
        var recorded = try RecordedPicture("notready")
        recorded.picture.events = []
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        let last: JSON = [
            "terminated": [
                "exitCode": .integer(code), "reason": .string(reason), "startedAt": "2026-11-20T18:02:11Z",
                "finishedAt": "2026-11-21T00:40:58Z", "containerID": "containerd://before",
            ]
        ]
        if reason != "Error" {
            recorded.setContainer(last, restarts: restarts - 1)
            #expect(recorded.cause() == nil)
        }
        let running: JSON = ["running": ["startedAt": "2026-11-21T00:41:12Z"]]
        recorded.setContainer(running, last: last, restarts: restarts)
        let uid = recorded.picture.state.pods[0].uid
        recorded.picture.ages = [uid: .seconds(1)]
        #expect(recorded.cause() == nil)
        #expect(recorded.picture.examine().recheck == .seconds(2))
        recorded.picture.ages = [uid: .seconds(3)]
        #expect(try #require(recorded.cause()).contains("runs but is not ready: its readiness probe fails"))
        // It has crashed again, by itself.
        let crash: JSON = ["terminated": ["exitCode": 255, "reason": "Error", "containerID": "containerd://next"]]
        recorded.setContainer(running, last: crash, restarts: restarts + 1)
        #expect(try #require(recorded.cause()).contains("exited with code 255"))
    }

    @Test("a killed program without a limit was killed for the node's memory")
    func memoryOfTheNode() throws {
        var recorded = try RecordedPicture("oom")
        recorded.changeSpec { $0["resources"] = [:] }
        #expect(try #require(recorded.cause()).contains("it has no limit, so the node had none left"))
    }

    @Test("a pod that is on its way has no cause, and neither has one that pulls its image")
    func starting() throws {
        for waiting in ["ContainerCreating", "PodInitializing", ""] {
            var recorded = try RecordedPicture("imagepull")
            recorded.setContainer(["waiting": ["reason": .string(waiting)]])
            recorded.picture.events = []
            recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
            recorded.picture.ages = [recorded.picture.state.pods[0].uid: .seconds(300)]
            #expect(recorded.cause() == nil)
        }
    }

    @Test("a readiness probe that nobody has seen failing is a cause only after its time")
    func lateness() throws {
        var recorded = try RecordedPicture("notready")
        recorded.picture.events = []
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        let uid = recorded.picture.state.pods[0].uid
        recorded.picture.ages = [uid: .seconds(2)]
        #expect(recorded.cause() == nil)
        // Three failures, one a second.
        #expect(recorded.picture.examine().recheck == .seconds(1))
        recorded.picture.ages = [uid: .seconds(3)]
        #expect(try #require(recorded.cause()).contains("its readiness probe fails"))
    }

    @Test("a server that does not listen yet is not called unready at once")
    func refused() throws {
        var recorded = try RecordedPicture("notready")
        let words =
            "Readiness probe failed: Get \"http://10.0.0.7:8080/healthz\": dial tcp 10.0.0.7:8080: connect: "
            + "connection refused"
        recorded.changeSpec { $0["readinessProbe"] = ["httpGet": ["path": "/healthz", "port": 8080]] }
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        recorded.picture.events = []
        recorded.warn("Unhealthy", words, container: "notready")
        #expect(recorded.cause() == nil)
        recorded.picture.events = []
        recorded.warn("Unhealthy", words, container: "notready", count: 3)
        let cause = try #require(recorded.cause())
        #expect(cause.contains("(GET /healthz on port 8080)"))
        #expect(cause.contains("does it listen on port 8080, and on 0.0.0.0"))
    }

    @Test(
        "a probe's answer is told, with what is likely behind it",
        arguments: [
            ("HTTP probe failed with statuscode: 404", "is /healthz the right path?"),
            ("HTTP probe failed with statuscode: 401", "the probe has no login"),
            ("HTTP probe failed with statuscode: 503", "its log: `kubectl logs"),
            ("exec: \"curl\": executable file not found in $PATH", "the probe's program is not in the image"),
        ])
    func probes(answer: String, advice: String) throws {
        var recorded = try RecordedPicture("notready")
        recorded.changeSpec { $0["readinessProbe"] = ["httpGet": ["path": "/healthz", "port": 8080]] }
        recorded.picture.events = []
        recorded.warn("Unhealthy", "Readiness probe failed: \(answer)", container: "notready")
        let cause = try #require(recorded.cause())
        #expect(cause.contains("\n\(answer)\n"))
        #expect(cause.contains(advice))
    }

    @Test("a probe or hook that names its whole command in its answer does not get the arguments told")
    func commands() throws {
        var recorded = try RecordedPicture("notready")
        recorded.picture.events = []
        recorded.warn(
            "Unhealthy", "Readiness probe failed: command timed out: \"check --password=hunter2\" timed out after 1s",
            container: "notready")
        let cause = try #require(recorded.cause())
        #expect(!cause.contains("hunter2"))
        #expect(cause.contains("the command timed out after 1s") && cause.contains("within timeoutSeconds"))
        recorded.setContainer([
            "waiting": [
                "reason": "PostStartHookError", "message": "command 'register --token=hunter2' exited with 7: refused",
            ]
        ])
        let hook = try #require(recorded.cause())
        #expect(!hook.contains("hunter2") && hook.contains("exited with 7: refused"))
    }

    @Test("the log of a run that was read while it ran is not the log of its end")
    func logOfTheEnd() throws {
        var recorded = try RecordedPicture("notready")
        let early = try #require(recorded.picture.examine().questions.first)
        recorded.picture.answers[early] = .lines(["error: of the beginning"])
        #expect(recorded.picture.examine().questions.isEmpty)
        recorded.setContainer(["terminated": ["exitCode": 3, "containerID": "containerd://present"]])
        #expect(recorded.picture.examine().questions.count == 1)
    }

    @Test("a workload whose revision is still to come has no cause: its pods are the ones before")
    func awaitedRevision() throws {
        var recorded = try RecordedPicture("crash")
        recorded.picture.state.awaitsRevision = true
        #expect(recorded.cause() == nil)
    }

    @Test("another container's probe is not this one's")
    func otherContainer() throws {
        var recorded = try RecordedPicture("notready")
        recorded.picture.events = []
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        recorded.warn("Unhealthy", "Readiness probe failed: x", container: "sidecar")
        #expect(recorded.cause() == nil)
    }

    @Test("a startup probe that fails is what starting looks like, until the container is killed for it")
    func startup() throws {
        var recorded = try RecordedPicture("notready")
        recorded.changeSpec {
            $0["startupProbe"] = ["httpGet": ["path": "/", "port": "http"], "failureThreshold": 5]
            $0["readinessProbe"] = nil
        }
        recorded.picture.events = []
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        recorded.warn(
            "Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503", container: "notready")
        #expect(recorded.cause() == nil)
        recorded.setContainer(
            ["waiting": ["reason": "CrashLoopBackOff"]],
            last: ["terminated": ["exitCode": 0, "startedAt": "2026-11-21T00:40:30Z"]], restarts: 1)
        let cause = try #require(recorded.cause())
        #expect(cause.contains("is killed because its startup probe fails (GET / on port http)"))
        #expect(cause.contains("failureThreshold × periodSeconds"))
    }

    @Test("a pull that backs off without a word is explained by the event")
    func backOff() throws {
        var recorded = try RecordedPicture("imagepull")
        recorded.setContainer([
            "waiting": [
                "reason": "ImagePullBackOff", "message": "Back-off pulling image \"localhost:5000/nosuch:dev\"",
            ]
        ])
        #expect(try #require(recorded.cause()).contains("localhost:5000 has no such image or tag"))
    }

    @Test("a name that only this machine knows is told with the one that nodes know")
    func mapping() throws {
        let recorded = try RecordedPicture("imagepull", registry: RefusalTableTests.k3d)
        #expect(try #require(recorded.cause()).contains("use k3d-registry.localhost:5000/nosuch:dev"))
    }

    @Test(
        "volumes that do not come",
        arguments: [
            (
                "FailedMount", "MountVolume.SetUp failed for volume \"settings\" : configmap \"web\" not found",
                "volume \"settings\" cannot be mounted: there is no ConfigMap \"web\""
            ),
            (
                "FailedMount",
                "MountVolume.SetUp failed for volume \"keys\" : references non-existent secret key: tls.crt",
                "volume \"keys\" cannot be mounted: Secret \"web-tls\" has no key \"tls.crt\""
            ),
            (
                "FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) web-0",
                "volume \"pvc-1\" cannot be mounted: Multi-Attach error"
            ),
            (
                "FailedMount", "MountVolume.SetUp failed for volume \"s\" : failed to sync configmap cache: timed out",
                nil
            ),
            ("FailedCreatePodSandBox", "Failed to create pod sandbox: cni plugin not initialized", nil),
        ] as [(String, String, String?)])
    func mounts(reason: String, message: String, words: String?) throws {
        var recorded = try RecordedPicture("notready")
        recorded.picture.events = []
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        recorded.setContainer(["waiting": ["reason": "ContainerCreating"]])
        recorded.changePod { pod in
            pod["spec"]?["volumes"] = [["name": "keys", "secret": ["secretName": "web-tls"]]]
        }
        recorded.warn(reason, message)
        let cause = recorded.cause()
        if let words { #expect(try #require(cause).contains(words)) } else { #expect(cause == nil) }
    }

    @Test("a sandbox that fails again is a cause")
    func sandbox() throws {
        var recorded = try RecordedPicture("notready")
        recorded.setContainer(["waiting": ["reason": "ContainerCreating"]])
        recorded.warn("FailedCreatePodSandBox", "Failed to create pod sandbox: plugin type=\"x\" failed", count: 2)
        #expect(try #require(recorded.cause()).contains("node lab cannot set up its network or sandbox"))
    }

    @Test("an evicted pod, a pod that its node refused, and one whose node is gone")
    func nodes() throws {
        var recorded = try RecordedPicture("running")
        recorded.changePod { pod in
            pod["status"]?["phase"] = "Failed"
            pod["status"]?["reason"] = "Evicted"
            pod["status"]?["message"] = "The node was low on resource: memory."
            pod["status"]?["conditions"] = []
            pod["status"]?["containerStatuses"] = []
        }
        let cause = try #require(recorded.cause())
        #expect(cause.contains("was evicted from node lab") && cause.contains("low on resource: memory"))
        recorded.changePod { $0["status"]?["reason"] = "OutOfcpu" }
        #expect(try #require(recorded.cause()).contains("has ended: OutOfcpu"))
    }

    @Test("a node that was not heard of for a while is a cause only until the pod, or the node, is heard of again")
    func silence() throws {
        func recorded(since: String, start: String = "2026-11-21T00:41:12Z") throws -> RecordedPicture {
            var recorded = try RecordedPicture("crash")
            recorded.setContainer(["terminated": ["exitCode": 3, "startedAt": .string(start)]])
            recorded.changePod {
                $0["status"]?["conditions"] = [
                    ["type": "Ready", "status": "False", "lastTransitionTime": .string(since)]
                ]
            }
            recorded.warn("NodeNotReady", "Node is not ready", at: "2026-11-21T01:00:00Z")
            return recorded
        }
        let lost = "its node lab is not ready"
        // The cluster sets the condition and tells the event in one second.
        var now = try recorded(since: "2026-11-21T01:00:00Z")
        #expect(try #require(now.cause()).contains(lost))
        now.isNodeReady = false
        #expect(try #require(now.cause()).contains(lost))
        now.isNodeReady = true
        #expect(try #require(now.cause()).contains("exited with code 3"))
        let later = try recorded(since: "2026-11-21T01:00:09Z")
        #expect(try #require(later.cause()).contains("exited with code 3"))
        let restarted = try recorded(since: "2026-11-21T01:00:00Z", start: "2026-11-21T01:00:01Z")
        #expect(try #require(restarted.cause()).contains("exited with code 3"))
    }

    @Test("a container that must not be root, and one whose user is a name")
    func users() throws {
        var recorded = try RecordedPicture("noconfig")
        for (message, advice) in [
            ("container has runAsNonRoot and image will run as root (pod: \"x\", container: web)", "USER 1000"),
            (
                "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root",
                "number"
            ),
        ] {
            recorded.setContainer([
                "waiting": ["reason": "CreateContainerConfigError", "message": .string(message)]
            ])
            #expect(try #require(recorded.cause()).contains(advice))
        }
    }

    @Test("a claim that is not bound is named with its storage class, once it has had its time")
    func claims() throws {
        var recorded = try RecordedPicture("pvc")
        recorded.changePod { pod in
            pod["status"]?["conditions"] = [
                [
                    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                    "message": "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
                ]
            ]
            pod["spec"]?["volumes"] = [["name": "data", "persistentVolumeClaim": ["claimName": "data"]]]
        }
        recorded.picture.state.workload?["status"] = ["observedGeneration": 1]
        #expect(recorded.picture.examine().questions == [.claim("data")])
        let uid = recorded.picture.state.pods[0].uid
        func cause(_ claim: VolumeClaim) -> String? {
            var picture = recorded.picture
            picture.answers = [.claim("data"): .claim(claim)]
            return picture.examine().diagnoses.first.map(RecordedPicture.text)
        }
        let slow = VolumeClaim(name: "data", phase: "Pending", storageClass: "fast")
        #expect(cause(slow) == nil)
        recorded.picture.ages = [uid: .seconds(10)]
        #expect(try #require(cause(slow)).contains("\"data\" (storage class \"fast\") is not bound"))
        recorded.picture.ages = [:]
        #expect(try #require(cause(VolumeClaim(name: "data", phase: "Pending"))).contains("without a storage class"))
        let refused = VolumeClaim(
            name: "data", phase: "Pending", storageClass: "fast", complaint: "storageclass \"fast\" not found")
        #expect(try #require(cause(refused)).contains("storageclass \"fast\" not found"))
    }

    @Test("a StatefulSet's and a DaemonSet's refusal stands only in an event, until a pod comes after it")
    func setRefusal() throws {
        let set: JSON = [
            "metadata": ["name": "db", "uid": "set", "generation": 1],
            "spec": ["replicas": 1], "status": ["observedGeneration": 1],
        ]
        var picture = RolloutPicture(
            target: .workload(.statefulset, name: "db"), namespace: "demo", state: WorkloadState(workload: set))
        #expect(picture.examine() == DiagnosisFindings())
        let words =
            "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: q, "
            + "requested: pods=1, used: pods=0, limited: pods=0"
        picture.events = [
            ObjectEvent([
                "involvedObject": ["uid": "set"], "reason": "FailedCreate", "lastTimestamp": "2026-11-21T00:00:05Z",
                "message": .string(words),
            ])
        ]
        // Whether that was said of this template shows from when there was this template.
        #expect(picture.examine().diagnoses.isEmpty)
        #expect(picture.examine().questions == [.templateTime(generation: 1)])
        func causes(since answer: Answer) -> [String] {
            picture.answers[.templateTime(generation: 1)] = answer
            return picture.examine().diagnoses.map(\.failure.summary)
        }
        let refused = ["no pod of statefulset/db can be created: ResourceQuota \"q\" is used up"]
        #expect(causes(since: .unknown) == refused)
        #expect(causes(since: .time("2026-11-21T00:00:06Z")).isEmpty)
        #expect(causes(since: .time("2026-11-21T00:00:05Z")) == refused)
        picture.state.pods = [PodState(["metadata": ["creationTimestamp": "2026-11-21T00:00:09Z"]])]
        #expect(picture.examine().diagnoses.isEmpty)
        // It is gone, and the next one is on its way.
        (picture.state.pods, picture.youngestPod) = ([], "2026-11-21T00:00:09Z")
        #expect(picture.examine().diagnoses.isEmpty)
    }

    @Test("a template is as old as its revision, or as that it was made the newest again")
    func templateTime() {
        func revision(_ name: String, _ number: Int64, written: String? = nil) -> JSON {
            var revision: JSON = [
                "metadata": [
                    "name": .string(name), "creationTimestamp": .string("2026-11-21T00:00:0\(number)Z"),
                    "ownerReferences": [["controller": true, "uid": "set"]],
                ], "revision": .integer(number),
            ]
            if let written { revision["metadata"]?["managedFields"] = [["time": .string(written)]] }
            return revision
        }
        var set: JSON = ["metadata": ["uid": "set", "creationTimestamp": "2026-11-21T00:00:00Z"]]
        #expect(TemplateTime.of(set, []) == "2026-11-21T00:00:00Z")
        let both = [revision("a", 1), revision("b", 2)]
        #expect(TemplateTime.of(set, both) == "2026-11-21T00:00:02Z")
        #expect(TemplateTime.of(set, [revision("c", 3, written: "2026-11-21T00:09:00Z")]) == "2026-11-21T00:09:00Z")
        set["status"] = ["updateRevision": "a"]
        #expect(TemplateTime.of(set, both) == "2026-11-21T00:00:01Z")
        set["metadata"]?["uid"] = "another"
        #expect(TemplateTime.of(set, both) == "2026-11-21T00:00:00Z")
    }

    @Test("a deadline that has passed is told only where nothing better is known")
    func deadline() throws {
        var recorded = try RecordedPicture("imagepull")
        #expect(try #require(recorded.cause()).contains("no such image"))
        recorded.setContainer(["waiting": ["reason": "ContainerCreating"]])
        recorded.picture.events = []
        #expect(try #require(recorded.cause()).contains("makes no progress: its deadline of"))
    }

    @Test("values of variables never appear, whatever fails")
    func secrets() throws {
        for example in RecordedStateTests.examples where !["quota", "pod-security"].contains(example.state) {
            var recorded = try RecordedPicture(example.state)
            recorded.changePod { pod in
                for key in ["containers", "initContainers"] {
                    guard let containers = pod.at("spec", key)?.array else { continue }
                    pod["spec"]?[key] = .array(
                        containers.map {
                            $0.setting("env", to: [["name": "TOKEN", "value": "hunter2"]])
                                .setting("args", to: ["--password=hunter2"])
                        })
                }
            }
            recorded.logs = example.log
            #expect(try #require(recorded.cause()).contains("hunter2") == false)
        }
    }
}

extension JSON {
    fileprivate func setting(_ key: String, to value: JSON) -> JSON {
        var copy = self
        copy[key] = value
        return copy
    }
}
