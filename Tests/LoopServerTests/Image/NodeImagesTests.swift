import Glibc
import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

/// The programs are doubles that write down how they are called: k3d, kind, minikube and k3s are in no Debian.
@Suite("Images come onto nodes", .turn) struct NodeImagesTests {
    private let folder: ScratchTree
    private let nodes: NodeImages
    private let reference = "docker.io/library/web:loopd-0123456789abcdef"

    init() throws {
        let folder = try ScratchTree()
        self.folder = folder
        nodes = try NodeImages(
            leash: BuildLaneTests.leash,
            environment: ["PATH": "\(folder.path)/bin:/usr/bin:/bin", "LOG": "\(folder.path)/log"])
        for program in ["k3d", "kind", "minikube", "k3s", "ctr", "docker", "podman", "buildah"] { try double(program) }
    }

    /// A program that notes its arguments, and then does what `body` says.
    private func double(_ program: String, _ body: String = "") throws {
        try folder.write(
            "bin/\(program)",
            """
            #!/bin/sh
            echo "\(program) $*" >> "$LOG"
            \(body)
            """, mode: 0o755)
    }

    /// How the programs were called; archives, which have names of their own, are `ARCHIVE`.
    private var calls: [String] {
        get throws {
            let text = (try? SmallFile.read("\(folder.path)/log", limit: 1 << 20)).map {
                String(decoding: $0, as: UTF8.self)
            }
            return (text ?? "").split(separator: "\n").map { line in
                line.split(separator: " ").map { word in
                    guard let place = word.firstRange(of: "/loopd-build-") else { return String(word) }
                    let before = word[
                        ..<(word[..<place.lowerBound].lastIndex(of: ":").map { word.index(after: $0) }
                            ?? word.startIndex)]
                    let after =
                        word[place.upperBound...].firstRange(of: "image.tar").map { word[$0.upperBound...] } ?? ""
                    return before + "ARCHIVE" + after
                }.joined(separator: " ")
            }
        }
    }

    private static let name = "docker.io/library/web:loopd-0123456789abcdef"

    @Test(
        "the program of each kind of cluster gets the image from docker, or in a file",
        arguments: [
            (NodeLoader.k3d(cluster: "dev"), EngineBuild.Program.docker, ["k3d image import --cluster dev \(name)"]),
            (
                .k3d(cluster: "dev"), .podman,
                [
                    "podman save --format docker-archive --output ARCHIVE \(name)",
                    "k3d image import --cluster dev ARCHIVE",
                ]
            ),
            (.kind(cluster: "dev"), .docker, ["kind load docker-image --name dev \(name)"]),
            (
                .kind(cluster: "dev"), .buildah,
                ["buildah push \(name) docker-archive:ARCHIVE:\(name)", "kind load image-archive --name dev ARCHIVE"]
            ),
            (
                .minikube(profile: "m"), .docker,
                ["minikube --profile m image ls", "minikube --profile m image load --daemon \(name)"]
            ),
            (
                .k3s, .docker,
                [
                    "k3s ctr --namespace k8s.io images ls --quiet", "docker save --output ARCHIVE \(name)",
                    "k3s ctr --namespace k8s.io images import ARCHIVE",
                ]
            ),
            (
                .k3sSocket, .podman,
                [
                    "ctr --address /run/k3s/containerd/containerd.sock --namespace k8s.io images ls --quiet",
                    "podman save --format docker-archive --output ARCHIVE \(name)",
                    "ctr --address /run/k3s/containerd/containerd.sock --namespace k8s.io images import ARCHIVE",
                ]
            ),
            (.shared(context: "docker-desktop"), .docker, []),
            (
                .shared(context: "colima"), .podman,
                ["podman save --format docker-archive --output ARCHIVE \(name)", "docker load --input ARCHIVE"]
            ),
        ])
    func commands(loader: NodeLoader, program: EngineBuild.Program, expected: [String]) async throws {
        let engine = NodeImages.Source.engine(ContainerEngine(program))
        #expect(try await !nodes.load(reference, from: engine, by: loader))
        #expect(try calls == expected)
        // What has this tag is this content: nothing is called for it again.
        #expect(try await nodes.load(reference, from: engine, by: loader))
        #expect(try calls == expected)
    }

    @Test("an archive goes as it is, and is gone afterwards")
    func archive() async throws {
        let paths = Mutex<[String]>([])
        let source = NodeImages.Source.archive { path in
            paths.withLock { $0.append(path) }
            let file = try #require(fopen(path, "w"))
            fputs("content", file)
            fclose(file)
        }
        try double("kind", "cat \"$5\" >> \"$LOG\"; echo >> \"$LOG\"")
        #expect(try await !nodes.load(reference, from: source, by: .kind(cluster: "dev")))
        #expect(try calls == ["kind load image-archive --name dev ARCHIVE", "content"])
        let written = paths.withLock { $0 }
        #expect(written.count == 1 && written.allSatisfy { access($0, F_OK) != 0 })
    }

    @Test("what is on the nodes already is not loaded again, where that is cheap to know")
    func present() async throws {
        try double("k3s", "echo other:1; echo \(reference)")
        #expect(try await nodes.load(reference, from: .engine(ContainerEngine(.docker)), by: .k3s))
        #expect(try calls == ["k3s ctr --namespace k8s.io images ls --quiet"])
    }

    @Test("what a node may have thrown away is brought again: an older content, and everything when nodes are new")
    func again() async throws {
        let seen = Mutex([ClusterNode(uid: "1")])
        let missed = Mutex<Set<String>>([])
        let nodes = NodeImages(
            leash: try BuildLaneTests.leash,
            environment: ["PATH": "\(folder.path)/bin:/usr/bin:/bin", "LOG": "\(folder.path)/log"],
            nodes: { seen.withLock { $0 } }, isMissed: { reference in missed.withLock { $0.contains(reference) } })
        let other = "docker.io/library/web:loopd-00000000000000ff"
        func load(_ reference: String) async throws -> Bool {
            try await nodes.load(reference, from: .engine(ContainerEngine(.docker)), by: .kind(cluster: "dev"))
        }
        #expect(try await !load(reference))
        #expect(try await !load(other))
        #expect(try await load(other))
        #expect(try await !load(reference))
        // A node that says that it has it need not get it.
        seen.withLock { $0[0].images = [reference, other] }
        #expect(try await load(other))
        // The cluster was made anew.
        seen.withLock { $0 = [ClusterNode(uid: "2")] }
        #expect(try await !load(other))
        #expect(try await load(other))
        missed.withLock { $0 = [other] }
        #expect(try await !load(other))
        // An alias stands for one content after the other.
        #expect(try await !load("docker.io/library/web:dev"))
        #expect(try await !load("docker.io/library/web:dev"))
        #expect(try calls.count == 7)
    }

    @Test("a pod misses an image that its node cannot pull")
    func missed() throws {
        func pod(_ reason: String, _ image: String) -> JSON {
            [
                "status": [
                    "containerStatuses": [
                        ["image": .string(image), "state": ["waiting": ["reason": .string(reason)]]]
                    ]
                ]
            ]
        }
        #expect(KubeClient.isMissed(reference, by: pod("ErrImagePull", reference)))
        #expect(KubeClient.isMissed(reference, by: pod("ImagePullBackOff", "web:loopd-0123456789abcdef")))
        #expect(!KubeClient.isMissed(reference, by: pod("ContainerCreating", reference)))
        #expect(!KubeClient.isMissed(reference, by: pod("ErrImagePull", "web:other")))
        #expect(!KubeClient.isMissed(reference, by: [:]))
    }

    struct Failure: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let loader: NodeLoader
        let program: String
        let body: String
        let detail: String
        let nextStep: String?
    }

    @Test(
        "a failure names the program's own reason and what to do",
        arguments: [
            Failure(
                testDescription: "kind without such a cluster", loader: .kind(cluster: "dev"), program: "kind",
                body: "echo 'ERROR: no nodes found for cluster \"dev\"' >&2; exit 1",
                detail: "no nodes found for cluster \"dev\"",
                nextStep: "there is no cluster \"dev\" here: `kind get clusters`"),
            Failure(
                testDescription: "k3d, which ends with 0 all the same", loader: .k3d(cluster: "dev"), program: "k3d",
                body:
                    "printf '\\033[36mINFO\\033[0m[0000] Importing\\n\\033[31mERRO\\033[0m[0001] failed to import: No space left on device\\n' >&2",
                detail: "failed to import: No space left on device",
                nextStep: "make room on the disk of the nodes: `docker system prune` may do"),
            Failure(
                testDescription: "k3d without such a cluster", loader: .k3d(cluster: "dev"), program: "k3d",
                body: "echo 'FATA[0000] failed to get cluster dev: No nodes found for given cluster' >&2; exit 1",
                detail: "failed to get cluster dev: No nodes found for given cluster",
                nextStep: "there is no cluster \"dev\" here: `k3d cluster list`"),
            Failure(
                testDescription: "k3s, whose images are root's", loader: .k3s, program: "k3s",
                body:
                    "echo 'ctr: failed to dial \"/run/k3s/containerd/containerd.sock\": connect: permission denied' >&2; exit 1",
                detail: "failed to dial \"/run/k3s/containerd/containerd.sock\": connect: permission denied",
                nextStep: "k3s' images are root's: run loopd as root, or name a registry in loop.json"),
            Failure(
                testDescription: "minikube that does not run", loader: .minikube(profile: "m"), program: "minikube",
                body: "echo '* Profile \"m\" not found. Run \"minikube profile list\" to view all profiles.'; exit 85",
                detail: "* Profile \"m\" not found. Run \"minikube profile list\" to view all profiles.",
                nextStep: "`minikube start --profile m`"),
            Failure(
                testDescription: "a program that says nothing", loader: .kind(cluster: "dev"), program: "kind",
                body: "exit 3", detail: "exit code 3", nextStep: nil),
        ])
    func failures(_ one: Failure) async throws {
        try double(one.program, one.body)
        do {
            _ = try await nodes.load(reference, from: .engine(ContainerEngine(.docker)), by: one.loader)
            Issue.record("it does not work")
        } catch let error as LoopFailure {
            #expect(error.failure.summary == "\(reference) does not come onto the nodes by \(one.loader.title)")
            #expect(error.failure.details == [one.detail])
            #expect(error.failure.nextStep == one.nextStep)
        }
        // It is tried again when it is asked for again.
        try double(one.program)
        #expect(try await !nodes.load(reference, from: .engine(ContainerEngine(.docker)), by: one.loader))
    }

    @Test("a program that is not there, and an engine that does not have the image")
    func missing() async throws {
        unlink("\(folder.path)/bin/kind")
        await #expect {
            _ = try await nodes.load(reference, from: .engine(ContainerEngine(.docker)), by: .kind(cluster: "dev"))
        } throws: { error in
            (error as? LoopFailure)?.failure.nextStep == "install kind, or name a registry in loop.json: \"registry\""
        }
        try double("docker", "echo 'Error response from daemon: reference does not exist' >&2; exit 1")
        await #expect {
            _ = try await nodes.load(reference, from: .engine(ContainerEngine(.docker)), by: .k3s)
        } throws: { error in
            (error as? LoopFailure)?.failure
                == LoopEvent.Failure(
                    "\(reference) does not come out of docker",
                    details: ["Error response from daemon: reference does not exist"])
        }
    }

    @Test(
        "contexts tell their kind",
        arguments: [
            ("k3d-a-b", NodeLoader.k3d(cluster: "a-b")), ("kind-x", .kind(cluster: "x")),
            ("minikube", .minikube(profile: "minikube")),
            ("docker-desktop", .shared(context: "docker-desktop")), ("orbstack", .shared(context: "orbstack")),
            ("rancher-desktop", .shared(context: "rancher-desktop")), ("colima-x", .shared(context: "colima-x")),
            ("default", nil), ("loopd-x", nil),
        ] as [(String, NodeLoader?)])
    func contexts(context: String, loader: NodeLoader?) { #expect(NodeLoader(context: context) == loader) }
}
