import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

/// An API server with a SopsSecret, the Secrets that a double of its operator makes, and Deployments that read them.
private final class SecretServer: Sendable {
    struct State {
        var versions: [String: String]
        var message: String?
        /// How long a list of Secrets takes.
        var pause = Duration.zero
        /// Whether nobody may list Secrets.
        var isForbidden = false
        var patches: [String: JSON] = [:]
    }

    private let state: Mutex<State>
    private static let readers = ["web": "login", "worker": "other"]

    init(_ versions: [String: String], message: String?) { state = Mutex(State(versions: versions, message: message)) }

    var now: State { state.withLock { $0 } }
    func set(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }

    private static func deployment(_ name: String) -> JSON {
        let secret = readers[name] ?? ""
        let spec: JSON = ["containers": [["name": "c", "envFrom": [["secretRef": ["name": .string(secret)]]]]]]
        return [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["name": .string(name), "namespace": "team", "uid": .string(name), "generation": 1],
            "spec": ["replicas": 1, "selector": ["matchLabels": ["app": .string(name)]], "template": ["spec": spec]],
            "status": ["observedGeneration": 1, "updatedReplicas": 1, "replicas": 1, "availableReplicas": 1],
        ]
    }

    func handle(_ exchange: HTTPExchange) async throws {
        if exchange.query("watch") != nil {
            // Whoever watches lists again.
            let end: JSON = ["type": "ERROR", "object": ["kind": "Status", "code": 410, "reason": "Expired"]]
            return try await exchange.answer(end)
        }
        let now = now
        func list(_ items: [JSON]) -> JSON { ["metadata": ["resourceVersion": "1"], "items": .array(items)] }
        var sops: JSON = ["metadata": ["name": "s", "namespace": "team"]]
        if let message = now.message { sops["status"] = ["message": .string(message)] }
        switch exchange.request.path.last {
        case "s": try await exchange.answer(sops)
        case "sopssecrets": try await exchange.answer(list([sops]))
        case "secrets" where now.isForbidden: try await exchange.fail(403, "Forbidden", "no secrets for you")
        case "secrets":
            // A slow API is what is tested: its answer comes after the limit.
            try await Task.sleep(for: now.pause)
            try await exchange.answer(
                list(now.versions.map { ["metadata": ["name": .string($0), "resourceVersion": .string($1)]] }))
        case "deployments":
            let name = exchange.query("fieldSelector")?.split(separator: "=").last.map(String.init)
            try await exchange.answer(
                list(Self.readers.keys.filter { name == nil || $0 == name }.map(Self.deployment)))
        case let name? where exchange.request.method == "PATCH":
            let patch = try JSON(parsing: try await exchange.body())
            set { $0.patches[name] = patch }
            try await exchange.answer(Self.deployment(name))
        default: try await exchange.answer(list([]))
        }
    }
}

@Suite("SopsSecrets and the readers of their Secrets", .turn) struct SopsSecretTests {
    private static let plan: ManifestApply.Plan = {
        let object: JSON = [
            "apiVersion": "isindir.github.com/v1alpha3", "kind": "SopsSecret",
            "metadata": ["name": "s", "namespace": "team"], "spec": ["secretTemplates": [["name": "login"]]],
        ]
        var plan = ManifestApply.Plan()
        plan.items = [ObjectReference(object)].compactMap(\.self).map {
            ManifestApply.Item(reference: $0, object: object)
        }
        return plan
    }()

    private final class Told: Sendable {
        private let events = Mutex<[LoopEvent.Kind]>([])
        var all: [LoopEvent.Kind] { events.withLock { $0 } }
        var failure: LoopEvent.Failure? {
            all.lazy.compactMap { if case .failed(let failure) = $0 { failure } else { nil } }.first
        }
        func add(_ event: LoopEvent.Kind) { events.withLock { $0.append(event) } }
    }

    /// Settles after the operator has done something.
    private func settle(
        _ server: SecretServer, limit: Duration = .seconds(20), _ operate: @escaping (inout SecretServer.State) -> Void
    ) async throws -> (isWhole: Bool, told: Told) {
        let told = Told()
        let isWhole = Mutex(false)
        try await withAPI(server.handle) { client, _ in
            let secrets = try #require(await SopsSecrets(Self.plan, client, limit: limit))
            server.set(operate)
            let result = await secrets.settle { told.add($0) }
            isWhole.withLock { $0 = result }
        }
        return (isWhole.withLock { $0 }, told)
    }

    @Test("a Secret that has changed restarts its readers, and no others")
    func restarts() async throws {
        let server = SecretServer(["login": "1", "other": "1"], message: "Healthy")
        let (isWhole, told) = try await settle(server) { $0.versions["login"] = "2" }
        #expect(isWhole, "\(told.all)")
        #expect(Array(server.now.patches.keys) == ["web"])
        let template = server.now.patches["web"]?.at("spec", "template", "metadata", "annotations")
        #expect(template?["kubectl.kubernetes.io/restartedAt"]?.string?.isEmpty == false)
        #expect(told.all.contains(.notice("restarting deployment/web: secret/login has changed")))
        #expect(told.all.contains { if case .rolledOut(["deployment/web"], _) = $0 { true } else { false } })
    }

    @Test("a Secret that was not there before restarts nobody: whoever reads it was waiting")
    func new() async throws {
        let server = SecretServer([:], message: nil)
        let (isWhole, told) = try await settle(server) {
            $0.versions["login"] = "1"
            $0.message = "Healthy"
        }
        #expect(isWhole && server.now.patches.isEmpty, "\(told.all)")
    }

    @Test("a Secret that nobody makes is named at the limit, and that no operator has said anything")
    func missing() async throws {
        let (isWhole, told) = try await settle(SecretServer([:], message: nil), limit: .seconds(1)) { _ in }
        #expect(!isWhole)
        #expect(
            told.failure?.summary
                == "sopssecret/s: secret/login was not made within 1 s; no operator has said anything of it")
    }

    @Test("what the operator says is told as soon as it says it")
    func refused() async throws {
        let server = SecretServer(["login": "1"], message: "Healthy")
        let (isWhole, told) = try await settle(server) { $0.message = "Decryption error" }
        #expect(!isWhole && server.now.patches.isEmpty)
        #expect(
            told.failure?.summary
                == "sopssecret/s: its operator says \"Decryption error\": secret/login is not up to date")
    }

    @Test("another encryption of the same values restarts nobody")
    func same() async throws {
        let server = SecretServer(["login": "1"], message: "Healthy")
        let (isWhole, told) = try await settle(server, limit: .seconds(1)) { _ in }
        #expect(isWhole && server.now.patches.isEmpty)
        #expect(told.all == [.notice("sopssecret/s has changed, and secret/login has not: nothing is restarted")])
    }

    @Test("an API that takes longer than the limit to list the Secrets makes none of them missing")
    func slow() async throws {
        let server = SecretServer(["login": "1"], message: "Healthy")
        let (isWhole, told) = try await settle(server, limit: .milliseconds(1)) { $0.pause = .milliseconds(300) }
        #expect(isWhole)
        #expect(told.all == [.notice("sopssecret/s has changed, and secret/login has not: nothing is restarted")])
    }

    @Test("Secrets that the cluster does not show are not said to be missing")
    func hiddenSecrets() async throws {
        let server = SecretServer(["login": "1"], message: "Healthy")
        let (isWhole, told) = try await settle(server, limit: .milliseconds(1)) { $0.isForbidden = true }
        #expect(!isWhole)
        let summary = told.failure?.summary ?? ""
        let words = "sopssecret/s: the cluster does not say what has become of secret/login: "
        #expect(summary.hasPrefix(words) && summary.contains("no secrets for you"), "\(summary)")
    }

    @Test("neither is a SopsSecret's content in a diff")
    func hidden() {
        let old: JSON = ["spec": ["secretTemplates": [["name": "login", "stringData": ["p": "ENC[abc]"]]]]]
        let new: JSON = ["spec": ["secretTemplates": [["name": "login", "stringData": ["p": "ENC[def]"]]]]]
        let lines = ManifestDiff.lines(Self.plan.items[0].reference, from: old, to: new)
        #expect(lines == ["~ sopssecret/s  spec.secretTemplates[login].stringData.p changed"])
    }
}

/// An API server that keeps Secrets.
private final class SecretStore: Sendable {
    private let secrets = Mutex<[String: JSON]>([:])

    var names: Set<String> { Set(secrets.withLock { $0 }.keys) }

    func handle(_ exchange: HTTPExchange) async throws {
        let name = exchange.request.path.last ?? ""
        switch exchange.request.method {
        case "POST":
            let secret = try JSON(parsing: try await exchange.body())
            secrets.withLock { $0[secret.at("metadata", "name")?.string ?? ""] = secret }
            try await exchange.answer(201, secret)
        case "DELETE":
            secrets.withLock { $0[name] = nil }
            try await exchange.answer([:])
        default: try await exchange.answer(["metadata": [:], "items": .array(Array(secrets.withLock { $0 }.values))])
        }
    }
}

@Suite("The sets that were applied before", .turn) struct ReleaseHistoryTests {
    @Test("the last five are kept in Secrets, the same one once; one that is too large is told")
    func keeps() async throws {
        let store = SecretStore()
        try await withAPI(store.handle) { client, _ in
            let history = ReleaseHistory(client, service: "web", of: "shop", namespace: "team")
            for number in 1...7 {
                #expect(await history.keep([["n": .integer(Int64(number))]]) == nil)
                #expect(await history.keep([["n": .integer(Int64(number))]]) == nil)
            }
            #expect(store.names == Set((3...7).map { "loopd-release-web.\($0)" }))
            #expect(try await history.releases().map(\.number) == [7, 6, 5, 4, 3])
            #expect(try await history.releases().first?.objects == [["n": 7]])
            let large = await history.keep([["text": .string(String(repeating: "x", count: 1_000_000))]])
            #expect(large == "this set is too large to be kept: `loopd rollback` cannot come back to it")
            #expect(store.names.count == 5)
            try await history.forget()
            #expect(store.names.isEmpty)
        }
    }
}
