import JSON
import Testing

@testable import LoopServer

@Suite("The helper pods of nodes", .turn) struct NodePodTests {
    private let spec = NodePodSpec(
        service: "web", node: "n1", image: "busybox:stable",
        folders: ["/usr/local/bin", "/opt/share/deep", "/opt/share", "/opt/shared"])

    @Test("a pod is put on its node, may run there whatever the node's taints, and only waits")
    func pod() {
        let pod = spec.object["spec"]
        #expect(pod?["nodeName"] == "n1")
        #expect(pod?["tolerations"] == [["operator": "Exists"]])
        #expect(pod?["terminationGracePeriodSeconds"] == 1)
        let container = pod?["containers"]?[0]
        #expect(container?["image"] == "busybox:stable")
        #expect(container?.at("securityContext", "runAsUser") == 0)
        #expect(spec.object.at("metadata", "labels", "app.kubernetes.io/managed-by") == "loopd")
        #expect(NodePodSpec.isOurs(spec.object))
    }

    @Test("each folder is mounted where the helper looks for it; one in another needs no mount of its own")
    func mounts() {
        let pod = spec.object["spec"]
        let paths = pod?["volumes"]?.array?.map { $0.at("hostPath", "path")?.string ?? "" }
        #expect(paths == ["/opt/share", "/opt/shared", "/usr/local/bin"])
        #expect(pod?["volumes"]?.array?.allSatisfy { $0.at("hostPath", "type") == "DirectoryOrCreate" } == true)
        let mounts = pod?["containers"]?[0]?["volumeMounts"]?.array?.map { $0["mountPath"]?.string ?? "" }
        #expect(mounts == paths?.map { "/.loopd/node" + $0 })
    }

    @Test("names are the same at every start, and differ by service and node")
    func names() {
        func name(_ service: String, _ node: String) -> String {
            NodePodSpec(service: service, node: node, image: "", folders: []).name
        }
        #expect(name("web", "n1") == spec.name)
        #expect(spec.name.hasPrefix("loopd-node-web-"))
        #expect(Set([name("web", "n1"), name("web", "n2"), name("api", "n1")]).count == 3)
    }

    @Test("a pod from before does when it is of the same spec and lasts")
    func fits() {
        #expect(spec.fits(spec.object))
        let other = NodePodSpec(service: "web", node: "n1", image: "busybox:stable", folders: ["/opt"])
        #expect(other.name == spec.name)
        #expect(!other.fits(spec.object))
        var going = spec.object
        going["metadata"]?["deletionTimestamp"] = "2026-11-21T01:29:09Z"
        #expect(!spec.fits(going))
        var ended = spec.object
        ended["status"] = ["phase": "Failed"]
        #expect(!spec.fits(ended))
    }

    @Test("a pod that waits for an image in vain is told from one that is coming up")
    func obstacles() {
        func pod(waiting reason: String) -> PodState {
            var pod = spec.object
            pod["status"] = [
                "phase": "Pending",
                "containerStatuses": [
                    ["name": "helper", "state": ["waiting": ["reason": .string(reason), "message": "no such image"]]]
                ],
            ]
            return PodState(pod)
        }
        #expect(NodePodSpec.obstacle(PodState(spec.object)) == nil)
        #expect(NodePodSpec.obstacle(pod(waiting: "ContainerCreating")) == nil)
        #expect(
            NodePodSpec.obstacle(pod(waiting: "ErrImagePull"))?.contains("cannot pull image busybox:stable") == true)
    }

    @Test("a recorded refusal by Pod Security becomes one line that names the policy and the label")
    func podSecurity() throws {
        let message = try #require(
            try Recording.json("deployments/pod-security.json").at("status", "conditions")?.array?.last?["message"]?
                .string)
        let error = KubeError(code: 403, reason: "Forbidden", message: message)
        let failure = try #require(NodeRefusal.failure(error, namespace: "restricted")).failure
        #expect(
            failure.summary
                == "namespace restricted takes no helper pod, so nothing gets onto its nodes: it violates PodSecurity \"restricted:latest\""
        )
        #expect(
            failure.nextStep
                == "label the namespace pod-security.kubernetes.io/enforce=privileged, or sideload into the container (without \"on\": \"node\")"
        )
    }

    @Test(
        "other refusals say whose they are and what to do",
        arguments: [
            (
                400, "admission webhook \"policy.example\" denied the request: no hostPath",
                "admission webhook \"policy.example\" denied the request: no hostPath", "let the policy pass pods"
            ),
            (
                403,
                "pods is forbidden: User \"dev\" cannot create resource \"pods\" in API group \"\" in the namespace \"demo\"",
                "User \"dev\" cannot create resource \"pods\"", "let this user create pods there"
            ),
            (
                403,
                "pods \"loopd-node-web-1\" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=3, limited: pods=3",
                "exceeded quota: pods", "raise the quota"
            ),
        ])
    func refusals(code: Int, message: String, reason: String, remedy: String) throws {
        let error = KubeError(code: code, reason: "", message: message)
        let failure = try #require(NodeRefusal.failure(error, namespace: "demo")).failure
        #expect(failure.summary.hasPrefix("namespace demo takes no helper pod"))
        #expect(failure.summary.contains(": \(reason)"), "\(failure.summary)")
        #expect(failure.nextStep?.hasPrefix(remedy) == true, "\(failure)")
    }

    @Test("a cluster that does not answer has refused nothing")
    func unanswered() {
        #expect(NodeRefusal.failure(KubeError(code: 503, reason: "", message: "busy"), namespace: "demo") == nil)
    }
}
