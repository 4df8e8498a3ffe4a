import JSON
import Reactor
import TestCluster
import Testing

@Suite("Objects that cannot become what the manifests say", .turn) struct ImmutableTests {
    private func map(_ name: String, _ data: JSON, immutable: Bool = false) -> JSON {
        var map: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": .string(name)], "data": data,
        ]
        if immutable { map["immutable"] = true }
        return map
    }

    private func job(_ scene: Scene, _ word: String, _ more: JSON = [:]) async throws -> JSON {
        let container: JSON = [
            "name": "app", "image": .string(try await TestImage.shell.name(on: scene.cluster)),
            "imagePullPolicy": "IfNotPresent", "command": ["/bin/sh", "-c", .string("echo \(word)")],
        ]
        let spec: JSON = ["restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]]
        let job: JSON = [
            "apiVersion": "batch/v1", "kind": "Job", "metadata": ["name": "migrate"],
            "spec": [
                "backoffLimit": 0, "template": ["spec": spec.merged(with: scene.cluster.podPatch?["spec"] ?? [:])],
            ],
        ]
        return job.merged(with: more)
    }

    private func configure(_ scene: Scene, _ service: JSON = [:]) throws {
        let rules: JSON = [["watch": ["k8s/**"], "deploy": ["manifests": "k8s"]]]
        let whole = (["root": "web", "rules": rules] as JSON).merged(with: service)
        try scene.project.configure(scene.configuration(["web": whole]))
        try scene.project.folder("web/k8s")
    }

    private func write(_ scene: Scene, _ objects: JSON...) throws {
        let list: JSON = ["apiVersion": "v1", "kind": "List", "items": .array(objects)]
        try scene.project.replace("web/k8s/all.json", list.text)
    }

    private func object(_ scene: Scene, _ reference: String) async throws -> JSON {
        try JSON(
            parsing: try await scene.kubectl(["get", reference, "-o", "json", "--show-managed-fields"]).standardOutput)
    }

    private func uid(_ scene: Scene, _ reference: String) async throws -> JSON? {
        try await object(scene, reference).at("metadata", "uid")
    }

    private func run(_ scene: Scene, _ command: String, _ option: String? = nil, exits code: Int32) async throws
        -> Loopd
    {
        let loopd = if let option { try await scene.loopd(command, option) } else { try await scene.loopd(command) }
        #expect(try await loopd.end(limit: .seconds(120)) == .exited(code), "\(loopd.transcript)")
        return loopd
    }

    private func lines(_ loopd: Loopd) async throws -> [JSON] { try await loopd.event("diff")["lines"]?.array ?? [] }

    private func failures(_ loopd: Loopd) -> [String] {
        loopd.log.events().filter { $0["event"] == "failed" }.compactMap { $0["summary"]?.string }
    }

    private static let kept = "job/migrate stays as it is: its template changed, and a Job's template is immutable"

    @Test(
        "a Job whose template changes stays without consent while the rest is applied; with it, it is made anew and runs"
    )
    func job() async throws {
        try await Scene.run { scene in
            try configure(scene)
            try write(scene, try await job(scene, "one"), map("one", ["a": "1"]))
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            let first = try await uid(scene, "job/migrate")

            try write(scene, try await job(scene, "two"), map("one", ["a": "2"]))
            let kept = try await run(scene, "sync", exits: 1)
            #expect(failures(kept) == [Self.kept], "\(kept.transcript)")
            #expect(
                try await kept.event("deployed") { $0["service"] == "web" }["objects"]?.array == ["configmap/one"])
            #expect(try await object(scene, "configmap/one")["data"] == ["a": "2"])
            #expect(try await uid(scene, "job/migrate") == first)
            let again = try await run(scene, "sync", exits: 1)
            #expect(failures(again) == [Self.kept], "\(again.transcript)")

            let question = "! job/migrate  is made anew: its template is immutable"
            let shown = try await run(scene, "deploy", "--dry-run", exits: 0)
            #expect(try await lines(shown) == [.string(question)])
            #expect(try await uid(scene, "job/migrate") == first)
            let done = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await done.event("rolledOut")["workloads"]?.array == ["job/migrate"])
            let second = try await object(scene, "job/migrate")
            #expect(second.at("metadata", "uid") != first)
            #expect(second.at("spec", "template", "spec", "containers")?[0]?["command"]?[2] == "echo two")
            let managers = (second.at("metadata", "managedFields")?.array ?? []).filter { $0["manager"] == "loopd" }
            #expect(managers.map { $0["operation"] } == ["Apply"])
            #expect(try await scene.kubectl(["get", "secrets", "-o", "name"]).text.contains("recreate") == false)
            let nothing = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await nothing.event("deployed")["objects"]?.array == [])

            try configure(scene, ["recreate": true])
            try write(scene, try await job(scene, "three"), map("one", ["a": "2"]))
            let consented = try await run(scene, "sync", exits: 0)
            #expect(
                try await consented.event("deployed") { $0["service"] == "web" }["objects"]?.array == ["job/migrate"])
            #expect(try await uid(scene, "job/migrate") != second.at("metadata", "uid"))

            // What has left the set goes, also when it was made anew.
            try write(scene, map("one", ["a": "2"]))
            let gone = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await lines(gone) == ["- job/migrate"])
        }
    }

    @Test("a new Job that the cluster would not take is refused before the old one and the rest are touched")
    func refused() async throws {
        try await Scene.run { scene in
            try configure(scene, ["recreate": true])
            try write(scene, try await job(scene, "one"), map("one", ["a": "1"]))
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            let first = try await uid(scene, "job/migrate")
            let bad: JSON = ["spec": ["template": ["spec": ["restartPolicy": "Always"]]]]
            try write(scene, try await job(scene, "two", bad), map("one", ["a": "2"]))
            let refused = try await run(scene, "deploy", "--yes", exits: 1)
            #expect(
                failures(refused).count == 1 && failures(refused)[0].hasPrefix("job/migrate"), "\(refused.transcript)")
            #expect(try await uid(scene, "job/migrate") == first)
            #expect(try await object(scene, "configmap/one")["data"] == ["a": "1"])
        }
    }

    @Test("a bare pod is made anew, too, and one that fails counts")
    func pod() async throws {
        try await Scene.run { scene in
            func pod(_ command: String) async throws -> JSON {
                var pod = try await job(scene, "").at("spec", "template") ?? [:]
                (pod["apiVersion"], pod["kind"], pod["metadata"]) = ("v1", "Pod", ["name": "bare"])
                var container = pod.at("spec", "containers")?[0] ?? [:]
                container["command"] = ["/bin/sh", "-c", .string(command)]
                pod["spec"]?["containers"] = [container]
                return pod
            }
            try configure(scene)
            try write(scene, try await pod("exit 0"))
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            let first = try await uid(scene, "pod/bare")
            try write(scene, try await pod("exit 3"))
            let done = try await run(scene, "deploy", "--yes", exits: 1)
            #expect(try await lines(done) == ["! pod/bare  is made anew: its spec is immutable"])
            #expect(try await uid(scene, "pod/bare") != first)
            #expect(failures(done).contains { $0.contains("3") }, "\(done.transcript)")
        }
    }

    @Test("one that is broken off while the old one goes is finished by the next deployment")
    func brokenOff() async throws {
        try await Scene.run { scene in
            func pod(_ word: String) async throws -> JSON {
                let container: JSON = [
                    "name": "app", "image": .string(try await TestImage.shell.name(on: scene.cluster)),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done", .string(word)],
                ]
                let spec: JSON = ["terminationGracePeriodSeconds": 8, "containers": [container]]
                return [
                    "apiVersion": "v1", "kind": "Pod", "metadata": ["name": "bare"],
                    "spec": spec.merged(with: scene.cluster.podPatch?["spec"] ?? [:]),
                ]
            }
            try configure(scene, ["recreate": true])
            try write(scene, try await pod("one"))
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            let first = try await uid(scene, "pod/bare")
            try write(scene, try await pod("two"))
            let broken = try await scene.loopd("deploy", "--yes")
            while try await object(scene, "pod/bare").at("metadata", "deletionTimestamp") == nil {
                try await Task.sleep(for: .milliseconds(50))
            }
            try await broken.stop()
            let words = "pod/bare is being deleted and was not made anew yet"
            #expect(failures(broken) == [words], "\(broken.transcript)")
            let secrets = try await scene.kubectl(["get", "secrets", "-o", "name"])
            #expect(secrets.text.contains("loopd-recreate-pod-bare"), "\(secrets.text)")
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            let second = try await object(scene, "pod/bare")
            #expect(second.at("metadata", "uid") != first)
            #expect(second.at("spec", "containers")?[0]?["command"]?[3] == "two")
            #expect(try await scene.kubectl(["get", "secrets", "-o", "name"]).text.contains("recreate") == false)
        }
    }

    @Test("other objects stay as they are, each with a line and what to do; a real mistake still stops all of it")
    func others() async throws {
        try await Scene.run { scene in
            try configure(scene)
            var set = try await Workload("db", kind: "StatefulSet").manifest(on: scene.cluster)
            set["spec"]?["replicas"] = 0
            try write(scene, set, map("fixed", ["a": "1"], immutable: true), map("one", ["a": "1"]))
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            set["spec"]?["serviceName"] = "other"
            try write(scene, set, map("fixed", ["a": "2"], immutable: true), map("one", ["a": "2"]))
            let kept = try await run(scene, "deploy", "--yes", exits: 1)
            #expect(failures(kept).count == 2, "\(kept.transcript)")
            #expect(failures(kept).contains("configmap/fixed stays as it is: data is immutable"))
            #expect(failures(kept).contains { $0.hasPrefix("statefulset/db stays as it is: spec: updates to ") })
            #expect(try await object(scene, "configmap/one")["data"] == ["a": "2"])
            #expect(try await object(scene, "configmap/fixed")["data"] == ["a": "1"])

            try await scene.kubectl(["delete", "configmap/fixed"])
            try await scene.kubectl(["delete", "statefulset/db", "--cascade=orphan"])
            _ = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await object(scene, "configmap/fixed")["data"] == ["a": "2"])

            set["spec"]?["serviceName"] = "third"
            var wrong = try await Workload("web").manifest(on: scene.cluster)
            wrong["spec"]?["replicas"] = -1
            try write(scene, set, wrong, map("one", ["a": "3"]))
            let refused = try await run(scene, "deploy", "--yes", exits: 1)
            #expect(failures(refused).count == 1, "\(refused.transcript)")
            #expect(failures(refused).first?.hasPrefix("deployment/web of web/k8s/all.json is refused: ") == true)
            #expect(try await object(scene, "configmap/one")["data"] == ["a": "2"])
        }
    }

    @Test("a field that kubectl apply had set goes when it leaves the manifest; what others have set stays")
    func kubectls() async throws {
        try await Scene.run { scene in
            // First by the service's own `manifests`, which kubectl applies.
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/x"]]
            let begin: JSON = ["root": "web", "manifests": ["k8s"], "selector": "a=b", "rules": [sync]]
            try scene.project.configure(scene.configuration(["web": begin]))
            try scene.project.folder("web/k8s")
            var web = try await Workload("web").manifest(on: scene.cluster)
            web["spec"]?["minReadySeconds"] = 1
            web["metadata"]?["labels"]?["team"] = "a"
            let one = try await job(scene, "one")
            try write(scene, map("one", ["a": "1", "b": "2"]), web, one)
            let applied = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await applied.event("rolledOut")["workloads"]?.array == ["deployment/web", "job/migrate"])
            let first = try await uid(scene, "job/migrate")
            try await scene.kubectl([
                "patch", "configmap/one", "--type=merge", "--field-manager=other", "-p", "{\"data\":{\"c\":\"3\"}}",
            ])

            try configure(scene)
            web["spec"]?["minReadySeconds"] = nil
            web["metadata"]?["labels"]?["team"] = nil
            try write(scene, map("one", ["a": "1"]), web, one)
            let taken = try await run(scene, "deploy", "--yes", exits: 0)
            let diff = try await lines(taken)
            #expect(diff.contains("~ configmap/one  data.b 2 → (none)"), "\(diff)")
            #expect(diff.contains("~ deployment/web  spec.minReadySeconds 1 → (none)"), "\(diff)")
            #expect(diff.contains("~ job/migrate  is loopd's from now on"), "\(diff)")
            #expect(try await object(scene, "configmap/one")["data"] == ["a": "1", "c": "3"])
            let now = try await object(scene, "deployment/web")
            #expect(now.at("spec", "minReadySeconds") == nil)
            #expect(now.at("metadata", "labels") == ["app": "web"])
            let managers = (now.at("metadata", "managedFields")?.array ?? []).compactMap { $0["manager"]?.string }
            #expect(managers.contains("loopd") && !managers.contains("kubectl-client-side-apply"), "\(managers)")
            #expect(try await uid(scene, "job/migrate") == first)
            let nothing = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await nothing.event("deployed")["objects"]?.array == [])
        }
    }

    @Test("deploy waits for what a service's own manifests start, and fails with the cause where that fails")
    func start() async throws {
        try await Scene.run { scene in
            let service: JSON = [
                "root": "web", "manifests": ["k8s"], "selector": "a=b",
                "rules": [["watch": ["app/**"], "sync": ["to": "/x"]]],
            ]
            try scene.project.configure(scene.configuration(["web": service]))
            try scene.project.folder("web/k8s")
            let command: JSON = ["command": ["/bin/sh", "-c", "echo boom; exit 3"]]
            var web = try await Workload("web", container: command).manifest(on: scene.cluster)
            for (key, seconds) in [("progressDeadlineSeconds", 6), ("minReadySeconds", 4)] as [(String, JSON)] {
                web["spec"]?[key] = seconds
            }
            try write(scene, web)
            let failed = try await run(scene, "deploy", "--yes", exits: 1)
            #expect(failures(failed).contains { $0.contains("exited with code 3") }, "\(failed.transcript)")
            let end = "deployment/web has made no progress for 6 s, its progressDeadlineSeconds: "
            #expect(failures(failed).last?.hasPrefix(end) == true, "\(failed.transcript)")
            try write(scene, try await Workload("web").manifest(on: scene.cluster))
            let done = try await run(scene, "deploy", "--yes", exits: 0)
            #expect(try await done.event("rolledOut")["workloads"]?.array == ["deployment/web"])
        }
    }
}
