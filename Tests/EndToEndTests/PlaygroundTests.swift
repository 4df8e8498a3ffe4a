import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("The playground as a user has it", .turn, .enabled(if: Ability.isPlayground, Ability.ownPlayground))
struct PlaygroundTests {
    @Test(
        "quick start: watch starts the playground, deploys the sample, and a save shows in its log; down leaves nothing"
    )
    func quickStart() async throws {
        let root = String(#filePath.dropLast("/Tests/EndToEndTests/PlaygroundTests.swift".count))
        let project = try Project()
        try await Child.succeed(["cp", "-r", "\(root)/loop.json", "\(root)/samples", project.path])
        let state = "\(project.path)-state"
        defer { Disk.remove(state) }
        let loopd = try await Loopd.start(["watch"], in: project.path, stateDirectory: state)
        _ = try await loopd.event("connected", limit: .seconds(60))

        let variables = try await run(project, state, "env")
        let kubeconfig = try #require(try JSON(parsing: variables.standardOutput)["KUBECONFIG"]?.string)
        let pods = ["kubectl", "--kubeconfig", kubeconfig, "-n", "hello"]
        try await Child.succeed(pods + ["rollout", "status", "deployment/hello", "--timeout=30s"])
        let place = loopd.log.count
        try project.replace("samples/hello/app/message.txt", "from the test \(getpid())\n")
        _ = try await loopd.event("landed", from: place)
        try await within(.seconds(10), "the message in the log") {
            while true {
                let log = try await Child.succeed(pods + ["logs", "deployment/hello"])
                if log.text.contains("from the test \(getpid())") { return }
                try Task.checkCancellation()
            }
        }
        #expect(try await loopd.stop().status == .exited(130))

        // Up again changes nothing, down twice neither.
        #expect(try JSON(parsing: try await run(project, state, "up").standardOutput)["started"] == false)
        let playground = try playgroundProcess(state)
        let family = [playground] + ProcessTable.now().descendants(of: playground.pid)
        #expect(family.contains { $0.command.contains("/srv/hello/message.txt") })
        #expect(try JSON(parsing: try await run(project, state, "down").standardOutput)["stopped"] == true)
        #expect(try JSON(parsing: try await run(project, state, "down").standardOutput)["stopped"] == false)
        for process in family { #expect(!process.isAlive, "\(process.command)") }
        #expect(access("\(state)/playground", F_OK) != 0)
        let mounts = String(decoding: try Disk.read("/proc/self/mountinfo"), as: UTF8.self)
        #expect(!mounts.contains(state))
    }

    @Test("a playground whose process was killed comes back with its pods, and saves go on")
    func survival() async throws {
        let project = try Project()
        let state = "\(project.path)-state"
        defer { Disk.remove(state) }
        try project.configure([
            "project": "survivor",
            "services": [
                "app": [
                    "workload": "deployment/app", "manifests": ["app.json"],
                    "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
                ]
            ],
        ])
        try project.write(
            "app.json",
            """
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app"}, "spec": {
              "selector": {"matchLabels": {"app": "app"}}, "template": {"metadata": {"labels": {"app": "app"}}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "app", "image": "host", "command": ["sleep", "100000"]}]}}}}
            """)
        try project.write("app/a", "1")
        let first = try await Loopd.start(["sync"], in: project.path, stateDirectory: state)
        #expect(try await first.end(limit: .seconds(60)) == .exited(0), "\(first.transcript)")
        let kubeconfig = "\(state)/playground/kubeconfig"
        let pods = ["kubectl", "--kubeconfig", kubeconfig, "-n", "survivor", "get", "pods", "-o", "name"]
        let before = try await Child.succeed(pods).text
        let playground = try playgroundProcess(state)
        playground.signal(SIGKILL)
        try await playground.ended()
        try project.write("app/a", "2")
        let second = try await Loopd.start(["sync"], in: project.path, stateDirectory: state)
        #expect(try await second.end(limit: .seconds(60)) == .exited(0), "\(second.transcript)")
        #expect(try await Child.succeed(pods).text == before)
        let content = try await Child.succeed([
            "kubectl", "--kubeconfig", kubeconfig, "-n", "survivor", "exec", "deployment/app", "--", "cat",
            "/srv/app/a",
        ])
        #expect(content.text == "2")
        _ = try await run(project, state, "down")
    }

    @Test("status of a playground that does not run: exit code 3 and how to start it")
    func stopped() async throws {
        let project = try Project()
        try project.configure([
            "services": ["a": ["workload": "deployment/a", "rules": [["watch": ["app/**"], "sync": ["to": "/srv"]]]]]
        ])
        let status = try await run(project, "\(project.path)/state", "status", codes: [3])
        #expect(try JSON(parsing: status.standardOutput)["reachable"] == false)
        #expect(status.text.contains("loopd up"))
    }

    private func run(
        _ project: Project, _ state: String, _ command: String, codes: Set<Int32> = [0]
    ) async throws -> Output {
        try await Child.succeed(
            [Built.loopd, command, "--output", "json"], environment: environment(with: ["LOOPD_STATE_DIR": state]),
            directory: project.path, codes: codes)
    }

    /// The process that its lock names.
    private func playgroundProcess(_ state: String) throws -> ProcessTable.Entry {
        let facts = try JSON(parsing: Disk.read("\(state)/playground/address.json"))
        let pid = try #require(facts["pid"]?.integer)
        return try #require(ProcessTable.entry(Int32(pid)))
    }
}
