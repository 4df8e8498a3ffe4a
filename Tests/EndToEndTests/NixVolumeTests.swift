import Glibc
import JSON
import Reactor
import TestCluster
import Testing

/// There is no nix-csi here: the workloads have its volumes and no pods, and what is seen is what becomes of the template.
@Suite("Workloads with volumes of nix-csi", .turn) struct NixVolumeTests {
    private func deploy(_ scene: Scene, _ attributes: JSON) async throws {
        var workload = Workload()
        workload.replicas = 0
        workload.pod = [
            "volumes": [["name": "nix", "csi": ["driver": "nix.csi.store", "volumeAttributes": attributes]]]
        ]
        let manifest = try await workload.manifest(on: scene.cluster)
        let space: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(scene.namespace)]]
        try await scene.kubectl(["apply", "-f", "-"], input: space.bytes + manifest.bytes)
    }

    private func configure(_ scene: Scene, copyTo store: String?) throws {
        var sideload: JSON = ["nix": ".#app"]
        sideload["copyTo"] = store.map(JSON.string)
        try scene.project.configure(
            scene.configuration([
                "app": ["workload": "deployment/app", "rules": [["watch": ["*.nix"], "sideload": sideload]]]
            ]))
        try scene.project.write(
            "flake.nix", "{ outputs = { self }: let \(PrivateStore.write) in { app = write \"app\" \"one\"; }; }")
    }

    private func template(_ scene: Scene) async throws -> JSON {
        let output = try await scene.kubectl(["get", "deployment", "app", "-o", "json"])
        return try JSON(parsing: output.standardOutput).at("spec", "template") ?? [:]
    }

    @Test("a volume of an earlier build is pointed at the new store path, which was copied first")
    func repoints() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            var attributes: JSON = [:]
            attributes[PrivateStore.system] = "/nix/store/00000000000000000000000000000000-app"
            try await deploy(scene, attributes)
            let cache = "\(scene.project.path)/cache"
            try configure(scene, copyTo: "file://\(cache)")
            let loopd = try await scene.loopd("watch", environment: store.environment)
            let notice = try await loopd.event("notice", limit: .seconds(90)) {
                $0["text"]?.string?.contains("its volume is pointed at") == true
            }
            let path = try #require(notice["text"]?.string?.split(separator: " ").last)
            let volume = try await template(scene).at("spec", "volumes")?[0]
            #expect(volume?.at("csi", "volumeAttributes", PrivateStore.system)?.string == String(path))
            let hash = path.dropFirst("/nix/store/".count).prefix(32)
            #expect(access("\(cache)/\(hash).narinfo", F_OK) == 0)
        }
    }

    @Test("a flake on this machine is named, and nothing is done to the workload")
    func unreachable() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await deploy(scene, ["flakeRef": "path:/home/me/app#server"])
            try configure(scene, copyTo: nil)
            let before = try await template(scene)
            let loopd = try await scene.loopd("watch", environment: store.environment)
            let failed = try await loopd.event("failed", limit: .seconds(90))
            #expect(
                failed["summary"]?.string
                    == "deployment/app: volume \"nix\": nodes cannot reach path:/home/me/app#server; name a store that they "
                    + "read with \"copyTo\" in loop.json")
            #expect(try await template(scene) == before)
        }
    }
}
