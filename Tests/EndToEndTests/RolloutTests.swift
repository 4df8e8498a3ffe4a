import JSON
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("Images that are rolled out", .turn) struct RolloutTests {
    @Test("a Deployment's pods run it when it is told, the same again is no rollout, and others' fields stay")
    func deployment() async throws {
        try await RollingScene.run { rolling in
            let (scene, cluster) = (rolling.scene, rolling.scene.cluster)
            try await scene.deploy(Workload(replicas: 2, container: ["imagePullPolicy": "Always"]))
            let rollout = rolling.rollout(.deployment)
            let before = try await rolling.object("deployment/app")
            let first = try await TestImage.shell.built("one", on: cluster)
            #expect(await rollout.roll(to: first))
            #expect(await rollout.untilRolledOut())
            let told = try await rolling.event("rolledOut")
            #expect(told["workloads"] == ["deployment/app"])
            for pod in try await scene.running(2) { #expect(try await rolling.word(in: pod.name) == "one") }
            let after = try await rolling.object("deployment/app")
            var expected = before.podSpec
            expected.change("app", in: "containers") { container in
                (container["image"], container["imagePullPolicy"]) = (.string(first), "IfNotPresent")
            }
            #expect(after.podSpec == expected)
            #expect(await rollout.roll(to: first))
            let other = rolling.rollout(.deployment)
            #expect(await other.roll(to: first))
            #expect(await other.untilRolledOut())
            #expect(try await rolling.revisions() == 2)
            #expect(rolling.events("rolledOut").count == 1)

            // One that is superseded while its pods start is not told as rolled out.
            #expect(await rollout.roll(to: try await TestImage.shell.built("two", on: cluster)))
            #expect(await rollout.roll(to: try await TestImage.shell.built("three", on: cluster)))
            #expect(await rollout.untilRolledOut())
            for pod in try await scene.running(2) { #expect(try await rolling.word(in: pod.name) == "three") }
            #expect(rolling.events("rolledOut").count == 2, "\(rolling.transcript)")
            // Another loopd has said what it runs, and knows why: the first one is none to fight it.
            try await rolling.event("notice") { $0["text"]?.string?.contains("another loopd has set") == true }
            await other.end()
            #expect(rolling.events("failed").isEmpty, "\(rolling.transcript)")
            await rollout.end()
        }
    }

    @Test(
        "a StatefulSet's and a DaemonSet's, too",
        arguments: [(WorkloadKind.statefulset, "StatefulSet"), (.daemonset, "DaemonSet")])
    func sets(_ kind: WorkloadKind, _ name: String) async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await scene.deploy(Workload(kind: name))
            let rollout = rolling.rollout(kind)
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            #expect(await rollout.untilRolledOut())
            for pod in try await scene.running() { #expect(try await rolling.word(in: pod.name) == "one") }
            #expect(rolling.events("rolledOut").count == 1)
            #expect(rolling.events("failed").isEmpty, "\(rolling.transcript)")
            await rollout.end()
        }
    }

    @Test("with OnDelete loopd deletes the old pods, one after the other")
    func onDelete() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            var manifest = try await Workload(kind: "StatefulSet", replicas: 2).manifest(on: scene.cluster)
            manifest["spec"]?["updateStrategy"] = ["type": "OnDelete"]
            try await rolling.apply(manifest)
            try await scene.kubectl([
                "wait", "--for=jsonpath={.status.readyReplicas}=2", "statefulset/app", "--timeout=60s",
            ])
            let watch = EventLog()
            let readings = Task {
                let states = WorkloadWatch(
                    rolling.connection.client, .workload(.statefulset, name: "app"), namespace: scene.namespace)
                let running = Task { await states.run() }
                while let state = await states.next() {
                    watch.add(.integer(Int64((state.pods + state.outdated).count { $0.isReady && !$0.isTerminating })))
                }
                running.cancel()
            }
            defer { readings.cancel() }
            _ = await watch.first(from: 0) { $0 == 2 }
            let rollout = rolling.rollout(.statefulset)
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            #expect(await rollout.untilRolledOut())
            #expect(rolling.events("podDeleted").compactMap { $0["pod"]?.string } == ["app-1", "app-0"])
            #expect(rolling.events("rolledOut").count == 1)
            for pod in try await scene.running(2) { #expect(try await rolling.word(in: pod.name) == "one") }
            #expect(!watch.events().contains(0), "one pod was ready at every moment")
            #expect(rolling.events("failed").isEmpty, "\(rolling.transcript)")
            await rollout.end()
        }
    }

    @Test("a DaemonSet's with OnDelete, too")
    func daemonOnDelete() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            var manifest = try await Workload(kind: "DaemonSet").manifest(on: scene.cluster)
            manifest["spec"]?["updateStrategy"] = ["type": "OnDelete"]
            try await rolling.apply(manifest)
            let before = try await scene.running()[0]
            let rollout = rolling.rollout(.daemonset)
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            #expect(await rollout.untilRolledOut())
            #expect(rolling.events("podDeleted").compactMap { $0["pod"]?.string } == [before.name])
            for pod in try await scene.running() { #expect(try await rolling.word(in: pod.name) == "one") }
            await rollout.end()
        }
    }

    @Test("a paused Deployment gets it, which is said, and is told as rolled out when it is resumed")
    func paused() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await scene.deploy(Workload())
            try await scene.kubectl(["rollout", "pause", "deployment/app"])
            let rollout = rolling.rollout(.deployment)
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            try await rolling.event("notice") {
                $0["text"] == "deployment/app is paused: its pods change when it is resumed"
            }
            #expect(await rollout.untilRolledOut() == false)
            try await scene.kubectl(["rollout", "resume", "deployment/app"])
            try await rolling.event("rolledOut")
            #expect(rolling.events("failed").isEmpty, "\(rolling.transcript)")
            await rollout.end()
        }
    }

    @Test("in dev mode it is one rollout, dev mode stays, and the image stays when dev mode goes")
    func devMode() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await scene.deploy(Workload())
            let original = try await rolling.object("deployment/app")
            let dev = rolling.devMode()
            try await dev.hold(original)
            try await scene.kubectl(["rollout", "status", "deployment/app", "--timeout=90s"])
            #expect(try await rolling.revisions() == 2)
            let rollout = rolling.rollout(.deployment, dev: dev)
            let image = try await TestImage.shell.built("one", on: scene.cluster)
            #expect(await rollout.roll(to: image))
            try await dev.hold(try await rolling.object("deployment/app"))
            #expect(await rollout.untilRolledOut())
            try await dev.hold(try await rolling.object("deployment/app"))
            #expect(try await rolling.revisions() == 3)
            let pod = try await scene.running()[0]
            #expect(try await rolling.word(in: pod.name) == "one")
            #expect(PodState(pod.json).devProgram != nil)
            #expect(!rolling.events("devMode").contains { $0["change"] == "reverted" }, "\(rolling.transcript)")
            await rollout.end()
            await dev.leave { _ in true }
            var expected = original.podSpec
            expected.change("app", in: "containers") { $0["image"] = .string(image) }
            #expect(try await rolling.object("deployment/app").podSpec == expected)
            #expect(rolling.events("failed").isEmpty, "\(rolling.transcript)")
        }
    }

    @Test("a container that is not there is one line, with those that are")
    func wrongContainer() async throws {
        try await RollingScene.run { rolling in
            try await rolling.scene.deploy(Workload(), wait: false)
            let rollout = rolling.rollout(.deployment, container: "web")
            #expect(await rollout.roll(to: "web:1") == false)
            let failure = try await rolling.event("failed")
            #expect(failure["summary"] == "container \"web\" is not in deployment/app, but app")
            #expect(await rolling.rollout(.deployment, "other").roll(to: "web:1") == false)
            _ = try await rolling.event("failed", from: 1) {
                $0["summary"]?.string?.hasPrefix("deployment/other is not in namespace") == true
                    && $0["nextStep"]?.string != nil
            }
            #expect(try await rolling.revisions() == 1)
        }
    }

    @Test("whoever takes it back is named, twice it is set again, and then left alone until the next change")
    func takenBack() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await scene.deploy(Workload())
            let old = try #require(
                try await rolling.object("deployment/app").podSpec["containers"]?[0]?["image"]?.string)
            let rollout = rolling.rollout(.deployment)
            let image = try await TestImage.shell.built("one", on: scene.cluster)
            #expect(await rollout.roll(to: image))
            #expect(await rollout.untilRolledOut())
            for _ in 1...2 {
                let place = rolling.log.count
                try await scene.kubectl([
                    "set", "image", "deployment/app", "app=\(old)", "--field-manager=argocd-controller",
                ])
                try await rolling.event("rollingOut", from: place) { $0["by"] == "argocd-controller" }
                try await rolling.event("rolledOut", from: place)
                #expect(
                    try await rolling.object("deployment/app").podSpec["containers"]?[0]?["image"] == .string(image))
            }
            try await scene.kubectl(["set", "image", "deployment/app", "app=\(old)", "--field-manager=helm"])
            let failure = try await rolling.event("failed")
            #expect(
                failure["summary"]
                    == .string("deployment/app: helm has taken \(image) back a third time; it is left alone"))
            #expect(try await rolling.object("deployment/app").podSpec["containers"]?[0]?["image"] == .string(old))
            #expect(await rollout.untilRolledOut() == false)
            #expect(await rollout.roll(to: image))
            #expect(await rollout.untilRolledOut())
            await rollout.end()
        }
    }

    @Test("an image that does not come up is told while it fails, and the next one heals it, also of a StatefulSet")
    func broken() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await scene.deploy(Workload(kind: "StatefulSet"))
            let rollout = rolling.rollout(.statefulset)
            let nowhere = "\(scene.cluster.registry)/loopd-e2e/nosuch:loopd-0123456789abcdef"
            #expect(await rollout.roll(to: nowhere))
            try await rolling.event("failed")
            let place = rolling.log.count
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            #expect(await rollout.untilRolledOut(), "\(rolling.transcript)")
            #expect(try await rolling.word(in: "app-0") == "one")
            try await rolling.event("rolledOut", from: place)
            await rollout.end()
        }
    }
}

extension JSON {
    fileprivate var podSpec: JSON { at("spec", "template", "spec") ?? .null }

    /// Changes an element of a list by its name.
    fileprivate mutating func change(_ name: String, in list: String, _ body: (inout JSON) -> Void) {
        guard var elements = self[list]?.array, let index = elements.firstIndex(where: { $0["name"]?.string == name })
        else { return }
        body(&elements[index])
        self[list] = .array(elements)
    }
}
