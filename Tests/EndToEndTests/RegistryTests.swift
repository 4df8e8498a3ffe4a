import HTTP
import JSON
import Reactor
import TestCluster
import Testing

/// Where images go when nobody says so, and what becomes of old ones.
@Suite("The cluster's registry", .turn) struct RegistryTests {
    private static let hosting = "local-registry-hosting"

    /// A service whose image is `image/**`, in a workload that remembers no old revision.
    private func configure(_ scene: Scene, image: String) async throws {
        let base = try await TestImage.shell.name(on: scene.cluster)
        try scene.project.configure(
            scene.configuration([
                "app": [
                    "workload": "deployment/app", "manifests": ["app.json"],
                    "rules": [
                        [
                            "watch": ["image/**"],
                            "image": ["name": .string(image), "base": .string(base), "to": "/srv/image"],
                        ]
                    ],
                ]
            ]))
        var manifest = try await Workload().manifest(on: scene.cluster)
        var container = try #require(manifest.at("spec", "template", "spec", "containers")?[0])
        container["image"] = .string(image)
        manifest["spec"]?["template"]?["spec"]?["containers"] = [container]
        manifest["spec"]?["revisionHistoryLimit"] = 0
        try scene.project.write("app.json", manifest.text)
        try scene.project.write("image/a", "0")
    }

    /// Waits until the only pod runs an image.
    private func untilRunning(_ image: String, _ scene: Scene) async throws {
        _ = try await scene.pods().until("one pod with \(image)", limit: .seconds(60)) { pods in
            pods.count == 1 && pods[0].isRunning && pods[0].json.at("spec", "containers")?[0]?["image"]?.string == image
        }
    }

    private func tags(_ scene: Scene, of image: String) async throws -> [String] {
        let parts = scene.cluster.registry.split(separator: ":")
        let port = try #require(parts.last.flatMap { UInt16($0) })
        let client = HTTPClient(endpoint: .tcp(host: String(parts[0]), port: port))
        defer { client.closeIdle() }
        let answer = try await client.fetch(HTTPRequest("GET", "/v2/\(image)/tags/list"), limit: 1 << 20)
        return try JSON(parsing: answer.body)["tags"]?.array?.compactMap(\.string) ?? []
    }

    @Test("is found by what the cluster says, and loopd's own old tags in it go")
    func found() async throws {
        try await Scene.run { scene in
            // On a cluster of somebody else's its own answer is the right one.
            guard scene.cluster.isPlayground else { return }
            let image = "\(scene.namespace)/web"
            try await configure(scene, image: image)
            let configMap: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": ["name": .string(Self.hosting), "namespace": "kube-public"],
                "data": ["localRegistryHosting.v1": .string("host: \"\(scene.cluster.registry)\"\nhelp: \"x\"\n")],
            ]
            let space: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "kube-public"]]
            try await scene.kubectl(["apply", "-f", "-"], input: space.bytes + configMap.bytes, scoped: false)
            let loopd = try await scene.loopd("watch")
            let notice = try await loopd.event("notice", limit: .seconds(60)) {
                $0["text"]?.string?.hasPrefix("images go to") == true
            }
            #expect(
                notice["text"]?.string
                    == "images go to \(scene.cluster.registry) (as the cluster says: local-registry-hosting)")
            var built = try await loopd.event("imageBuilt", limit: .seconds(60))
            let first = built["reference"]?.string ?? ""
            #expect(first.hasPrefix("\(scene.cluster.registry)/\(image):loopd-"))
            try await untilRunning(first, scene)
            // The first one stays: kubectl keeps what it has applied in an annotation.
            var second = ""
            for number in 1...12 {
                let place = loopd.log.count
                try scene.project.replace("image/a", "\(number)")
                built = try await loopd.event("imageBuilt", from: place, limit: .seconds(60))
                try await untilRunning(built["reference"]?.string ?? "", scene)
                if number == 1 { second = built["reference"]?.string ?? "" }
            }
            // Old tags go beside the builds, some time after the last of them.
            let oldest = second.split(separator: ":").last.map(String.init) ?? ""
            let left = try await within(.seconds(60), "\(oldest) goes", state: { loopd.transcript }) {
                while true {
                    let left = try await tags(scene, of: image)
                    if !left.contains(oldest) { return left }
                    try Task.checkCancellation()
                }
            }
            let newest = built["reference"]?.string?.split(separator: ":").last.map(String.init) ?? ""
            #expect(left.contains(newest))
            #expect((5...12).contains(left.count), "\(left)")
            try await loopd.stop()
            try await scene.kubectl(
                ["delete", "configmap", Self.hosting, "-n", "kube-public"], scoped: false)
        }
    }
}
