import Glibc
import JSON
import Testing

@testable import Playground

@Suite("Pods on runc", .onRunc, .timeLimit(.minutes(5)))
struct PodLifecycleTests {
    @Test("a pod runs, is ready, answers exec, and is gone after its deletion")
    func lifecycle() async throws {
        try await Laboratory.run { lab in
            try lab.create("web", spec: ["containers": [Laboratory.script("echo up; exec sleep 1000")]])
            let pod = try await lab.untilReady("web")
            #expect(pod.at("status", "phase") == "Running")
            let status = pod.at("status", "containerStatuses")?[0]
            #expect(status?["containerID"]?.string?.hasPrefix("runc://") == true)
            #expect(status?.at("user", "linux", "uid") == 0)
            #expect(try await lab.output("web", ["hostname"]) == "web\n")
            try lab.delete("web")
            try await lab.untilGone("web")
            #expect(Disk.names(in: lab.node.context.layout.containers) == [])
            #expect(Cgroups.processes(in: lab.node.context.layout.cgroup) == [])
        }
    }

    @Test("the image host shows the machine's programs and nothing of its users")
    func hostImage() async throws {
        try await Laboratory.run { lab in
            try lab.create("web", spec: ["containers": [Laboratory.script("exec sleep 1000")]])
            _ = try await lab.untilReady("web")
            let look = "for d in /home /root /tmp /run/user /work /srv /var/tmp; do ls -A $d 2>/dev/null; done"
            #expect(try await lab.output("web", ["sh", "-c", look]) == "")
            let write = "echo x > /usr/local/bin/probe && cat /usr/local/bin/probe && ls /usr/bin/env"
            #expect(try await lab.output("web", ["sh", "-c", write]) == "x\n/usr/bin/env\n")
            #expect(!Disk.exists("/usr/local/bin/probe"))
            #expect(try await lab.output("web", ["sh", "-c", "ls /etc/ssl/private /etc/ssh 2>/dev/null"]) == "")
        }
    }

    @Test("a hidden folder below /usr is not there, its neighbours are", .enabled(if: Disk.exists("/usr/share/doc")))
    func hiddenFolder() async throws {
        try await Laboratory.run(hidden: ["/usr/share/doc"]) { lab in
            try lab.create("web", spec: ["containers": [Laboratory.script("exec sleep 1000")]])
            _ = try await lab.untilReady("web")
            let look = "test -e /usr/share/doc || echo hidden; test -d /usr/share && echo shown"
            #expect(try await lab.output("web", ["sh", "-c", look]) == "hidden\nshown\n")
        }
    }

    @Test("probes by HTTP and TCP reach the host's ports for a pod with the host's network")
    func networkProbes() async throws {
        try await Laboratory.run { lab in
            let port = JSON.integer(Int64(lab.registryPort))
            func container(_ name: String, _ probe: JSON) -> JSON {
                var container = Laboratory.script("exec sleep 1000", name: name)
                container["readinessProbe"] = probe
                return container
            }
            try lab.create(
                "fine",
                spec: [
                    "hostNetwork": true,
                    "containers": [
                        container("http", ["httpGet": ["path": "/v2/", "port": port], "periodSeconds": 1]),
                        container("tcp", ["tcpSocket": ["port": port], "periodSeconds": 1]),
                    ],
                ])
            _ = try await lab.untilReady("fine")
            try lab.create(
                "unfit",
                spec: [
                    "hostNetwork": true,
                    "containers": [
                        container("http", ["httpGet": ["path": "/none", "port": port], "periodSeconds": 1])
                    ],
                ])
            let events = try lab.store.watch(.event)
            // On a busy machine a probe may time out first; the suite's time limit is what fails here.
            let wanted: JSON = "Readiness probe failed: HTTP probe failed with statuscode: 404"
            for try await event in events where event.object["message"] == wanted { break }
        }
    }

    @Test("a container that asks for stdin does not see its end")
    func keptInput() async throws {
        try await Laboratory.run { lab in
            var container = Laboratory.script("echo before; cat; echo after")
            container["stdin"] = true
            try lab.create("reader", spec: ["restartPolicy": "Never", "containers": [container]])
            _ = try await lab.untilReady("reader")
            // The write goes to the very pipe that `cat` reads, and comes out of it again.
            _ = try await lab.output("reader", ["sh", "-c", "echo typed > /proc/1/fd/0"])
            var text = ""
            while !text.contains("typed") { text = try await lab.log("reader").text }
            #expect(text == "before\ntyped\n")
        }
    }

    @Test("a failing container restarts at once, then after 10 seconds, as recorded")
    func crash() async throws {
        try await Laboratory.run { lab in
            try lab.create("crash", spec: ["containers": [Laboratory.script("echo boom >&2; exit 3", name: "crash")]])
            let pod = try await lab.until("crash", "backs off") { pod in
                pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason") == "CrashLoopBackOff"
            }
            let status = pod.at("status", "containerStatuses")?[0]
            let uid = pod.at("metadata", "uid")?.string ?? ""
            #expect(status?["restartCount"] == 1)
            #expect(
                status?.at("state", "waiting", "message")
                    == .string("back-off 10s restarting failed container=crash pod=crash_default(\(uid))"))
            #expect(status?.at("lastState", "terminated", "exitCode") == 3)
            #expect(status?.at("lastState", "terminated", "reason") == "Error")
            #expect(pod.at("status", "phase") == "Running")
            #expect(try await lab.log("crash").text == "boom\n")
            #expect(try await lab.log("crash", "previous=true").text == "boom\n")
            let events = lab.store.list(.event, "default").items
            #expect(Set(events.compactMap { $0["reason"]?.string }) == ["Pulled", "Created", "Started", "BackOff"])
            #expect(events.first { $0["reason"] == "Started" }?["count"] == 2)
        }
    }

    @Test("init containers run in order; one that fails holds the pod")
    func initContainers() async throws {
        try await Laboratory.run { lab in
            let volume: JSON = ["name": "work", "mountPath": "/work"]
            var first = Laboratory.script("echo 1 >> /work/order", name: "first")
            var second = Laboratory.script("echo 2 >> /work/order", name: "second")
            var main = Laboratory.script("exec sleep 1000")
            first["volumeMounts"] = [volume]
            second["volumeMounts"] = [volume]
            main["volumeMounts"] = [volume]
            try lab.create(
                "ordered",
                spec: [
                    "initContainers": [first, second], "containers": [main],
                    "volumes": [["name": "work", "emptyDir": [:]]],
                ])
            let pod = try await lab.untilReady("ordered")
            #expect(try await lab.output("ordered", ["cat", "/work/order"]) == "1\n2\n")
            #expect(pod.at("status", "initContainerStatuses")?[1]?.at("state", "terminated", "reason") == "Completed")

            try lab.create(
                "stuck",
                spec: [
                    "initContainers": [Laboratory.script("exit 1", name: "migrate")],
                    "containers": [Laboratory.script("true", name: "initfail")],
                ])
            let stuck = try await lab.until("stuck", "init fails") { pod in
                pod.at("status", "initContainerStatuses")?[0]?.at("state", "waiting", "reason") == "CrashLoopBackOff"
            }
            #expect(stuck.at("status", "phase") == "Pending")
            #expect(
                stuck.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason") == "PodInitializing")
            let initialized = stuck.at("status", "conditions")?.array?.first { $0["type"] == "Initialized" }
            #expect(initialized?["message"] == "containers with incomplete status: [migrate]")
        }
    }

    @Test("a pod that must not restart ends as Succeeded or Failed")
    func completion() async throws {
        try await Laboratory.run { lab in
            for (name, script, phase) in [("good", "exit 0", "Succeeded"), ("bad", "exit 4", "Failed")] {
                try lab.create(name, spec: ["restartPolicy": "Never", "containers": [Laboratory.script(script)]])
                let pod = try await lab.until(name, "is over") { pod in
                    ["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "")
                }
                #expect(pod.at("status", "phase") == .string(phase))
            }
        }
    }

    @Test("what cannot start says why: image, ConfigMap, command")
    func failures() async throws {
        try await Laboratory.run { lab in
            let image = "localhost:\(lab.registryPort)/nosuch:dev"
            try lab.create("imagepull", spec: ["containers": [["name": "c", "image": .string(image)]]])
            var unconfigured = Laboratory.script("true")
            unconfigured["envFrom"] = [["configMapRef": ["name": "missing-config"]]]
            try lab.create("noconfig", spec: ["containers": [unconfigured]])
            try lab.create(
                "nocmd", spec: ["containers": [["name": "c", "image": "host", "command": ["/no/such/binary"]]]])
            func waiting(_ name: String, _ reason: String) async throws -> String {
                let pod = try await lab.until(name, reason) { pod in
                    pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason") == .string(reason)
                }
                return pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "message")?.string ?? ""
            }
            #expect(
                try await waiting("imagepull", "ErrImagePull")
                    == "rpc error: code = NotFound desc = failed to pull and unpack image \"\(image)\": "
                    + "failed to resolve image: \(image): not found")
            #expect(
                try await waiting("noconfig", "CreateContainerConfigError") == "configmap \"missing-config\" not found")
            let recorded = try Fixture.json("pods/nocmd.json")["items"]?[0]?.at("status", "containerStatuses")?[0]?
                .at("state", "waiting", "message")
            #expect(try await waiting("nocmd", "RunContainerError") == recorded?.string)
        }
    }

    @Test("a container over its memory limit is OOMKilled", .enabled(if: Cgroups.ofThisMachine.hasMemory))
    func outOfMemory() async throws {
        try await Laboratory.run { lab in
            var container = Laboratory.script("x=; while true; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done")
            container["resources"] = ["limits": ["memory": "24Mi"]]
            try lab.create("oom", spec: ["restartPolicy": "Never", "containers": [container]])
            let pod = try await lab.until("oom", "fails") { $0.at("status", "phase") == "Failed" }
            #expect(
                pod.at("status", "containerStatuses")?[0]?.at("state", "terminated", "reason") == "OOMKilled")
        }
    }

    @Test("SIGTERM and the preStop hook come before SIGKILL, and the last words are kept")
    func termination() async throws {
        try await Laboratory.run { lab in
            var container = Laboratory.script(
                "trap 'echo termed >> /work/log; echo bye > /dev/termination-log; exit 0' TERM; while :; do sleep 0.05; done"
            )
            container["lifecycle"] = ["preStop": ["exec": ["command": ["sh", "-c", "echo hook >> /work/log"]]]]
            container["volumeMounts"] = [["name": "work", "mountPath": "/work"]]
            let folder = "\(lab.folder)/shared"
            try lab.create(
                "stop",
                spec: [
                    "terminationGracePeriodSeconds": 20, "containers": [container],
                    "volumes": [["name": "work", "hostPath": ["path": .string(folder), "type": "DirectoryOrCreate"]]],
                ])
            _ = try await lab.untilReady("stop")
            try lab.delete("stop", grace: 20)
            let pod = try await lab.until("stop", "terminated") { pod in
                pod.at("status", "containerStatuses")?[0]?.at("state", "terminated") != nil
            }
            #expect(Disk.text("\(folder)/log") == "hook\ntermed\n")
            #expect(pod.at("status", "containerStatuses")?[0]?.at("state", "terminated", "message") == "bye\n")
            try await lab.untilGone("stop")
        }
    }

    @Test("probes decide about readiness and restarts")
    func probes() async throws {
        try await Laboratory.run { lab in
            var container = Laboratory.script("rm -f /tmp/sick; exec sleep 1000")
            func check(_ command: String) -> JSON {
                ["exec": ["command": ["sh", "-c", .string(command)]], "periodSeconds": 1, "failureThreshold": 1]
            }
            container["startupProbe"] = check("true")
            container["readinessProbe"] = check("echo not yet; test -e /tmp/ready")
            container["livenessProbe"] = check("test ! -e /tmp/sick")
            try lab.create("probed", spec: ["containers": [container]])
            try await lab.until("probed", "unready but started") { pod in
                let status = pod.at("status", "containerStatuses")?[0]
                return status?["started"] == true && status?["ready"] == false
            }
            _ = try await lab.output("probed", ["touch", "/tmp/ready"])
            _ = try await lab.untilReady("probed")
            _ = try await lab.output("probed", ["touch", "/tmp/sick"])
            let pod = try await lab.until("probed", "restarted") { pod in
                pod.at("status", "containerStatuses")?[0]?["restartCount"] == 1
            }
            #expect(pod.at("status", "containerStatuses")?[0]?.at("lastState", "terminated", "exitCode") == 137)
            let messages = lab.store.list(.event, "default").items.compactMap { $0["message"]?.string }
            #expect(messages.contains("Readiness probe failed: not yet\n"))
            #expect(messages.contains("Container app failed liveness probe, will be restarted"))
        }
    }

    @Test("a pod that names its node needs no scheduler, and ends within the grace period of its deletion")
    func direct() async throws {
        try await Laboratory.run { lab in
            _ = try lab.store.create(.node, ["metadata": ["name": .string(Node.defaultName)]])
            let script = "trap '' TERM; echo deaf; while :; do sleep 1; done"
            _ = try OwnedPod.create(
                [
                    "metadata": ["name": "direct", "namespace": "default"],
                    "spec": [
                        "nodeName": .string(Node.defaultName), "containers": [Laboratory.script(script)],
                        "terminationGracePeriodSeconds": 3600,
                    ],
                ], in: lab.store)
            let pod = try await lab.untilReady("direct")
            let reported = (pod.at("metadata", "managedFields")?.array ?? []).first { $0["manager"] == "kubelet" }
            #expect(reported?["subresource"] == "status")
            #expect(reported?.at("fieldsV1", "f:status", "f:containerStatuses") == [:])
            while try await lab.log("direct").text != "deaf\n" {}
            var options = DeleteOptions()
            options.gracePeriod = 1
            let deleted = try lab.store.delete(.pod, "default", "direct", options)
            #expect(deleted.at("metadata", "deletionGracePeriodSeconds") == 1)
            try await lab.untilGone("direct")
        }
    }

    @Test("a second deletion hurries a pod that takes its time")
    func hurry() async throws {
        try await Laboratory.run { lab in
            let container = Laboratory.script("trap '' TERM; while :; do sleep 1; done")
            try lab.create("slow", spec: ["terminationGracePeriodSeconds": 3600, "containers": [container]])
            _ = try await lab.untilReady("slow")
            try lab.delete("slow", grace: 3600)
            while !lab.store.list(.event, "default").items.contains(where: { $0["reason"] == "Killing" }) {
                try await Task.sleep(for: .milliseconds(10))
            }
            try lab.delete("slow", grace: 0)
            let containers = lab.node.context.layout.containers
            while !Disk.names(in: containers).isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        }
    }

    @Test("a ConfigMap that changes after a pod's end does not bring its volumes back")
    func lateConfiguration() async throws {
        try await Laboratory.run { lab in
            _ = try lab.store.create(.configMap, ["metadata": ["name": "settings"], "data": ["a": "1"]])
            try lab.create(
                "web",
                spec: [
                    "containers": [Laboratory.script("exec sleep 1000")],
                    "volumes": [
                        ["name": "memory", "emptyDir": ["medium": "Memory"]],
                        ["name": "settings", "configMap": ["name": "settings"]],
                    ],
                ])
            let uid = try await lab.untilReady("web").at("metadata", "uid")?.string ?? ""
            let worker = try #require(lab.node.worker(uid))
            try lab.delete("web")
            try await lab.untilGone("web")
            await worker.configurationChanged("settings")
            #expect(Disk.names(in: lab.node.context.layout.pods) == [])
        }
    }

    @Test("numbers beyond sense harm their pod alone")
    func absurdNumbers() async throws {
        try await Laboratory.run { lab in
            _ = try lab.store.create(.configMap, ["metadata": ["name": "settings"], "data": ["a": "1"]])
            var busy = Laboratory.script("exec sleep 1000")
            busy["resources"] = [
                "limits": ["cpu": "1e30", "memory": "9223372036854775807"],
                "requests": ["cpu": "9223372036854775807", "memory": "1"],
            ]
            try lab.create("busy", spec: ["containers": [busy]])
            var mounted = Laboratory.script("exec sleep 1000")
            mounted["volumeMounts"] = [["name": "settings", "mountPath": "/settings"]]
            try lab.create(
                "mounted",
                spec: [
                    "containers": [mounted],
                    "volumes": [
                        [
                            "name": "settings",
                            "configMap": [
                                "name": "settings", "defaultMode": -1,
                                "items": [["key": "a", "path": "a", "mode": 99_999_999_999]],
                            ],
                        ]
                    ],
                ])
            var patient = Laboratory.script("exec sleep 1000")
            patient["lifecycle"] = ["postStart": ["exec": ["command": ["true"]]]]
            patient["livenessProbe"] = [
                "exec": ["command": ["false"]], "failureThreshold": 1,
                "terminationGracePeriodSeconds": 9_223_372_036_854_775_807,
            ]
            try lab.create(
                "patient",
                spec: [
                    "containers": [patient], "terminationGracePeriodSeconds": 9_223_372_036_854_775_807,
                ])
            _ = try await lab.untilReady("mounted")
            _ = try await lab.until("busy", "tried") { $0.at("status", "containerStatuses") != nil }
            while !lab.store.list(.event, "default").items.contains(where: { $0["reason"] == "Killing" }) {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    @Test("what is not supported is refused by its name")
    func refused() async throws {
        try await Laboratory.run { lab in
            var container = Laboratory.script("true")
            container["securityContext"] = ["privileged": true]
            try lab.create("privileged", spec: ["containers": [container]])
            let pod = try await lab.until("privileged", "refused") { pod in
                pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason")
                    == "CreateContainerConfigError"
            }
            #expect(
                pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "message")
                    == "securityContext.privileged is not supported by the playground")
        }
    }
}
