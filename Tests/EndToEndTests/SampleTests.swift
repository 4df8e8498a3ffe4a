import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("The samples as a user has them", .turn, .enabled(if: Ability.isPlayground, Ability.ownPlayground))
struct SampleTests {
    @Test("samples/supervisor: a changed line runs as another process of the same container; Ctrl-C puts it all back")
    func supervisor() async throws {
        try await Sample.run("supervisor", namespace: "supervisor") { sample in
            let loopd = try await sample.loopd("watch")
            let first = try await sample.log("supervisor", "hello from process")
            let pod = try await sample.pod("supervisor")
            try sample.edit("supervisor.c", "\"hello\"", "\"good morning\"")
            let second = try await sample.log("supervisor", "good morning from process")
            #expect(first != second)
            let after = try await sample.pod("supervisor")
            #expect(after.containerID == pod.containerID)
            #expect(after.restarts == pod.restarts)

            // What does not compile changes nothing.
            let place = loopd.log.count
            try sample.edit("supervisor.c", "\"good morning\";", "\"good\" morning;")
            _ = try await loopd.event("failed", from: place, limit: .seconds(60))
            #expect(try await sample.pod("supervisor").containerID == pod.containerID)
            #expect(try await loopd.stop().status == .exited(130))
            let spec = try await sample.kubectl(["get", "deployment", "supervisor", "-o", "json"]).text
            #expect(!spec.contains(".loopd"), "\(spec)")
        }
    }

    @Test("samples/supervisor/distroless: the same in an image of nothing but the program, read-only, as user 1000")
    func distroless() async throws {
        try await Sample.run("supervisor", namespace: "supervisor-distroless") { sample in
            try await sample.succeed(["cc", "-O2", "-static", "-o", "supervisor", "supervisor.c"])
            try await sample.succeed([Built.loopd, "up"])
            let variables = try await sample.succeed(
                [Built.loopd, "env", "--file", "distroless.json", "--output", "json"])
            let registry = try #require(try JSON(parsing: variables.standardOutput)["LOOPD_REGISTRY"]?.string)
            let image = "\(registry)/supervisor:distroless"
            try await sample.succeed([
                "buildah", "build", "--file", "distroless/Dockerfile", "--tag", image, ".",
            ])
            try await sample.succeed(["buildah", "push", "--tls-verify=false", image])
            let loopd = try await sample.loopd("watch", "--file", "distroless.json")
            let first = try await sample.log("supervisor", "hello from process")
            _ = try await loopd.event("connected", limit: .seconds(60))
            let pod = try await sample.pod("supervisor")
            try sample.edit("supervisor.c", "\"hello\"", "\"good morning\"")
            let second = try await sample.log("supervisor", "good morning from process")
            #expect(first != second)
            #expect(try await sample.pod("supervisor").containerID == pod.containerID)
            #expect(try await loopd.stop().status == .exited(130))
        }
    }

    @Test(
        "samples/image: a page lands in the same container, a changed server is a new image, an unchanged one is none")
    func image() async throws {
        try await Sample.run("image", namespace: "pages") { sample in
            let loopd = try await sample.loopd("watch")
            _ = try await sample.log("pages", "server 1: Good morning")
            let pod = try await sample.pod("pages")
            try sample.edit("pages/index.txt", "morning", "evening")
            _ = try await sample.log("pages", "server 1: Good evening")
            #expect(try await sample.pod("pages").containerID == pod.containerID)

            let place = loopd.log.count
            try sample.edit("server.c", "server 1", "server 2")
            let built = try await loopd.event("imageBuilt", from: place, limit: .seconds(60))
            #expect(built["unchanged"] == false)
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            _ = try await sample.log("pages", "server 2: Good evening")

            let after = loopd.log.count
            try sample.edit("server.c", "server 2", "server 2")
            let again = try await loopd.event("imageBuilt", from: after, limit: .seconds(60))
            #expect(again["unchanged"] == true)
            #expect(try await loopd.stop().status == .exited(130))
        }
    }

    @Test("samples/gateway: the gateway runs here and in place of its pod, beside a service that is synced")
    func gateway() async throws {
        let taken = try ListeningSocket.all().filter { [18080, 18081, 16000].contains($0.port) }
        try #require(taken.isEmpty, "the sample's ports are in use on this machine")
        try await Sample.run("gateway", namespace: "cafe") { sample in
            let loopd = try await sample.loopd("watch", "--host", "gateway")
            _ = try await loopd.event("intercepting", limit: .seconds(90))
            var page = try await sample.page("visitor 1!")
            let here = try #require(page.split(separator: "\n").last)
            #expect(page.contains("tea 2.50\ncake 4.20\n"))

            // A save of either kind is in the next answer, and concerns nobody else.
            let place = loopd.log.count
            try sample.edit("menu/menu.txt", "cake", "cake\ncoffee")
            try sample.edit("gateway.py", "Welcome", "Good morning")
            _ = try await loopd.event("hostReady", from: place)
            _ = try await loopd.event("landed", from: place)
            page = try await sample.page("Good morning")
            #expect(page.contains("coffee 3.00\n"))

            let events = loopd.log.events()
            #expect(!events.contains { $0["event"] == "unmatched" }, "\(loopd.transcript)")
            #expect(
                !events.contains { $0["event"] == "connected" && $0["service"] == "store" }, "nothing is synced there")
            #expect(!events.contains { $0["summary"]?.string?.hasPrefix("needs") == true }, "\(loopd.transcript)")

            // Others in the cluster get it by the Service.
            let ask = #"from urllib.request import urlopen; print(urlopen("http://gateway/").read().decode())"#
            let answer = try await sample.kubectl(["exec", "deployment/menu", "--", "python3", "-c", ask]).text
            #expect(answer.contains(here) && answer.contains("Good morning"), "\(answer)")

            let variables = try await sample.succeed([Built.loopd, "env", "gateway"]).text
            #expect(variables.contains("export STORE=store:6000\n"), "\(variables)")
            let store = try await sample.loopd("forward", "store", "16000:6000")
            _ = try await store.event("forwarding")
            let visits = try await sample.succeed(["python3", "store.py", "127.0.0.1:16000", "get", "visits"]).text
            #expect(Int(visits.filter(\.isNumber)).map { $0 >= 3 } == true, "\(visits)")
            #expect(try await store.stop().status == .exited(130))
            #expect(try await loopd.stop().status == .exited(130))

            // The pod answers for itself again, with what was deployed.
            let forward = try await sample.loopd("forward", "gateway", "18081:18080")
            _ = try await forward.event("forwarding")
            page = try await sample.page("Welcome")
            #expect(page.contains("served by gateway-"), "\(page)")
            #expect(try await forward.stop().status == .exited(130))

            // One that waits for an editor answers nobody; where there is no debugpy it runs.
            let debugged = try await sample.loopd("run", "gateway", "--debug")
            let words = try await debugged.event("notice", limit: .seconds(60)) {
                $0["text"]?.string?.hasPrefix("--debug: ") == true
            }
            _ = try await debugged.event("hostStarted")
            if words["text"]?.string?.contains("has no debugpy") == true {
                _ = try await debugged.event("intercepting", limit: .seconds(60))
                #expect(try await sample.page("Good morning").contains(here))
            }
            #expect(try await debugged.stop().status == .exited(130))
        }
    }
}

/// A copy of a sample, on a playground of its own.
final class Sample: Sendable {
    private let project: Project
    private let state: String
    private let namespace: String

    private init(_ name: String, _ namespace: String) async throws {
        let root = String(#filePath.dropLast("/Tests/EndToEndTests/SampleTests.swift".count))
        project = try Project()
        state = "\(project.path)-state"
        self.namespace = namespace
        try await Child.succeed(["cp", "-r", "\(root)/samples/\(name)/.", project.path])
    }

    /// Copies a sample, runs `body`, and takes the playground down.
    static func run(
        _ name: String, namespace: String, _ body: (Sample) async throws -> Void
    ) async throws {
        let sample = try await Sample(name, namespace)
        do {
            try await body(sample)
        } catch {
            _ = try? await sample.succeed([Built.loopd, "down"])
            Disk.remove(sample.state)
            throw error
        }
        try await sample.succeed([Built.loopd, "down"])
        Disk.remove(sample.state)
    }

    /// Starts loopd in the sample's folder.
    func loopd(_ arguments: String...) async throws -> Loopd {
        try await Loopd.start(arguments, in: project.path, stateDirectory: state)
    }

    /// Runs a program in the sample's folder.
    @discardableResult
    func succeed(_ command: [String]) async throws -> Output {
        // Without a user namespace or a kernel's overlay of its own.
        let variables = ["LOOPD_STATE_DIR": state, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"]
        return try await Child.succeed(command, environment: environment(with: variables), directory: project.path)
    }

    func kubectl(_ arguments: [String], codes: Set<Int32> = [0]) async throws -> Output {
        try await Child.succeed(
            ["kubectl", "--kubeconfig", "\(state)/playground/kubeconfig", "-n", namespace] + arguments, codes: codes)
    }

    /// Replaces a text in a file, as editors do.
    func edit(_ file: String, _ old: String, _ new: String) throws {
        let text = String(decoding: try Disk.read("\(project.path)/\(file)"), as: UTF8.self)
        guard text.contains(old) else { throw Trouble("\(file) has no \(old)") }
        try project.replace(file, text.replacing(old, with: new))
    }

    /// The gateway's page as the cluster answers it, once it has some words.
    func page(_ words: String) async throws -> String {
        try await within(.seconds(90), "\(words) in the page") {
            while true {
                let curl = Launch(["curl", "-sS", "-m", "20", "http://127.0.0.1:18081/"])
                let page = try await Child.run(curl).text
                if page.contains(words) { return page }
                try Task.checkCancellation()
            }
        }
    }

    /// The first line of a deployment's log with some words, once it is there, without its count.
    func log(_ deployment: String, _ words: String) async throws -> String {
        try await within(.seconds(90), "\(words) in the log") { [self] in
            while true {
                let log = try await kubectl(["logs", "deployment/\(deployment)"], codes: [0, 1])
                if let line = log.text.split(separator: "\n").first(where: { $0.contains(words) }) {
                    return String(line.prefix { $0 != "," })
                }
                try Task.checkCancellation()
            }
        }
    }

    /// The only pod of an app that is not going.
    func pod(_ app: String) async throws -> Pod {
        let list = try JSON(
            parsing: try await kubectl(["get", "pods", "-l", "app=\(app)", "-o", "json"]).standardOutput)
        let pods = (list["items"]?.array ?? []).map(Pod.init(json:)).filter { !$0.isTerminating }
        guard pods.count == 1 else { throw Trouble("\(pods.count) pods: \(pods.map(\.name))") }
        return pods[0]
    }
}
