import Glibc
import JSON
import Reactor
import TestCluster
import Testing

/// Pods that answer with "pod", a Service `web` that leads to them and a client that asks it; the same program answers with
/// another word when it runs on this machine.
struct HostScene: Sendable {
    let scene: Scene
    /// Where the program listens on this machine.
    let port: UInt16
    /// The Service's cluster address.
    let address: String
    /// The pod that asks.
    let client: String
    let before: JSON

    static let container: JSON = [
        "command": ["/probe", "page", "8080", "pod"], "ports": [["containerPort": 8080]],
        "readinessProbe": ["tcpSocket": ["port": 8080], "periodSeconds": 1],
    ]

    /// A probe that a service which is down for a second would not survive.
    ///
    /// It gives a busy machine time for an answer; a program that stands still for 25 seconds fails it often enough.
    static let liveness: JSON = [
        "livenessProbe": [
            "httpGet": ["port": 8080, "path": "/"], "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3,
        ]
    ]

    /// Runs `body` when the pods are ready.
    static func run(
        replicas: Int = 1, container: JSON = [:], pod: JSON = [:], _ body: (HostScene) async throws -> Void
    ) async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("client"), wait: false)
            let service: JSON = [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "web"],
                "spec": ["selector": ["app": "web"], "ports": [["port": 80, "targetPort": 8080]]],
            ]
            try await scene.kubectl(["apply", "-f", "-"], input: service.bytes)
            try await scene.deploy(
                Workload("web", replicas: replicas, container: Self.container.merged(with: container), pod: pod))
            let address = try await scene.kubectl(["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]).text
            let all = try await scene.running(replicas + 1)
            let client = try #require(all.first { $0.name.hasPrefix("client-") })
            let hosts = try await HostScene(
                scene: scene, port: freePort(), address: address, client: client.name,
                before: scene.object("deployment/web"))
            try await body(hosts)
        }
    }

    // MARK: The project

    /// Writes a `loop.json` with the service `web`; `host` is merged into a program that answers with "host".
    func configure(_ host: JSON = [:], service more: JSON = [:], services others: JSON = [:]) throws {
        let program: JSON = [
            "command": [.string(Built.probe), "page", .string("\(port)"), "host"],
            "ports": [["container": 8080, "host": .integer(Int64(port))]],
        ]
        let web: JSON = ["workload": "deployment/web", "host": program.merged(with: host)]
        let services: JSON = ["web": web.merged(with: more)]
        try scene.project.configure(scene.configuration(services.merged(with: others)))
    }

    /// A program whose word is in the file `word`: with "crash" it ends with the exit code 3.
    ///
    /// It begins to listen after what `seconds` says.
    func wordProgram(_ file: String = "src/word", seconds: String = "0") -> JSON {
        let script = """
            word=$(cat \(file)); [ "$word" != crash ] || exit 3; sleep \(seconds); exec \(Built.probe) page \(port) "$word"
            """
        return ["sh", "-c", .string(script)]
    }

    /// Starts `loopd run web` and waits until what the client asks comes here.
    func running(_ arguments: String...) async throws -> Loopd {
        let loopd = try await scene.loopd(["run", "web"] + arguments)
        try await intercepted(loopd)
        try await untilHere(loopd)
        return loopd
    }

    /// Waits until the Service leads to no pod from before any more.
    func untilHere(_ loopd: Loopd) async throws {
        try await within(.seconds(60), "the program here answers", state: { loopd.transcript }) {
            while true {
                let answer = try await ask()
                guard answer.hasPrefix("pod ") || answer.hasPrefix("!") else { return }
                try Task.checkCancellation()
            }
        }
    }

    /// Waits until the connections of `count` pods come here; returns their names.
    @discardableResult
    func intercepted(_ loopd: Loopd, pods count: Int = 1, from place: Int = 0) async throws -> [String] {
        let event = try await loopd.event("intercepting", from: place, limit: .seconds(60)) {
            $0["pods"]?.array?.count == count
        }
        return (event["pods"]?.array ?? []).compactMap(\.string)
    }

    // MARK: Questions

    /// What the client gets: one line for each request, `!` and the reason where there is no answer.
    func ask(_ path: String = "/", at address: String? = nil, port: Int = 80, times: Int = 1) async throws -> String {
        try await probe("ask", at: address, port: port, path, "\(times)")
    }

    /// Runs one of the clients of `/probe` in the client's pod.
    func probe(_ verb: String, at address: String? = nil, port: Int = 80, _ words: String...) async throws -> String {
        let command = ["/probe", verb, address ?? self.address, "\(port)"] + words
        return try await scene.exec(client, command, codes: [0, 1]).text.trimmed
    }

    /// Asks until the answer begins with a word; every other answer has to begin with one of `before`.
    func untilAnswered(_ word: String, after before: [String] = ["!"], _ loopd: Loopd) async throws {
        try await within(.seconds(60), "\(word) answers", state: { loopd.transcript }) {
            while true {
                let answer = try await ask()
                if answer.hasPrefix(word) { return }
                guard before.contains(where: answer.hasPrefix) else { throw Trouble("\(answer) answered") }
                try Task.checkCancellation()
            }
        }
    }

    /// The one pod's container is still its first.
    func expectNoRestart() async throws {
        let pods = try await scene.running(2)
        #expect(pods.allSatisfy { $0.restarts == 0 }, "\(pods.map { $0.json["status"]?.text ?? "" })")
    }

    /// Nothing of dev mode is left in the workload.
    func expectUntouched() async throws { try await scene.expectUntouched("deployment/web", before) }
}

/// A client that connects to the Service again and again, with what it got and when.
final class Traffic: Sendable {
    private let child: Child
    /// One entry for each connection.
    private let log = EventLog()

    /// Starts to connect every `milliseconds`.
    init(_ hosts: HostScene, every milliseconds: Int = 5) async throws {
        let cluster = hosts.scene.cluster
        var launch = Launch([
            "kubectl", "--kubeconfig", cluster.kubeconfig, "--context", cluster.context, "-n", hosts.scene.namespace,
            "exec", hosts.client, "--", "/probe", "again", hosts.address, "80", "\(milliseconds)",
        ])
        launch.standardError = .null
        child = try await Child.spawn(launch)
        let (log, output) = (log, child.standardOutput)
        Task.detached {
            var rest: [UInt8] = []
            while let bytes = try? await output?.read(), !bytes.isEmpty {
                rest += bytes
                let time = Traffic.now()
                while let end = rest.firstIndex(of: 0x0A) {
                    let line = String(decoding: rest[..<end], as: UTF8.self)
                    rest.removeFirst(end + 1)
                    log.add(["line": .string(line), "time": .integer(time)])
                }
            }
            log.end()
        }
    }

    deinit { child.signal(SIGKILL, toGroup: true) }

    /// In microseconds; answers are dated when they have arrived here.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
    }

    /// A place to look from.
    var place: Int { log.count }

    /// What all connections from a place on have got.
    func answers(from place: Int = 0) -> [String] { log.events(from: place).compactMap { $0["line"]?.string } }

    /// When the last answers began that all begin with a word, from a place on.
    func recovery(of word: String, from place: Int) -> Int64? {
        let last = log.events(from: place).reversed().prefix { $0["line"]?.string?.hasPrefix(word) == true }.last
        return last?["time"]?.integer
    }

    /// When an answer arrived that begins with a word, from a place on.
    @discardableResult
    func first(_ word: String, from place: Int = 0, limit: Duration = .seconds(60), _ loopd: Loopd) async throws
        -> Int64
    {
        let log = log
        let state: @Sendable () -> String = {
            "\(log.events(from: max(0, log.count - 10)).map(\.text))\n\(loopd.transcript)"
        }
        let found = try await within(limit, "an answer by \(word)", state: state) {
            await log.first(from: place) { $0["line"]?.string?.hasPrefix(word) == true }
        }
        guard let time = found?["time"]?.integer else { throw Trouble("the client has ended") }
        return time
    }
}

/// Prints how long something took, for whoever wants to know; nothing depends on it.
func tell(_ what: String, _ microseconds: Int64) { print("\(what): \(microseconds / 1000) ms") }
