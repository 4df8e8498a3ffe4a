import JSON
import Synchronization
import Testing

@testable import LoopServer

@Suite("Where images go", .turn) struct RegistryDiscoveryTests {
    private static func surroundings(_ context: String) -> RegistryDiscovery.Surroundings {
        RegistryDiscovery.Surroundings(
            context: context, hosting: { nil }, nodes: { [] }, hasProgram: { _ in false }, hasFile: { _ in false },
            output: { _ in nil }, complaint: { _ in nil })
    }

    private static func hosting(_ text: String) -> LocalRegistryHosting? {
        LocalRegistryHosting(configMap: ["data": ["localRegistryHosting.v1": .string(text)]])
    }

    private static let k3dList =
        #"[{"name":"k3d-registry.localhost","role":"registry","portMappings":{"5000/tcp":[{"HostIp":"0.0.0.0","HostPort":"5001"}]},"networks":["k3d-dev"]}]"#
    private static let dockerLines = """
        {"Names":"k3d-other","Ports":"0.0.0.0:5005->5000/tcp","Networks":"bridge"}
        {"Names":"k3d-dev-registry","Ports":"0.0.0.0:5001->5000/tcp, [::]:5001->5000/tcp","Networks":"bridge,k3d-dev"}
        """

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let context: String
        var image = "web"
        var change: @Sendable (inout RegistryDiscovery.Surroundings) -> Void = { _ in }
        let home: ImageHome
        let notice: String?
    }

    private static let cases: [Case] = [
        Case(
            testDescription: "what loop.json says", context: "prod",
            change: { $0.configured = RegistryNames(push: "a:1", pull: "b:2") },
            home: .registry(RegistryNames(push: "a:1", pull: "b:2")),
            notice: "images go to a:1, which the nodes call b:2 (as loop.json says)"),
        Case(
            testDescription: "the playground pulls from its own registry only", context: "loopd-p",
            change: {
                $0.playground = "localhost:40000"
                $0.configured = RegistryNames(push: "localhost:5000")
            }, home: .registry(RegistryNames(push: "localhost:40000")),
            notice:
                "images go to the playground's registry at localhost:40000, because its nodes pull from no other: \"registry\" of loop.json is for other clusters"
        ),
        Case(
            testDescription: "KEP-1755, all fields", context: "kind-dev",
            change: {
                $0.hosting = { hosting("host: \"localhost:5000\"\nhostFromContainerRuntime: 'registry:5000'\n") }
                $0.hasProgram = { _ in true }
            }, home: .registry(RegistryNames(push: "localhost:5000", pull: "registry:5000")),
            notice:
                "images go to localhost:5000, which the nodes call registry:5000 (as the cluster says: local-registry-hosting)"
        ),
        Case(
            testDescription: "KEP-1755, the host alone is for both", context: "kind-dev",
            change: { $0.hosting = { hosting("host: http://localhost:5000/ # ours") } },
            home: .registry(RegistryNames(push: "localhost:5000")),
            notice: "images go to localhost:5000 (as the cluster says: local-registry-hosting)"),
        Case(
            testDescription: "KEP-1755, loopd in a pod", context: "kind-dev",
            change: {
                $0.isInPod = true
                $0.hosting = { hosting("host: localhost:5000\nhostFromClusterNetwork: registry.kube:80\n") }
            }, home: .registry(RegistryNames(push: "registry.kube:80", pull: "localhost:5000")),
            notice:
                "images go to registry.kube:80, which the nodes call localhost:5000 (as the cluster says: local-registry-hosting)"
        ),
        Case(
            testDescription: "k3d's registry, as k3d lists it", context: "k3d-dev",
            change: { $0.output = { $0[0] == "k3d" ? k3dList : nil } },
            home: .registry(RegistryNames(push: "localhost:5001", pull: "k3d-registry.localhost:5000")),
            notice: "images go to localhost:5001, which the nodes call k3d-registry.localhost:5000 (k3d's registry)"
        ),
        Case(
            testDescription: "k3d's registry, as docker lists it: the one in the cluster's network", context: "k3d-dev",
            change: { $0.output = { $0[0] == "docker" ? dockerLines : nil } },
            home: .registry(RegistryNames(push: "localhost:5001", pull: "k3d-dev-registry:5000")),
            notice: "images go to localhost:5001, which the nodes call k3d-dev-registry:5000 (k3d's registry)"),
        Case(
            testDescription: "k3d without a registry of its own", context: "k3d-dev",
            change: {
                $0.hasProgram = { $0 == "k3d" }
                $0.output = { $0[0] == "k3d" ? "[]" : nil }
            }, home: .nodes(.k3d(cluster: "dev")),
            notice: "images go onto the nodes by k3d image import: there is no registry, which would be faster"),
        Case(
            testDescription: "kind", context: "kind-dev", change: { $0.hasProgram = { $0 == "kind" } },
            home: .nodes(.kind(cluster: "dev")),
            notice: "images go onto the nodes by kind load: there is no registry, which would be faster"),
        Case(
            testDescription: "an image that is named for a registry elsewhere stays here", context: "kind-dev",
            image: "ghcr.io/acme/web", change: { $0.hasProgram = { $0 == "kind" } },
            home: .nodes(.kind(cluster: "dev")),
            notice: "images go onto the nodes by kind load: there is no registry, which would be faster"),
        Case(
            testDescription: "an image that is named for a registry on this machine goes there", context: "kind-dev",
            image: "localhost:5000/web", change: { $0.hasProgram = { $0 == "kind" } },
            home: .registry(RegistryNames(push: "localhost:5000")),
            notice: "images go onto the nodes by kind load: there is no registry, which would be faster"),
        Case(
            testDescription: "an image that is named for a registry, and no other way", context: "prod",
            image: "ghcr.io/acme/web", home: .registry(RegistryNames(push: "ghcr.io")), notice: nil),
        Case(
            testDescription: "minikube's profile of any name", context: "shop",
            change: {
                $0.nodes = { [ClusterNode(labels: ["minikube.k8s.io/name": "shop"])] }
                $0.hasProgram = { $0 == "minikube" }
            }, home: .nodes(.minikube(profile: "shop")),
            notice: "images go onto the nodes by minikube image load: there is no registry, which would be faster"),
        Case(
            testDescription: "k3s on this machine", context: "default",
            change: {
                $0.server = "https://127.0.0.1:6443"
                $0.hasFile = { $0 == RegistryDiscovery.k3sSocket }
                $0.hasProgram = { $0 == "k3s" }
            }, home: .nodes(.k3s),
            notice: "images go onto the nodes by k3s ctr images import: there is no registry, which would be faster"),
        Case(
            testDescription: "k3s on this machine, with containerd's own ctr", context: "default",
            change: {
                $0.server = "https://127.0.0.1:6443"
                $0.hasFile = { $0 == RegistryDiscovery.k3sSocket }
                $0.hasProgram = { $0 == "ctr" }
            }, home: .nodes(.k3sSocket),
            notice: "images go onto the nodes by ctr images import: there is no registry, which would be faster"),
        Case(
            testDescription: "k3s with nodes elsewhere", context: "default",
            change: {
                $0.server = "https://localhost:6443"
                $0.nodes = { [ClusterNode(), ClusterNode()] }
                $0.hasProgram = { $0 == "k3s" }
            }, home: .nodes(.k3s),
            notice:
                "images go onto this machine's node by k3s ctr images import: other nodes of the cluster do not get them"
        ),
        Case(
            testDescription: "nodes that run what the engine has", context: "docker-desktop",
            change: { $0.nodes = { [ClusterNode(runtime: "docker://28.3.2")] } },
            home: .nodes(.shared(context: "docker-desktop")),
            notice: "images stay in the engine here: nodes of docker-desktop run what it has"),
        Case(
            testDescription: "nodes that kind has made for Docker Desktop", context: "docker-desktop",
            change: {
                $0.nodes = {
                    [
                        ClusterNode(
                            runtime: "containerd://1.7.18", provider: "kind://docker/desktop/desktop-control-plane")
                    ]
                }
                $0.hasProgram = { $0 == "kind" }
            }, home: .nodes(.kind(cluster: "desktop")),
            notice: "images go onto the nodes by kind load: there is no registry, which would be faster"),
    ]

    private final class Told: Sendable {
        let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    @Test("the first place that fits is found once, and named once", arguments: cases)
    func finds(_ one: Case) async throws {
        var surroundings = Self.surroundings(one.context)
        one.change(&surroundings)
        let told = Told()
        let choice = ImageHomeChoice(RegistryDiscovery(surroundings: surroundings)) { told.add($0) }
        #expect(try await choice.find(for: one.image) == one.home)
        #expect(try await choice.find(for: one.image) == one.home)
        #expect(told.lines.withLock { $0 } == [one.notice].compactMap(\.self))
    }

    private func failure(_ surroundings: RegistryDiscovery.Surroundings) async -> LoopEvent.Failure? {
        let choice = ImageHomeChoice(RegistryDiscovery(surroundings: surroundings)) { _ in }
        do {
            _ = try await choice.find(for: "web")
            return nil
        } catch {
            return (error as? LoopFailure)?.failure
        }
    }

    @Test("where nothing is found, what was looked at is named, and what to write into loop.json")
    func nothing() async throws {
        let next = "name it in loop.json: \"registry\": \"localhost:5000\", or {\"push\": …, \"pull\": …}"
        #expect(
            await failure(Self.surroundings("prod"))
                == LoopEvent.Failure(
                    "image web: no registry was found that nodes of prod pull from",
                    details: [
                        "ConfigMap kube-public/local-registry-hosting: not there",
                        "context prod: of no kind whose nodes loopd can load images onto",
                    ], nextStep: next))
        var kind = Self.surroundings("kind-dev")
        kind.hosting = { Self.hosting("hostFromClusterNetwork: registry:5000\nhelp: https://example.org/setup") }
        #expect(
            await failure(kind)
                == LoopEvent.Failure(
                    "image web: no registry was found that nodes of kind-dev pull from",
                    details: [
                        "ConfigMap kube-public/local-registry-hosting: names no host that this machine reaches",
                        "kind: not in PATH",
                    ], nextStep: "\(next); https://example.org/setup says how to set one up"))
        var k3d = Self.surroundings("k3d-dev")
        k3d.output = { $0[0] == "docker" ? Self.dockerLines.replacing("k3d-dev", with: "k3d-x") : nil }
        #expect(await failure(k3d)?.details[1] == "k3d's registry k3d-other: not in the network k3d-dev")
        k3d.output = {
            $0[0] == "docker" ? "{\"Names\":\"k3d-r\",\"Ports\":\"5000/tcp\",\"Networks\":\"k3d-dev\"}" : nil
        }
        #expect(await failure(k3d)?.details[1] == "k3d's registry k3d-r: no port of it is published")
        k3d.output = { _ in nil }
        #expect(await failure(k3d)?.details[1] == "k3d's registry: neither k3d nor docker answers")
        // A name is not enough: with another runtime nodes have a store of their own.
        var rancher = Self.surroundings("rancher-desktop")
        rancher.nodes = { [ClusterNode(runtime: "containerd://2.1.4")] }
        #expect(
            await failure(rancher)?.details[1]
                == "nodes of rancher-desktop: they run containerd://2.1.4, not what docker has here")
        rancher.nodes = { [] }
        #expect(
            await failure(rancher)?.details[1]
                == "nodes of rancher-desktop: whether they run what docker has here may not be looked at")
        // A cluster elsewhere gets nothing from the k3s of this machine.
        var remote = Self.surroundings("default")
        remote.server = "https://10.0.0.7:6443"
        remote.hasProgram = { _ in true }
        #expect(await failure(remote)?.details.count == 2)
    }

    @Test(
        "a registry that the cluster names and that does not answer is a failure with the cluster's help, until it answers"
    )
    func unreachable() async throws {
        let isUp = Told()
        var surroundings = Self.surroundings("kind-dev")
        surroundings.hosting = { Self.hosting("host: localhost:5000\nhelp: https://example.org/setup") }
        surroundings.complaint = { host in
            isUp.lines.withLock { $0.isEmpty } ? "\(host): connection refused" : nil
        }
        let choice = ImageHomeChoice(RegistryDiscovery(surroundings: surroundings)) { _ in }
        do {
            _ = try await choice.find(for: "web")
            Issue.record("it does not answer")
        } catch let error as LoopFailure {
            #expect(
                error.failure
                    == LoopEvent.Failure(
                        "the cluster's registry at localhost:5000 does not answer",
                        details: [
                            "localhost:5000: connection refused",
                            "ConfigMap kube-public/local-registry-hosting names it",
                        ], nextStep: "start it, or set it up anew: https://example.org/setup"))
        }
        isUp.add("up")
        #expect(try await choice.find(for: "web") == .registry(RegistryNames(push: "localhost:5000")))
    }

    @Test("a node is read, and only kind's own tell its name")
    func node() throws {
        let node: JSON = [
            "metadata": ["labels": ["a": "b"], "uid": "u"],
            "spec": ["providerID": "kind://docker/dev/dev-control-plane"],
            "status": [
                "nodeInfo": ["containerRuntimeVersion": "containerd://2.1.4"],
                "images": [["names": ["a:1", "a@sha256:0"]], ["names": nil]],
            ],
        ]
        let read = ClusterNode(node)
        #expect(read.labels == ["a": "b"] && read.runtime == "containerd://2.1.4" && !read.isDocker)
        #expect(read.kindCluster == "dev" && read.uid == "u" && read.images == ["a:1", "a@sha256:0"])
        #expect(ClusterNode(provider: "k3s://docker/dev/node").kindCluster == nil)
        #expect(ClusterNode().kindCluster == nil)
    }

    @Test("the ConfigMap of a real cluster is read")
    func recorded() throws {
        let hosting = try #require(
            LocalRegistryHosting(configMap: Recording.json("objects/local-registry-hosting.json")))
        #expect(hosting.names() == RegistryNames(push: "localhost:5000", pull: "registry:5000"))
        #expect(hosting.names(isInPod: true) == RegistryNames(push: "registry:5000", pull: "registry:5000"))
        #expect(hosting.help == "https://kind.sigs.k8s.io/docs/user/local-registry/")
        #expect(LocalRegistryHosting(configMap: ["data": ["localRegistryHosting.v2": "host: x"]]) == nil)
        let odd = try #require(
            Self.hosting("# comment\n---\n\"host\" : 'a:1'\r\n  help:\nhostFromContainerRuntime: \"\"\n"))
        #expect(odd.names() == RegistryNames(push: "a:1"))
        #expect(odd.help == nil)
        #expect(Self.hosting("{\"host\": \"a:1\"}")?.host == "a:1")
    }
}
