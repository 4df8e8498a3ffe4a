import JSON
import Reactor
import TestCluster
import Testing

@Suite("Pods come and go", .turn) struct PodLifeTests {
    @Test("every replica has every save")
    func replicas() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(replicas: 3))
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pods = try await scene.running(3)
            let loopd = try await scene.watching(3)
            let place = loopd.log.count
            try scene.project.write("app/a", "2")
            let landed = try await loopd.event("landed", from: place) { $0["pods"]?.integer == 3 }
            #expect(landed["files"]?.integer == 1)
            for pod in pods { #expect(try await scene.text("/srv/app/a", in: pod.name) == "2") }
        }
    }

    @Test("two services of one workload both reach its pods, and give its lease back at the end")
    func shared() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            func service(_ name: String) -> JSON {
                [
                    "workload": "deployment/app",
                    "rules": [["watch": [.string("\(name)/**")], "sync": ["to": .string("/srv/\(name)")]]],
                ]
            }
            try scene.project.configure(scene.configuration(["one": service("one"), "two": service("two")]))
            try scene.project.write("one/a", "1")
            try scene.project.write("two/a", "2")
            let loopd = try await scene.watching(2)
            let pod = try await scene.running()[0].name
            #expect(try await scene.text("/srv/one/a", in: pod) == "1")
            #expect(try await scene.text("/srv/two/a", in: pod) == "2")
            try await loopd.stop()
            let object = try await scene.kubectl(["get", "deployment", "app", "-o", "json"]).text
            #expect(!object.contains("loopd.dev/lease"), "\(object)")
        }
    }

    @Test("pods that a selector finds are synced, also those that appear later")
    func selector() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("one"))
            try scene.project.configure(
                scene.configuration([
                    "pods": [
                        "selector": "app in (one, two)",
                        "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
                    ]
                ]))
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try await scene.deploy(Workload("two"))
            _ = try await loopd.event("connected", from: place)
            for pod in try await scene.running(2) {
                #expect(try await scene.text("/srv/app/a", in: pod.name) == "1")
            }
        }
    }

    @Test("a restarted container gets everything again")
    func restart() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            try scene.project.write("app/b", "2")
            try await scene.untilEqual("app", "/srv/app", in: pod)
            let place = loopd.log.count
            try await scene.exec(pod, ["/probe", "stop"], codes: [0, 137, 143])
            try await scene.pods().until("the container runs again") {
                $0.contains { $0.restarts == 1 && $0.isRunning }
            }
            _ = try await loopd.event("connected", from: place)
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    @Test("a container that ends again and again gets everything at each run, and its pod nothing else")
    func crashes() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(container: ["command": ["sh", "-c", "sleep 2; exit 3"]]), wait: false)
            try scene.configure()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            var place = 0
            for run in 1...2 {
                place = loopd.log.count
                try scene.project.write("app/run-\(run)", "saved between two runs, or in one")
                _ = try await loopd.event("connected", from: place, limit: .seconds(60))
            }
            let added = try await scene.kubectl(["get", "pods", "-o", "jsonpath={.items[*].spec.ephemeralContainers}"])
            #expect(added.text == "")
            let lines = loopd.log.events().filter { $0["event"]?.string == "failed" }
            #expect(lines.contains { $0["summary"]?.string?.contains("exited with code 3") == true }, "\(lines)")
        }
    }

    @Test("a sidecar, which is an init container that stays, is synced by its name")
    func sidecar() async throws {
        try await Scene.run { scene in
            var workload = Workload()
            let image = JSON.string(try await workload.image.name(on: scene.cluster))
            workload.pod = [
                "initContainers": [
                    [
                        "name": "side", "image": image, "imagePullPolicy": "IfNotPresent", "restartPolicy": "Always",
                        "command": ["/probe", "run"],
                    ]
                ]
            ]
            try await scene.deploy(workload)
            try scene.project.configure(
                scene.configuration([
                    "app": [
                        "workload": "deployment/app", "container": "side",
                        "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
                    ]
                ]))
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            _ = try await scene.watching()
            let shown = try await scene.kubectl(["exec", pod, "-c", "side", "--", "/probe", "show", "/srv/app/a"])
            #expect(shown.text == "1")
        }
    }

    @Test("a pod in a deleted one's place gets everything")
    func deletion() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let old = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try await scene.kubectl(["delete", "pod", old, "--wait=false"])
            let pods = try await scene.pods().until("another pod") { $0.contains { $0.name != old && $0.isRunning } }
            let new = try #require(pods.first { $0.name != old && $0.isRunning }).name
            try await loopd.connected(to: new, from: place)
            try scene.project.write("app/b", "2")
            try await scene.untilEqual("app", "/srv/app", in: new)
            let changes = loopd.log.events(from: place).filter { $0["event"]?.string == "podsChanged" }
            #expect(changes.contains { $0["added"]?.array?.contains(.string(new)) == true })
            #expect(changes.contains { $0["removed"]?.array?.contains(.string(old)) == true })
        }
    }

    @Test("a rollout: the new revision's pods get the files, the old one's are left")
    func rollout() async throws {
        try await Scene.run { scene in
            // The new pod is not ready before it has the file: the old one stays as long as the test needs it.
            var workload = Workload()
            workload.container = [
                "readinessProbe": [
                    "exec": ["command": ["/probe", "equal", "/srv/app/state", "ok"]], "periodSeconds": 1,
                ]
            ]
            try await scene.deploy(workload, wait: false)
            try scene.configure()
            try scene.project.write("app/state", "ok")
            let old = try await scene.running()[0]
            let loopd = try await scene.watching()
            try await scene.pods().until("ready") { $0.contains { $0.isReady } }
            try scene.project.write("app/state", "not yet")
            try await scene.untilEqual("app", "/srv/app", in: old.name)
            let place = loopd.log.count
            workload.container = workload.container.merged(with: ["env": [["name": "REVISION", "value": "2"]]])
            try await scene.deploy(workload, wait: false)
            let pods = try await scene.pods().until("the new revision's pod") {
                $0.contains { $0.template != old.template && $0.isRunning }
            }
            let new = try #require(pods.first { $0.template != old.template }).name
            try await loopd.connected(to: new, from: place)
            try scene.project.write("app/later", "only the new one")
            try await scene.untilEqual("app", "/srv/app", in: new)
            #expect(try await scene.text("/srv/app/later", in: old.name) == nil)
            try scene.project.write("app/state", "ok")
            try await scene.kubectl(["rollout", "status", "deployment/app", "--timeout=60s"])
        }
    }

    @Test(
        "a StatefulSet's and a DaemonSet's pods get every save, and all after a restart of the rollout",
        arguments: ["StatefulSet", "DaemonSet"])
    func sets(kind: String) async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(kind: kind))
            let reference = "\(kind.lowercased())/app"
            try scene.configure(reference)
            try scene.project.write("app/a", "1")
            let old = try await scene.running()[0]
            let loopd = try await scene.watching()
            try scene.project.write("app/a", "2")
            try await scene.untilEqual("app", "/srv/app", in: old.name)
            let place = loopd.log.count
            try await scene.kubectl(["rollout", "restart", reference])
            try await scene.kubectl(["rollout", "status", reference, "--timeout=90s"])
            let pods = try await scene.pods().until("the new revision's pod alone") {
                $0.count == 1 && $0[0].isRunning && $0[0].uid != old.uid
            }
            #expect((pods[0].name == old.name) == (kind == "StatefulSet"))
            try await loopd.connected(to: pods[0].name, from: place)
            try scene.project.write("app/b", "3")
            try await scene.untilEqual("app", "/srv/app", in: pods[0].name)
        }
    }

    @Test("pods that a scale-up adds are synced")
    func scaleUp() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/a", "1")
            let first = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try await scene.kubectl(["scale", "deployment/app", "--replicas=2"])
            let second = try #require(try await scene.running(2).first { $0.name != first }).name
            try await loopd.connected(to: second, from: place)
            try await scene.untilEqual("app", "/srv/app", in: second)
        }
    }

    @Test("a save that breaks readiness is healed by the next one")
    func readiness() async throws {
        try await Scene.run { scene in
            var workload = Workload()
            workload.container = [
                "readinessProbe": [
                    "exec": ["command": ["/probe", "equal", "/srv/app/state", "ok"]], "periodSeconds": 1,
                    "failureThreshold": 1,
                ]
            ]
            try await scene.deploy(workload, wait: false)
            try scene.configure()
            try scene.project.write("app/state", "ok")
            _ = try await scene.watching()
            let pods = try await scene.pods()
            try await pods.until("ready") { $0.contains { $0.isReady } }
            try scene.project.write("app/state", "broken")
            try await pods.until("not ready") { $0.contains { $0.isRunning && !$0.isReady } }
            try scene.project.write("app/state", "ok")
            try await pods.until("ready again") { $0.contains { $0.isReady } }
        }
    }
}
