internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// A service in a pod, a client in another one, and the service's program on this machine.
struct HybridScene: Sendable {
    let scene: Scene
    /// The client's pod.
    let client: String
    /// The Service's address; it listens at port 80.
    let address: String
    /// Where the program on this machine listens.
    let port: String

    /// Runs `body` where a service "app" answers with the word "pod" at 8080 in its pod, and with "here" on this machine.
    ///
    /// `host` comes on top of how it runs on this machine. Without a word, the pod answers with its name.
    static func run(
        host: JSON = [:], pod: String? = "pod", program: [String] = ["here"], _ body: (HybridScene) async throws -> Void
    ) async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("client"))
            let client = try await scene.running()[0].name
            let server: JSON = [
                "command": .array((["/probe", "echo", "8080"] + [pod].compactMap { $0 }).map { .string($0) }),
                "ports": [["containerPort": 8080]],
                "readinessProbe": ["tcpSocket": ["port": 8080], "periodSeconds": 1],
            ]
            try await scene.deploy(Workload(container: server))
            let service: JSON = [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "app"],
                "spec": ["selector": ["app": "app"], "ports": [["port": 80, "targetPort": 8080]]],
            ]
            try await scene.kubectl(["apply", "-f", "-"], input: service.bytes)
            let address = try await scene.kubectl(["get", "service", "app", "-o", "jsonpath={.spec.clusterIP}"]).text
            let port = try freePort()
            let command = [Built.probe, "echo", "\(port)"] + program
            let own: JSON = [
                "command": .array(command.map { .string($0) }),
                "ports": [["container": 8080, "host": .integer(Int64(port))]],
            ]
            try scene.project.configure(
                scene.configuration(["app": ["workload": "deployment/app", "host": own.merged(with: host)]]))
            try scene.project.folder("app")
            try await body(HybridScene(scene: scene, client: client, address: address, port: "\(port)"))
        }
    }

    /// Starts `loopd run` and waits until connections come to this machine.
    func running() async throws -> Loopd {
        let loopd = try await scene.loopd("run", "app")
        _ = try await loopd.event("intercepting", limit: .seconds(120))
        return loopd
    }

    /// The service's pod.
    func pod() async throws -> (name: String, address: String) {
        let isOurs: @Sendable (Pod) -> Bool = { $0.name.hasPrefix("app-") && $0.isRunning }
        let pods = try await scene.pods().until("one pod of the service") { $0.count(where: isOurs) == 1 }
        guard let pod = pods.first(where: isOurs), let address = pod.json.at("status", "podIP")?.string else {
            throw Trouble("the service's pod has no address")
        }
        return (pod.name, address)
    }

    /// Numbers that the client's program printed, one a line.
    func ask(_ arguments: String...) async throws -> [Double] {
        HybridScene.numbers(try await scene.exec(client, ["/probe"] + arguments).text)
    }

    /// The same from this machine.
    static func askHere(_ arguments: String...) async throws -> [Double] {
        numbers(try await Child.succeed([Built.probe] + arguments).text)
    }

    private static func numbers(_ text: String) -> [Double] {
        text.split { $0 == "\n" || $0 == " " }.compactMap { Double($0) }
    }

    /// A port of this machine that nobody listens at.
    private static func freePort() throws -> UInt16 {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        guard case .tcp(_, let port) = listener.endpoint else { throw Trouble("no port") }
        return port
    }

    /// How busy the machine is, for what is beside a row.
    static var load: String {
        let text = (try? Disk.read("/proc/loadavg")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return "load \(text.prefix { $0 != " " })"
    }
}
