import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Bad input", .turn) struct BadInputTests {
    /// A `loop.json` that is wrong, and what is said about it.
    struct Wrong: CustomTestStringConvertible, Sendable {
        let name: String
        let text: String
        let says: [String]
        var testDescription: String { name }

        init(_ name: String, _ text: String, _ says: String...) {
            (self.name, self.text, self.says) = (name, text, says)
        }
    }

    static let wrong = [
        Wrong("broken JSON", "{ \"services\": { \"a\": [ }", "loop.json:1:24: ", "value"),
        Wrong("an unknown key", rule("\"synk\": {\"to\": \"/srv\"}"), "synk", "did you mean \"sync\""),
        Wrong("a wrong type", "{\"services\": []}", "$.services", "object"),
        Wrong(
            "two services of one name",
            "{\"services\": {\"a\": {\"manifests\": [\"k\"]}, \"a\": {\"manifests\": [\"k\"]}}}", "\"a\"", "twice"),
        Wrong("a destination that is not absolute", rule("\"sync\": {\"to\": \"srv\"}"), "srv", "absolute"),
        Wrong(
            "a newer version", "{\"version\": 99, \"services\": {\"a\": {\"manifests\": [\"k\"]}}}", "99", "version"),
    ]

    private static func rule(_ members: String) -> String {
        """
        {"services": {"a": {"workload": "deployment/a", "rules": [{"watch": ["app/**"], \(members)}]}}}
        """
    }

    @Test("a wrong loop.json: exit code 2 and a line with its place, from check and from watch", arguments: wrong)
    func configuration(wrong: Wrong) async throws {
        let project = try Project()
        try project.write("loop.json", wrong.text)
        for command in ["check", "watch"] {
            let output = try await loopd(project, command)
            #expect(output.status == .exited(2), "\(command): \(output.errorText)")
            let said = output.text + output.errorText
            for words in wrong.says { #expect(said.contains(words), "\(command) says \(said)") }
        }
    }

    @Test("no loop.json: exit code 2 and one line that says where it was looked for")
    func missing() async throws {
        let project = try Project()
        let output = try await loopd(project, "watch")
        #expect(output.status == .exited(2))
        #expect(output.errorText.contains("loop.json"))
    }

    @Test("a pattern that matches nothing is a warning")
    func emptyPattern() async throws {
        let project = try Project()
        try project.write("loop.json", Self.rule("\"sync\": {\"to\": \"/srv\"}"))
        let output = try await loopd(project, "check")
        #expect(output.status == .exited(0))
        #expect(output.text.contains("app/**") && output.text.contains("warning"), "\(output.text)")
    }

    @Test("bad usage: exit code 2 and the nearest word")
    func usage() async throws {
        let project = try Project()
        let command = try await loopd(project, "wach")
        #expect(command.status == .exited(2))
        #expect(command.errorText.contains("watch"), "\(command.errorText)")
        let option = try await loopd(project, "watch", "--namespce", "x")
        #expect(option.status == .exited(2))
        #expect(option.errorText.contains("--namespace"), "\(option.errorText)")
    }

    @Test("no kubectl, one that is too old: exit code 3 and what is needed")
    func kubectl() async throws {
        let project = try existing(server: "http://127.0.0.1:1", context: "kind-x")
        let none = try await loopd(project, "watch", environment: ["PATH": "\(project.path)/nothing"])
        #expect(none.status == .exited(3), "\(none.status)")
        #expect((none.text + none.errorText).contains("kubectl"), "\(none.text)\(none.errorText)")
        let old =
            "#!/bin/sh\necho '{\"clientVersion\":{\"major\":\"1\",\"minor\":\"20\",\"gitVersion\":\"v1.20.2\"}}'\n"
        try project.write("bin/kubectl", old, mode: 0o755)
        let path = "\(project.path)/bin:\(variable("PATH") ?? "")"
        let output = try await loopd(project, "watch", environment: ["PATH": path])
        #expect(output.status == .exited(3), "\(output.status)")
        #expect((output.text + output.errorText).contains("1.31"), "\(output.text)\(output.errorText)")
    }

    @Test("a cluster that cannot be reached: exit code 3 and its address")
    func unreachable() async throws {
        let project = try existing(server: "http://127.0.0.1:1", context: "kind-x")
        for command in ["watch", "sync", "status"] {
            let output = try await loopd(project, command)
            #expect(output.status == .exited(3), "\(command): \(output.status) \(output.text)\(output.errorText)")
            #expect((output.text + output.errorText).contains("127.0.0.1:1"), "\(output.text)\(output.errorText)")
        }
    }

    @Test("a context that is not allowed: exit code 3 before any request")
    func context() async throws {
        let project = try existing(server: "http://127.0.0.1:1", context: "production")
        let output = try await loopd(project, "watch")
        #expect(output.status == .exited(3), "\(output.status)")
        let said = output.text + output.errorText
        #expect(said.contains("production") && said.contains("allowContexts"), "\(said)")
    }

    @Test("a workload or a container that is missing: what there is instead")
    func missingTarget() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("app"))
            try scene.configure("deployment/ap")
            try scene.project.write("app/a", "1")
            let workload = try await scene.loopd("watch")
            let noWorkload = try await workload.event("failed")
            #expect(noWorkload.text.contains("deployment/ap") && noWorkload.text.contains("app"), "\(noWorkload.text)")
            try await workload.stop()

            try scene.project.configure(
                scene.configuration([
                    "app": [
                        "workload": "deployment/app", "container": "web",
                        "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
                    ]
                ]))
            let container = try await scene.loopd("watch")
            let noContainer = try await container.event("failed")
            #expect(noContainer.text.contains("web") && noContainer.text.contains("app"), "\(noContainer.text)")
        }
    }

    @Test("no pod that runs: why, from its status; and it is synced once it runs")
    func noPod() async throws {
        try await Scene.run { scene in
            var workload = Workload(container: ["command": ["/no/such/program"]])
            try await scene.deploy(workload, wait: false)
            try scene.configure()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.loopd("watch")
            let failed = try await loopd.event("failed")
            #expect(failed.text.contains("/no/such/program"), "\(failed.text)")
            workload.container = [:]
            let place = loopd.log.count
            try await scene.deploy(workload, wait: false)
            let connected = try await loopd.event("connected", from: place, limit: .seconds(60))
            let pod = try #require(connected["pods"]?[0]?.string)
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    // MARK: loopd without a cluster

    /// A project on an existing cluster of its own kubeconfig.
    private func existing(server: String, context: String) throws -> Project {
        let project = try Project()
        let name = JSON.string(context)
        let kubeconfig: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [["name": name, "cluster": ["server": .string(server)]]],
            "users": [["name": name, "user": [:]]],
            "contexts": [["name": name, "context": ["cluster": name, "user": name]]],
        ]
        try project.write("kubeconfig", kubeconfig.text)
        try project.configure([
            "cluster": ["provider": "existing", "kubeconfig": "kubeconfig"],
            "services": ["a": ["workload": "deployment/a", "rules": [["watch": ["app/**"], "sync": ["to": "/srv"]]]]],
        ])
        try project.write("app/a", "1")
        return project
    }

    private func loopd(
        _ project: Project, _ arguments: String..., environment changes: [String: String] = [:]
    ) async throws -> Output {
        try await Child.succeed(
            [Built.loopd] + arguments,
            environment: environment(
                with: ["LOOPD_STATE_DIR": "\(project.path)/state", "KUBECONFIG": ""].merging(changes) { $1 }),
            directory: project.path, codes: [0, 1, 2, 3, 130])
    }
}
