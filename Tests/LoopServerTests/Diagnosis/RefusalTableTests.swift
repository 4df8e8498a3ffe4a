@testable import LoopServer
import Testing

/// Words that a real cluster says in other situations than the recorded ones, as they stand in the sources of containerd,
/// Docker, CRI-O, runc, the scheduler and the admission plugins.
@Suite("Causes by the words of nodes and controllers")
struct RefusalTableTests {
    struct Pull: Sendable {
        var image = "localhost:5000/web:dev"
        var reason = "ErrImagePull"
        var message: String
        var registry: RegistryNames?
        var playground: String?
        var cause: String
        var advice: String
    }

    static let k3d = RegistryNames(push: "localhost:5000", pull: "k3d-registry.localhost:5000")

    static let pulls = [
        Pull(
            message: "failed to pull and unpack image \"localhost:5000/web:dev\": failed to resolve reference "
                + "\"localhost:5000/web:dev\": failed to do request: Head \"http://localhost:5000/v2/web/manifests/dev\": "
                + "dial tcp 127.0.0.1:5000: connect: connection refused",
            registry: k3d, cause: "the node does not reach localhost:5000",
            advice: "the nodes call it k3d-registry.localhost:5000: use k3d-registry.localhost:5000/web:dev"),
        Pull(
            message: "dial tcp [::1]:5000: connect: connection refused", registry: nil,
            cause: "the node does not reach localhost:5000", advice: "localhost:5000 is the node itself"),
        Pull(
            image: "registry.lan:5000/web:dev",
            message:
                "Head \"https://registry.lan:5000/v2/web/manifests/dev\": http: server gave HTTP response to HTTPS "
                + "client",
            cause: "the node asks registry.lan:5000 by HTTPS, and it answers in plain HTTP",
            advice: "certs.d/registry.lan:5000/hosts.toml"),
        Pull(
            message: "http: server gave HTTP response to HTTPS client", registry: k3d, cause: "in plain HTTP",
            advice: "use k3d-registry.localhost:5000/web:dev"),
        Pull(
            image: "k3d-registry.localhost:5000/web:dev",
            message: "dial tcp: lookup k3d-registry.localhost: no such host", registry: k3d,
            cause: "the node does not know the name k3d-registry.localhost:5000", advice: "can nodes reach it"),
        Pull(
            image: "web:dev",
            message:
                "failed to resolve reference \"docker.io/library/web:dev\": pull access denied, repository does not "
                + "exist or may require authorization: server message: insufficient_scope: authorization failed",
            registry: k3d, cause: "docker.io does not let the node in",
            advice: "a name without a registry means docker.io: use k3d-registry.localhost:5000/web:dev"),
        Pull(
            image: "web:dev", message: "docker.io/library/web:dev: not found",
            cause: "docker.io has no such image or tag",
            advice: "put the registry's name before it"),
        Pull(
            image: "web:dev", message: "failed to pull image \"web:dev\": not found",
            registry: RegistryNames(push: "127.0.0.1:5005"), playground: "127.0.0.1:5005",
            cause: "127.0.0.1:5005 has no such image or tag",
            advice: "on the playground a name without a registry means its own: `docker push 127.0.0.1:5005/web:dev`"),
        Pull(
            image: "ghcr.io/acme/web:1",
            message: "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
            cause: "ghcr.io does not let the node in", advice: "the pod names no imagePullSecrets"),
        Pull(
            message: "no match for platform in manifest: not found", cause: "it has no build for the node's platform",
            advice: "build it for the node"),
        Pull(
            message: "no matching manifest for linux/arm64/v8 in the manifest list entries",
            cause: "the node's platform",
            advice: "build it for the node"),
        Pull(
            reason: "ErrImageNeverPull",
            message: "Container image \"localhost:5000/web:dev\" is not present with pull policy of Never",
            cause: "imagePullPolicy Never forbids", advice: "set imagePullPolicy: IfNotPresent"),
        Pull(
            image: "localhost:5000/Web:dev", reason: "InvalidImageName",
            message: "Failed to apply default image tag \"localhost:5000/Web:dev\": couldn't parse image name: invalid "
                + "reference format: repository name must be lowercase",
            cause: "this is no image name", advice: "write it in lower case"),
        Pull(
            image: "ghcr.io/acme/web:1",
            message: "tls: failed to verify certificate: x509: certificate signed by unknown "
                + "authority", cause: "the node does not trust the certificate of ghcr.io", advice: "certificate"),
        Pull(
            image: "redis:7", message: "toomanyrequests: You have reached your pull rate limit.",
            cause: "docker.io has had too many pulls", advice: "pull secret"),
        Pull(
            message: "write /var/lib/containerd/x: no space left on device", cause: "the node's disk is full",
            advice: "free it"),
        Pull(
            reason: "ImagePullBackOff",
            message:
                "Back-off pulling image \"localhost:5000/web:dev\": ErrImagePull: rpc error: code = NotFound desc = "
                + "failed to pull and unpack image: failed to resolve image: localhost:5000/web:dev: not found",
            cause: "localhost:5000 has no such image or tag", advice: "was it pushed"),
    ]

    @Test("an image that cannot be pulled: the cause, and the likely mistake", arguments: pulls)
    func pull(_ example: Pull) {
        let refusal = PullRefusal(
            image: example.image, reason: example.reason, message: example.message,
            clues: RegistryClues(names: example.registry, playground: example.playground))
        let (cause, advice) = refusal.explain()
        #expect(cause.contains(example.cause))
        #expect(advice.contains(example.advice))
    }

    @Test(
        "a container that cannot start: the command, and what is missing",
        arguments: [
            (
                "exec: \"server\": executable file not found in $PATH",
                "there is no program \"server\" in the image's PATH",
                "copy the program into the image"
            ),
            ("exec: \"npm start\": executable file not found in $PATH", "\"npm start\"", "no line for a shell"),
            ("exec: \"cd\": executable file not found in $PATH", "\"cd\"", "no line for a shell"),
            ("exec: \"bash\": executable file not found in $PATH", "\"bash\"", "the image has no shell"),
            (
                "exec: \"/srv/web\": stat /srv/web: no such file or directory", "there is no \"/srv/web\" in the image",
                "correct the command"
            ),
            ("exec /srv/web: no such file or directory", "\"/srv/web\" is there, but not what runs it", "musl"),
            (
                "exec /srv/web: exec format error", "no program for the node's architecture",
                "build the image for the node"
            ),
            ("exec: \"/srv/web\": permission denied", "\"/srv/web\" may not be executed", "chmod +x"),
            ("exec: \"/srv\": is a directory", "\"/srv\" is a folder", "name the program"),
            (
                "chdir to cwd (\"/srv/app\") set in config.json failed: no such file or directory",
                "its working folder",
                "workingDir"
            ),
            ("unable to find user app: no matching entries in passwd file", "does not know its user", "as a number"),
            (
                "error mounting \"/v/x\" to rootfs at \"/etc/x.conf\": not a directory: Are you trying to mount a "
                    + "directory onto a file (or vice-versa)?", "a volume's folder is mounted over a file", "subPath"
            ),
            ("container init was OOM-killed (memory limit too low?)", "too low to start at all", "memory"),
            ("no command specified", "names a program", "set command"),
        ])
    func start(words: String, cause: String, advice: String) {
        let failure = StartFailure(
            message:
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
                + "failed: unable to start container process: \(words)")
        let explained = failure.explain()
        #expect(failure.words == words)
        #expect(explained.cause.contains(cause))
        #expect(explained.advice?.contains(advice) == true)
    }

    @Test("a start that fails never shows the arguments, which may hold a password")
    func arguments() {
        let failure = StartFailure(
            message: "exec format error", command: ["/srv/web", "--password=hunter2"])
        #expect(!"\(failure.explain())".contains("hunter2"))
        #expect(failure.explain().cause.contains("/srv/web"))
    }

    @Test(
        "what is missing for a container is named",
        arguments: [
            ("configmap \"web\" not found", "there is no ConfigMap \"web\""),
            ("secret \"web\" not found", "there is no Secret \"web\""),
            ("couldn't find key PORT in ConfigMap demo/web", "ConfigMap \"web\" has no key \"PORT\""),
            ("couldn't find key TOKEN in Secret demo/web", "Secret \"web\" has no key \"TOKEN\""),
        ])
    func missing(message: String, words: String) {
        #expect(MissingReference(message)?.words == words)
    }

    @Test(
        "why no node takes a pod",
        arguments: [
            (
                "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory. preemption: 0/3 nodes are available: "
                    + "3 No preemption victims found for incoming pod.",
                "0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory", ["cpu", "memory"], "lower its"
            ),
            (
                "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
                "0/1 nodes are available: 1 Insufficient "
                    + "nvidia.com/gpu", ["nvidia.com/gpu"], "lower its"
            ),
            (
                "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}. preemption: none",
                "0/1 nodes are available: 1 node(s) had untolerated taint {dedicated: db}", [], "toleration"
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
                "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector", [], "nodeSelector"
            ),
            (
                "0/1 nodes are available: 1 node(s) had volume node affinity conflict.",
                "0/1 nodes are available: 1 node(s) had volume node affinity conflict", [], "its volume is on another"
            ),
            (
                "0/1 nodes are available: 1 node(s) were unschedulable.",
                "0/1 nodes are available: 1 node(s) were unschedulable", [], "uncordon"
            ),
            (
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports", [], "hostPort"
            ),
        ])
    func scheduling(message: String, text: String, short: [String], advice: String) {
        let reasons = SchedulingReasons(message)
        #expect(reasons.text == text)
        #expect(reasons.short == short)
        #expect(reasons.advice.contains(advice))
    }

    @Test(
        "why a pod is not let in",
        arguments: [
            (
                "Error creating: pods \"db-\" is forbidden: exceeded quota: small, requested: requests.cpu=1, used: "
                    + "requests.cpu=2, limited: requests.cpu=2", "ResourceQuota \"small\" is used up"
            ),
            (
                "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: failed quota: small: must "
                    + "specify limits.memory for: db", "ResourceQuota \"small\" wants every container to say"
            ),
            (
                "Error creating: admission webhook \"policy.example.com\" denied the request: no latest tags",
                "admission webhook \"policy.example.com\" denies it"
            ),
            (
                "Error creating: Internal error occurred: failed calling webhook \"inject.example.com\": failed to call "
                    + "webhook: Post \"https://inject.mesh.svc:443/\": connection refused",
                "admission webhook \"inject.example.com\" does not answer"
            ),
            (
                "Error creating: pods \"web-\" is forbidden: error looking up service account demo/web: serviceaccount "
                    + "\"web\" not found", "there is no ServiceAccount \"web\""
            ),
            (
                "Error creating: pods \"web-x\" is forbidden: maximum memory usage per Container is 64Mi, but limit is 1Gi",
                "a LimitRange refuses its resources"
            ),
            (
                "Error creating: pods \"web-x\" is forbidden: no PriorityClass with name high was found",
                "no PriorityClass with name high was found"
            ),
            ("Error creating: Pod \"web-x\" is invalid: spec.x: Required value", "Pod \"web-x\" is invalid"),
        ])
    func refusal(message: String, cause: String) {
        #expect(PodRefusal(message).explain(in: "demo").cause.contains(cause))
    }
}
