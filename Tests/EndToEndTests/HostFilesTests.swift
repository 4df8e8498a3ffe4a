import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("A pod's files and identity on this machine", .turn) struct HostFilesTests {
    private static let volumes: JSON = [
        ["name": "settings", "configMap": ["name": "settings"]],
        [
            "name": "chosen",
            "secret": ["secretName": "login", "items": [["key": "password", "path": "deep/pw", "mode": 0o400]]],
        ],
        [
            "name": "about",
            "downwardAPI": ["items": [["path": "labels", "fieldRef": ["fieldPath": "metadata.labels"]]]],
        ],
        [
            "name": "all",
            "projected": [
                "sources": [
                    ["configMap": ["name": "settings", "items": [["key": "level", "path": "level"]]]],
                    ["secret": ["name": "login"]],
                    ["downwardAPI": ["items": [["path": "name", "fieldRef": ["fieldPath": "metadata.name"]]]]],
                ]
            ],
        ],
    ]
    private static let mounts: JSON = [
        ["name": "settings", "mountPath": "/etc/settings"], ["name": "chosen", "mountPath": "/etc/chosen"],
        ["name": "about", "mountPath": "/etc/about"], ["name": "all", "mountPath": "/srv/all"],
        ["name": "settings", "mountPath": "/etc/one.conf", "subPath": "text"],
    ]
    private static let files = [
        "/etc/settings/level", "/etc/settings/text", "/etc/settings/some.key", "/etc/chosen/deep/pw",
        "/etc/about/labels",
        "/srv/all/level", "/srv/all/password", "/srv/all/user", "/srv/all/name", "/etc/one.conf",
    ]

    @Test("every file is here as it is in the pod, and kubectl here is the pod's service account")
    func filesAndIdentity() async throws {
        try await RollingScene.run { rolling in
            let scene = rolling.scene
            try await EnvironmentTests.makeObjects(scene)
            try await scene.deploy(
                Workload(container: ["volumeMounts": Self.mounts], pod: ["volumes": Self.volumes]))
            let pod = try await scene.running()[0]
            let environment = try await HostEnvironment.gather(
                HostEnvironment.Request(
                    client: rolling.connection.client, context: rolling.connection.context,
                    namespace: scene.namespace, pod: pod.json, container: "app", identity: .serviceAccount))
            defer { environment.remove() }
            for file in Self.files {
                let here = (try? TestCluster.Disk.read(environment.root + file)).map {
                    String(decoding: $0, as: UTF8.self)
                }
                #expect(here != nil)
                #expect(try await scene.text(file, in: pod.name) == here, "\(file)")
            }
            var launch = Launch(["kubectl", "get", "pod", pod.name, "-o", "name"])
            launch.environment = environment.variables.merging(
                ["PATH": variable("PATH") ?? "", "HOME": environment.root]) { own, _ in own }
            let answer = try await Child.run(launch)
            if scene.cluster.isPlayground {
                // It asks nobody who they are: shown is only that the kubeconfig leads there.
                #expect(answer.text == "pod/\(pod.name)\n", "\(answer.errorText)")
            } else {
                let account = "system:serviceaccount:\(scene.namespace):default"
                #expect((answer.text + answer.errorText).contains(account) || answer.text == "pod/\(pod.name)\n")
            }
        }
    }
}
