import JSON
import Testing

@testable import LoopServer

@Suite("Helm's command lines") struct HelmCommandTests {
    private static let helm = HelmCommand(program: "/bin/helm", context: "k3d-dev", kubeconfig: "/k", namespace: "shop")

    private static var release: HelmRelease {
        var release = HelmRelease("/p/charts/web", name: "web")
        release.valuesFiles = ["/p/a.yaml", "/p/with, comma.yaml"]
        release.set = ["image.tag": "1,2", "n": 3, "on": true, "label": "true", "share": 0.5]
        return release
    }

    @Test("an upgrade names the cluster, the files and the values, each as what it is")
    func upgrade() {
        var inputs = HelmCommand.Inputs(Self.release)
        inputs.texts = ["image.tag": "/s/set-0", "label": "/s/with, comma"]
        let command = Self.helm.upgrade(
            inputs, postRenderer: ["--post-renderer", "/bin/loopd"], forcesConflicts: false)
        #expect(
            command == [
                "/bin/helm", "upgrade", "web", "/p/charts/web", "--install", "--reset-values", "--output", "json",
                "--skip-crds",
                "--kubeconfig", "/k", "--kube-context", "k3d-dev", "--namespace", "shop", "--values", "/p/a.yaml",
                "--values", "\"/p/with, comma.yaml\"", "--set-json", "n=3", "--set-json", "on=true", "--set-json",
                "share=0.5", "--set-file", "image.tag=/s/set-0", "--set-file", "label=/s/with\\, comma",
                "--post-renderer", "/bin/loopd",
            ])
        #expect(Self.helm.rendering(inputs).contains("--reset-values"))
    }

    @Test("conflicts of a server-side release are forced; a version is given with the chart's name")
    func variants() {
        var release = HelmRelease("oci://reg/web", name: "web")
        release.version = "1.2"
        let command = Self.helm.upgrade(.init(release), postRenderer: [], forcesConflicts: true)
        #expect(command.contains("--force-conflicts"))
        #expect(command.suffix(2) == ["--version", "1.2"])
        #expect(Self.helm.definitions(release) == ["/bin/helm", "show", "crds", "oci://reg/web", "--version", "1.2"])
    }

    @Test(
        "a value with a list's signs is one text",
        arguments: [("a,b", "a\\,b"), ("{a}", "\\{a\\}"), ("a\\b", "a\\\\b")])
    func escapes(value: String, expected: String) { #expect(HelmCommand.escaped(value) == expected) }

    @Test(
        "why helm has failed, without what it was doing",
        arguments: [
            (
                "WARNING: x\nError: UPGRADE FAILED: cannot patch \"web\" with kind Deployment: field is immutable\n",
                "cannot patch \"web\" with kind Deployment: field is immutable"
            ),
            ("Error: INSTALLATION FAILED: chart not found", "chart not found"),
            (
                "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
                "another operation (install/upgrade/rollback) is in progress"
            ),
            ("panic: oh\n\n", "panic: oh"), ("", ""),
            (
                "Error: UPGRADE FAILED: Secret \"login\" is invalid: data[a]: Invalid value: \"hunter2\": no",
                "Secret \"login\" is invalid: data[a]"
            ),
        ])
    func causes(text: String, expected: String) { #expect(HelmCommand.cause(text) == expected) }

    @Test("a release that another helm is at work with has its remedy")
    func pending() {
        #expect(
            Self.helm.remedy("web", status: "pending-upgrade")
                == "if no other helm is at work: `helm rollback web -n shop`")
        #expect(
            Self.helm.remedy("web", status: "pending-install")
                == "if no other helm is at work: `helm uninstall web -n shop`")
        #expect(Self.helm.remedy("web", status: "deployed") == nil)
        #expect(HelmState(["version": 3, "info": ["status": "deployed"], "apply_method": "ssa"])?.isServerSide == true)
        #expect(HelmState(["version": 3, "info": ["status": "failed"]])?.isServerSide == false)
        #expect(HelmState([:]) == nil)
        #expect(HelmCommand.major("v3.21.4") == 3 && HelmCommand.major("v4.2.4") == 4 && HelmCommand.major("") == nil)
    }

    @Test(
        "the revision that ran before",
        arguments: [
            ([(1, "superseded"), (2, "deployed")], 1), ([(1, "deployed"), (2, "failed")], 1),
            ([(1, "superseded"), (2, "failed"), (3, "deployed")], 1), ([(1, "deployed")], nil),
            ([(1, "superseded"), (2, "superseded"), (3, "deployed"), (4, "pending-upgrade")], 3), ([], nil),
        ] as [([(Int64, String)], Int?)])
    func before(history: [(Int64, String)], expected: Int?) {
        let json = JSON.array(history.map { ["revision": .integer($0.0), "status": .string($0.1)] })
        #expect(HelmRevision.before(HelmRevision.list(json)) == expected)
    }

    @Test("two renderings differ by what the chart changes; what has left is said, a Secret's values are not")
    func differences() {
        func map(_ name: String, _ value: String, kind: String = "ConfigMap", namespace: String? = nil) -> JSON {
            var metadata: JSON = ["name": .string(name)]
            metadata["namespace"] = namespace.map(JSON.string)
            return ["apiVersion": "v1", "kind": .string(kind), "metadata": metadata, "data": ["a": .string(value)]]
        }
        let old = [map("one", "1"), map("gone", "1"), map("login", "hunter1", kind: "Secret")]
        let new = [map("one", "2"), map("login", "hunter2", kind: "Secret"), map("new", "1", namespace: "shop")]
        let difference = ReleaseDiff(from: old, to: new, namespace: "shop")
        #expect(
            difference.lines == [
                "~ secret/login  data.a changed", "+ configmap/new", "~ configmap/one  data.a 1 → 2",
                "- configmap/gone",
            ])
        #expect(difference.changed.map(\.description) == ["secret/login", "configmap/new", "configmap/one"])
        #expect(ReleaseDiff(from: new, to: new, namespace: "shop").lines.isEmpty)
    }
}
