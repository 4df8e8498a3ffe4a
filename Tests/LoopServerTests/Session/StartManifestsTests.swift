import HTTP
import JSON
import Testing

@testable import LoopServer

@Suite("Manifests of the start", .turn) struct StartManifestsTests {
    /// A double of kubectl around the real one: it applies nothing, takes its time for that, and tells when somebody else
    /// applies meanwhile.
    private static func double(_ folder: String, _ kubectl: String) -> String {
        """
        #!/bin/sh
        for argument in "$@"; do
            if [ "$argument" = apply ]; then
                mkdir "\(folder)/busy" 2> "\(folder)/error" || echo "another one applies" >> "\(folder)/log"
                sleep 0.3
                echo applied >> "\(folder)/log"
                rmdir "\(folder)/busy"
                echo "deployment.apps/web configured"
                exit 0
            fi
        done
        exec "\(kubectl)" "$@"

        """
    }

    @Test("are applied one after the other, however many images are finished at the same time")
    func serial() async throws {
        let folder = try ScratchTree()
        let path = folder.path
        let scratch = try Scratch()
        try folder.write("kubectl", Self.double(path, try Kubectl.find().program), mode: 0o755)
        try folder.write(
            "web.json",
            """
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"template": {"spec":
            {"containers": [{"name": "web", "image": "web:dev"}]}}}}
            """)
        // Nothing is there, and everything may be written.
        try await withAPI({ exchange in
            guard exchange.request.method == "PATCH" else { return try await exchange.fail(404, "NotFound", "none") }
            try await exchange.answer(try JSON(parsing: try await exchange.body()))
        }) { client, endpoint in
            let kubeconfig = try scratch.kubeconfig(server: "http://\(endpoint)", contexts: ["kind-test"])
            let kubectl = Kubectl(program: "\(path)/kubectl", kubeconfig: kubeconfig, context: "kind-test")
            let context = KubeContext(name: "kind-test", server: "http://\(endpoint)", kubectl: kubectl)
            let proxy = try await KubectlProxy.start(context, programs: Programs.find())
            let leash = try BuildLaneTests.leash
            let connection = ClusterConnection(
                context: context, proxy: proxy, client: client, leash: leash, registries: Registries(leash: leash))
            let service = Service(name: "web", root: path, manifests: ["\(path)/web.json"])
            let inputs = Deployments.Inputs(
                connection: connection,
                configuration: Configuration(
                    file: "loop.json", directory: path, project: "shop", cluster: Cluster(), watch: WatchSettings(),
                    services: [service]),
                devModes: [], images: { ManifestImages(["web": "registry/web:1"]) }, clues: { RegistryClues() },
                scratch: path)
            let start = StartManifests([service], inputs) { event in
                if case .failed(let failure) = event { Issue.record("\(failure)") }
            }
            #expect(try await start.apply() == ["deployment.apps/web configured"])
            await withTaskGroup { group in
                for _ in 0..<3 { group.addTask { await start.settle(images: ["web"]) } }
                group.addTask { _ = try? await start.apply() }
            }
            // What has no such image in it stays as it is.
            await start.settle(images: ["other"])
            await proxy.stop()
        }
        let log = String(decoding: try SmallFile.read("\(path)/log", limit: 1 << 16), as: UTF8.self)
        #expect(log.split(separator: "\n") == Array(repeating: "applied", count: 5), "\(log)")
    }
}
