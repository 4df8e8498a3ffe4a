@testable import LoopServer
import Testing

@Suite("Applying manifests") struct ClusterConnectionTests {
    @Test(
        "of what kubectl says the values stay out",
        arguments: [
            (
                """
                Error from server (Invalid): error when applying patch:
                {"stringData":{"password":"hunter2"}}
                to:
                Resource: "/v1, Resource=secrets", GroupVersionKind: "/v1, Kind=Secret"
                Name: "login", Namespace: "d"
                for: "k8s/login.json": error when patching "k8s/login.json": Secret "login" is invalid: type: Invalid value
                """,
                [
                    "Error from server (Invalid): error when applying patch:",
                    #"for: "k8s/login.json": error when patching "k8s/login.json": Secret "login" is invalid: type: "#
                        + "Invalid value",
                ]
            ),
            (
                #"The request is invalid: patch: Invalid value: "{\"data\":{\"a\":\"hunter2\"}}": illegal base64 data"#,
                ["The request is invalid: patch: Invalid value: …: illegal base64 data"]
            ),
            (
                """
                The Deployment "web" is invalid:
                * spec.selector: Required value
                * spec.template.metadata.labels: Invalid value: "{}"
                """,
                [
                    "The Deployment \"web\" is invalid:", "* spec.selector: Required value",
                    "* spec.template.metadata.labels: Invalid value: …",
                ]
            ),
        ])
    func reasons(text: String, lines: [String]) { #expect(ClusterConnection.reasons(text) == lines) }
}
