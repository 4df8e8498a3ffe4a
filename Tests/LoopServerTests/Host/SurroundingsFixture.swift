import JSON
import Reactor
import Synchronization
import TestCluster

@testable import LoopServer

/// A way into a cluster that nothing is reached by.
struct NoRoute: ClusterRoute {
    func link(to target: ClusterTarget) async throws -> HelperLink { throw LinkError.disconnected("there is none") }
}

/// What a service of namespace `web` finds on this machine, by an API of the test's; a rule builds the image `runner`.
struct SurroundingsFixture: Sendable {
    let surroundings: HostSurroundings
    let service: Service
    let host: Host
    let log = EventLog()
    let folder: ScratchTree
    private let images: Images

    private final class Images: Sendable {
        let references = Mutex<[String: String]>([:])
    }

    init(_ client: KubeClient, _ host: Host, target: Target? = nil) throws {
        folder = try ScratchTree()
        var host = host
        host.directory = folder.path
        var service = Service(name: "web", root: folder.path)
        (service.target, service.host, service.isOnHost) = (target, host, true)
        let kubeconfig: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [["name": "c", "cluster": ["server": "http://127.0.0.1:1"]]],
            "contexts": [["name": "a", "context": ["cluster": "c", "namespace": "web"]]],
        ]
        try folder.write("config", kubeconfig.text)
        var kubectl = try Kubectl.find()
        kubectl.kubeconfig = "\(folder.path)/config"
        let (images, log) = (Images(), self.log)
        self.images = images
        (self.service, self.host) = (service, host)
        surroundings = HostSurroundings(
            service, host, client, KubeContext(name: "a", server: "", kubectl: kubectl), namespace: "web",
            route: NoRoute(),
            images: { ManifestImages(images.references.withLock { $0 }, known: ["runner", "other"]) },
            emit: { log.add(LoopEvent($0)) })
    }

    /// What was told in lines.
    var notices: [String] {
        log.all.compactMap { if case .notice(let text) = $0 { text } else { nil } }
    }

    /// The ports of this machine that lead to what it needs, in the order in which that was told.
    var forwarded: [String] {
        log.all.compactMap { if case .forwarding(let local, _) = $0 { local } else { nil } }
    }

    /// An image of a name is there.
    func built(_ name: String, _ reference: String) { images.references.withLock { $0[name] = reference } }

    /// Returns when something is found among the events.
    func until(_ isThere: @escaping @Sendable ([LoopEvent.Kind]) -> Bool) async throws {
        let log = log
        try await within(.seconds(120), "an event", state: { "\(log.all)" }) {
            // Events are only kept: nobody tells of the next one.
            while !isThere(log.all) { try await Task.sleep(for: .milliseconds(5)) }
        }
    }
}
