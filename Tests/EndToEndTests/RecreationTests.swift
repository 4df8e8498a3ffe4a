import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("Jobs and pods that are made anew", .turn) struct RecreationTests {
    @Test("a Job keeps its image without consent; with it, it is made anew as it was, and runs")
    func job() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await rolling.apply(rolling.job(try await rolling.podSpec(), annotations: ["note": "kept"]))
            _ = try await scene.running()
            let before = try await rolling.object("job/once")
            let image = try await TestImage.shell.built("one", on: scene.cluster)
            #expect(await rolling.rollout(.job, "once").roll(to: image) == false)
            let refusal = try await rolling.event("failed")
            #expect(refusal["summary"] == "job/once keeps its image: the template of a Job cannot be changed")
            #expect(refusal["nextStep"]?.string?.contains("\"recreate\": true") == true)
            #expect(try await rolling.object("job/once").at("metadata", "uid") == before.at("metadata", "uid"))

            let place = rolling.log.count
            let rollout = rolling.rollout(.job, "once", recreate: true)
            #expect(await rollout.roll(to: image))
            #expect(await rollout.untilRolledOut(), "\(rolling.transcript)")
            try await rolling.event("rolledOut", from: place) { $0["workloads"] == ["job/once"] }
            let after = try await rolling.object("job/once")
            #expect(after.at("metadata", "uid") != before.at("metadata", "uid"))
            #expect(after.at("metadata", "labels") == before.at("metadata", "labels"))
            #expect(after.at("metadata", "annotations", "note") == "kept")
            #expect(after.at("spec", "backoffLimit") == 2)
            #expect(after.at("spec", "template", "metadata", "labels", "app") == "once")
            let pod = try await scene.running()[0]
            #expect(try await rolling.word(in: pod.name) == "one")
            #expect(await rollout.roll(to: image))
            #expect(try await rolling.object("job/once").at("metadata", "uid") == after.at("metadata", "uid"))
            #expect(try await scene.kubectl(["get", "secrets", "-o", "name"]).text.contains("loopd-recreate") == false)
            await rollout.end()
        }
    }

    @Test("a Job that has run to its end runs again with the new image, and its end is its success")
    func finished() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            let container: JSON = [
                "name": "app", "image": .string(try await TestImage.shell.name(on: scene.cluster)),
                "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", "test ! -e /word || grep one /word"],
            ]
            try await rolling.apply(rolling.job(try await rolling.podSpec(["containers": [container]])))
            try await scene.kubectl(["wait", "--for=condition=complete", "job/once", "--timeout=60s"])
            let rollout = rolling.rollout(.job, "once", recreate: true)
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            #expect(await rollout.untilRolledOut(), "\(rolling.transcript)")
            try await scene.kubectl(["wait", "--for=condition=complete", "job/once", "--timeout=60s"])
            await rollout.end()
        }
    }

    @Test("a bare pod likewise; one that a controller makes is not touched")
    func pod() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            let pod: JSON = [
                "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "app", "labels": ["team": "a"]],
                "spec": try await rolling.podSpec(["restartPolicy": "Always"]),
            ]
            try await rolling.apply(pod)
            let before = try await scene.running()[0]
            let image = try await TestImage.shell.built("one", on: scene.cluster)
            #expect(await rolling.rollout(.pod).roll(to: image) == false)
            let refusal = try await rolling.event("failed")
            #expect(refusal["summary"] == "pod/app keeps its image: a pod of its own is not rolled out")
            let rollout = rolling.rollout(.pod, recreate: true)
            #expect(await rollout.roll(to: image))
            #expect(await rollout.untilRolledOut(), "\(rolling.transcript)")
            #expect(try await rolling.word(in: "app") == "one")
            let after = try await scene.running()[0]
            #expect(after.uid != before.uid)
            #expect(after.json.at("metadata", "labels") == ["team": "a"])
            await rollout.end()

            try await scene.deploy(Workload("web"))
            let owned = try #require(try await scene.running(2).first { $0.name.hasPrefix("web-") })
            let place = rolling.log.count
            #expect(await rolling.rollout(.pod, owned.name, recreate: true).roll(to: image) == false)
            try await rolling.event("failed", from: place) {
                $0["summary"]?.string?.hasPrefix("pod/\(owned.name) belongs to replicaset/web-") == true
            }
        }
    }

    @Test("files are synced into a Job's pod, also into that of the Job that takes its place; status tells of it")
    func sync() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await rolling.apply(rolling.job(try await rolling.podSpec()))
            let before = try await scene.running()[0]
            try scene.configure("job/once")
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            #expect(try await scene.text("/srv/app/a", in: before.name) == "1")
            let annotations = try await rolling.object("job/once").at("metadata", "annotations")
            #expect(annotations?[Lease.annotation] != nil)
            let status = try await scene.loopd("status")
            #expect(try await status.end(limit: .seconds(30)) == .exited(0), "\(status.transcript)")
            #expect(status.transcript.contains(before.name), "\(status.transcript)")

            let place = loopd.log.count
            let rollout = rolling.rollout(.job, "once", recreate: true)
            #expect(await rollout.roll(to: try await TestImage.shell.built("one", on: scene.cluster)))
            #expect(await rollout.untilRolledOut(), "\(rolling.transcript)")
            let after = try #require(try await scene.running().first)
            try await loopd.connected(to: after.name, from: place)
            try scene.project.replace("app/a", "2")
            try await scene.untilEqual("app", "/srv/app", in: after.name)
            await rollout.end()
            try await loopd.stop()
        }
    }

    @Test(
        "a session that ends while the old pod still goes leaves a Secret, by which the next one makes it")
    func ended() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await pod(rolling)
            let image = try await TestImage.shell.built("one", on: scene.cluster)
            let rollout = rolling.rollout(.pod, recreate: true)
            let rolled = Task { await rollout.roll(to: image) }
            try await RollingScene.untilLeaving("app", rolling.connection, scene.namespace)
            rolled.cancel()
            #expect(await rolled.value == false)
            await rollout.end()
            try await rolling.event("failed") {
                $0["summary"] == "pod/app is being deleted and was not made anew yet"
            }
            try await takenUp(rolling, by: "restore")
        }
    }

    @Test("what a killed loopd has deleted is made by the next start and by restore", arguments: ["restore", "sync"])
    func killed(by command: String) async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await pod(rolling)
            let image = try await TestImage.shell.built("one", on: scene.cluster)
            let cluster = scene.cluster
            await #expect(processExitsWith: .signal(SIGKILL)) {
                [
                    kubeconfig = cluster.kubeconfig as String, context = cluster.context as String,
                    namespace = scene.namespace as String, image = image as String
                ] in
                let connection = try await RollingScene.connect(kubeconfig: kubeconfig, context)
                let rolled = RolledImage(kind: .pod, name: "app", image: "web")
                let rollout = ImageRollout(
                    rolled, recreate: true, dev: nil, client: connection.client, namespace: namespace
                ) { _ in }
                Task { await rollout.roll(to: image) }
                try await RollingScene.untilLeaving("app", connection, namespace)
                kill(getpid(), SIGKILL)
            }
            try await takenUp(rolling, by: command)
        }
    }

    /// A pod that takes its time to go.
    private func pod(_ rolling: RollingScene) async throws {
        try await rolling.apply([
            "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "app", "labels": ["team": "a"]],
            "spec": try await rolling.podSpec(
                grace: 8, command: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]),
        ])
        _ = try await rolling.scene.running()
    }

    /// Lets another loopd finish what was begun.
    private func takenUp(_ rolling: RollingScene, by command: String) async throws {
        let scene = rolling.scene
        let secrets = try await scene.kubectl(["get", "secrets", "-o", "name"])
        #expect(secrets.text.contains("secret/loopd-recreate-pod-app"), "\(secrets.text)")
        try scene.configure("pod/app")
        try scene.project.write("app/a", "1")
        let loopd = try await scene.loopd(command)
        #expect(try await loopd.end(limit: .seconds(90)) == .exited(0), "\(loopd.transcript)")
        let made = try await scene.running()[0]
        #expect(made.json.at("metadata", "labels") == ["team": "a"])
        #expect(try await rolling.word(in: "app") == "one")
        #expect(try await scene.kubectl(["get", "secrets", "-o", "name"]).text.contains("loopd-recreate") == false)
        if command == "sync" { #expect(try await scene.text("/srv/app/a", in: "app") == "1") }
    }
}
