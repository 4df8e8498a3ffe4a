import HTTP
import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("Setting an image", .turn)
struct ImageRolloutTests {
    private static let first = "localhost:5000/web:loopd-1111111111111111"
    private static let second = "localhost:5000/web:loopd-2222222222222222"

    private struct Scene: Sendable {
        let stored: StoredDeployment
        let rollout: ImageRollout
        let dev: DevModeSession
        let said: @Sendable () -> [LoopEvent.Kind]

        var failures: [LoopEvent.Failure] {
            said().compactMap { if case .failed(let failure) = $0 { failure } else { nil } }
        }
        var rollingOut: [String] {
            said().compactMap { if case .rollingOut(_, _, let image, _) = $0 { image } else { nil } }
        }
        var changes: [LoopEvent.DevModeChange.What] {
            said().compactMap { if case .devMode(let change) = $0 { change.what } else { nil } }
        }
        func image(_ container: String = "app", in list: String = "containers") -> String? {
            stored.object.podSpec.named(container, in: list)?["image"]?.string
        }
    }

    /// A rollout into a stored Deployment, whose dev mode a session keeps, or only uses.
    private func withScene(
        _ stored: StoredDeployment = StoredDeployment(), keepsDevMode: Bool = false, container: String? = nil,
        inputs: DevMode = DevMode(), built: [String: ImageConfiguration] = [:], _ body: (Scene) async throws -> Void
    ) async throws {
        try await withAPI({ try await stored.handle($0) }) { client, _ in
            let said = Mutex<[LoopEvent.Kind]>([])
            let emit: @Sendable (LoopEvent.Kind) -> Void = { kind in said.withLock { $0.append(kind) } }
            var service = Service(name: "app", root: "/project")
            service.target = .workload(.deployment, name: "app")
            service.container = keepsDevMode ? "app" : nil
            let pods = KubePods(
                client: client, namespace: "d", kubectl: Kubectl(program: "/bin/false"), leash: "/bin/false")
            var gathered = DevInputs(
                service: service, dev: inputs, plan: ServicePlan(service, project: "/project"), pods: pods,
                programs: Programs.find())
            gathered.built = { built[$0] }
            let dev = DevModeSession(
                keepsDevMode ? .keep(gathered) : .use, .deployment, "app", client: client, namespace: "d",
                session: "mine", patience: .seconds(240), emit: emit)
            let rollout = ImageRollout(
                RolledImage(kind: .deployment, name: "app", image: "web", container: container), recreate: false,
                dev: dev, client: client, namespace: "d", patience: .seconds(240), emit: emit)
            try await body(Scene(stored: stored, rollout: rollout, dev: dev) { said.withLock { $0 } })
            await rollout.end()
        }
    }

    @Test("it is set in spite of conflicts, told once, and the same again is no write")
    func whole() async throws {
        try await withScene { scene in
            scene.stored.set { $0.conflicts = 3 }
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.image() == Self.first)
            #expect(scene.stored.now.patches == 1)
            #expect(scene.rollingOut == [Self.first])
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.stored.now.patches == 1)
            #expect(await scene.rollout.roll(to: Self.second))
            #expect(scene.image() == Self.second)
            #expect(scene.rollingOut == [Self.first, Self.second])
            #expect(scene.failures.isEmpty)
        }
    }

    @Test("what only its builder knows of an image is enough to bring it and dev mode in one write")
    func knownToItsBuilder() async throws {
        var object = DevFixture.deployment(command: nil)
        let lease = Lease.mine(session: "mine", now: Timestamp.now().seconds)
        object["metadata"]?["annotations"] = [Lease.annotation: .string(lease.text)]
        let built = [Self.first: ImageConfiguration(entrypoint: ["/web"], command: ["serve"])]
        try await withScene(StoredDeployment(object), keepsDevMode: true, built: built) { scene in
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.image() == Self.first)
            let command = scene.stored.object.podSpec.named("app", in: "containers")?["command"]?.words
            #expect(command == DevTemplate.supervise + ["/web", "serve"])
            #expect(scene.stored.now.patches == 1)
            #expect(scene.failures.isEmpty)
        }
    }

    @Test("what another session has set already is left as it is")
    func already() async throws {
        let stored = StoredDeployment(DevFixture.deployment(container: ["image": .string(Self.first)]))
        try await withScene(stored) { scene in
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.stored.now.patches == 0)
            #expect(scene.rollingOut.isEmpty)
        }
    }

    @Test("of two at once the later one wins, and the earlier one is no failure")
    func superseded() async throws {
        try await withScene { scene in
            scene.stored.set { $0.conflicts = 5 }
            async let earlier = scene.rollout.roll(to: Self.first)
            while scene.stored.now.conflicts == 5 { await Task.yield() }
            #expect(await scene.rollout.roll(to: Self.second))
            _ = await earlier
            #expect(scene.image() == Self.second)
            #expect(scene.failures.isEmpty)
        }
    }

    @Test("what the cluster refuses, and a container that is not there, are one line each")
    func refused() async throws {
        try await withScene { scene in
            scene.stored.set { $0.patchRefusal = (403, "deployments.apps \"app\" is forbidden") }
            #expect(await scene.rollout.roll(to: Self.first) == false)
            #expect(
                scene.failures.map(\.summary) == [
                    "deployment/app cannot get its image: deployments.apps \"app\" is forbidden"
                ])
            #expect(await scene.rollout.untilRolledOut() == false)
            // The next one tries again.
            scene.stored.set { $0.patchRefusal = nil }
            #expect(await scene.rollout.roll(to: Self.first))
        }
        try await withScene(container: "nosuch") { scene in
            let before = scene.stored.object
            #expect(await scene.rollout.roll(to: Self.first) == false)
            #expect(scene.failures.map(\.summary) == ["container \"nosuch\" is not in deployment/app, but app"])
            #expect(scene.stored.object == before)
        }
    }

    @Test("one that somebody takes back while the cluster does not answer is set again when it does")
    func takenBack() async throws {
        let api = StoredObjects()
        api.put("deployments", DevFixture.deployment())
        try await withAPI({ try await api.handle($0) }) { client, _ in
            let rollout = DevFixture.rollout(client) { _ in }
            #expect(await rollout.roll(to: Self.first))
            api.set { $0.refusals["GET deployments/app"] = [(500, "soon"), (503, "later")] }
            api.put("deployments", DevFixture.deployment())
            while api.set({ $0.refusals["GET deployments/app"]?.isEmpty }) == false { await Task.yield() }
            var image: JSON?
            while image?.string != Self.first {
                image = api.object("deployments", "app")?.podSpec.named("app", in: "containers")?["image"]
                await Task.yield()
            }
            await rollout.end()
        }
    }

    @Test("an image whose field cannot be given back is one line at the end")
    func fieldStays() async throws {
        let api = StoredObjects()
        api.put("deployments", DevFixture.deployment())
        let said = Mutex<[LoopEvent.Kind]>([])
        try await withAPI({ try await api.handle($0) }) { client, _ in
            let rollout = DevFixture.rollout(client) { kind in said.withLock { $0.append(kind) } }
            #expect(await rollout.roll(to: Self.first))
            api.set { $0.refusals["GET deployments/app"] = Array(repeating: (403, "not yours"), count: 9) }
            await rollout.end()
        }
        let words = "the image of deployment/app stays loopd's field"
        let lines = said.withLock { $0 }.compactMap { if case .notice(let text) = $0 { text } else { nil } }
        #expect(lines.count { $0.hasPrefix(words) } == 1, "\(lines)")
    }

    // MARK: - With dev mode

    @Test("in dev mode it comes in one write, is nobody's revert, and stays when dev mode goes")
    func devMode() async throws {
        try await withScene(keepsDevMode: true) { scene in
            let original = scene.stored.object
            try await scene.dev.hold(original)
            await scene.dev.tellRunning()
            #expect(scene.stored.now.patches == 1)
            for (count, image) in [(2, Self.first), (3, Self.second)] {
                #expect(await scene.rollout.roll(to: image))
                #expect(scene.stored.now.patches == count)
                #expect(scene.image() == image)
                let record = try #require(DevRecord(of: scene.stored.object))
                #expect(record.image == image)
                #expect(record.isHeld(by: scene.stored.object))
                try await scene.dev.hold(scene.stored.object)
                #expect(scene.stored.now.patches == count)
            }
            // The rollout is the image's, not dev mode's.
            await scene.dev.tellRunning()
            #expect(scene.changes == [.entered])
            #expect(scene.failures.isEmpty)
            await scene.dev.leave { _ in true }
            var expected = original.podSpec
            expected.change("app", in: "containers") { $0["image"] = .string(Self.second) }
            #expect(scene.stored.object.podSpec == expected)
        }
    }

    @Test("before dev mode is entered, a workload that this session has leased gets both in one write")
    func both() async throws {
        var object = DevFixture.deployment()
        object["metadata"]?["annotations"] = [
            Lease.annotation: .string(Lease.mine(session: "mine", now: Timestamp.now().seconds).text)
        ]
        try await withScene(StoredDeployment(object), keepsDevMode: true) { scene in
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.stored.now.patches == 1)
            #expect(DevRecord(of: scene.stored.object)?.image == Self.first)
            try await scene.dev.hold(scene.stored.object)
            #expect(scene.stored.now.patches == 1)
        }
    }

    @Test("of an image that nobody can look into, the command is that of the image before, and dev mode stays")
    func unknownCommand() async throws {
        var object = DevFixture.deployment(command: nil)
        object.podSpec.change("app", in: "containers") { $0["args"] = ["x"] }
        let inside = try DevFixture.enter(object, DevFixture.inputs())
        try await withScene(StoredDeployment(inside), keepsDevMode: true) { scene in
            // As an earlier step has left it, when the image could still be asked.
            let record = try #require(DevRecord(of: inside))
            await scene.dev.note(record, in: inside)
            let nowhere = "registry.invalid/web:loopd-1111111111111111"
            #expect(await scene.rollout.roll(to: nowhere))
            #expect(scene.image() == nowhere)
            let now = try #require(DevRecord(of: scene.stored.object))
            #expect(now.changes == record.changes)
            try await scene.dev.hold(scene.stored.object)
            #expect(scene.stored.now.patches == 1)
            #expect(scene.failures.isEmpty)
        }
    }

    @Test("another container's image leaves dev mode as it is")
    func sidecar() async throws {
        var object = DevFixture.deployment()
        object.podSpec.append(["name": "side", "image": "web:1", "imagePullPolicy": "IfNotPresent"], to: "containers")
        try await withScene(StoredDeployment(object), keepsDevMode: true, container: "side") { scene in
            try await scene.dev.hold(object)
            let inside = scene.stored.object
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.stored.now.patches == 2)
            #expect(scene.image("side") == Self.first)
            #expect(scene.image("app") == "registry/app:1")
            #expect(DevRecord(of: scene.stored.object)?.changes == DevRecord(of: inside)?.changes)
            try await scene.dev.hold(scene.stored.object)
            #expect(scene.stored.now.patches == 2)
        }
    }

    @Test("another session's dev mode is carried along, with what copies the image")
    func carried() async throws {
        let inputs = DevFixture.inputs(destinations: ["/srv"])
        let plain = DevFixture.deployment(container: ["securityContext": ["readOnlyRootFilesystem": true]])
        let theirs = try DevFixture.enter(plain, inputs)
        let seeds = theirs.podSpec["initContainers"]?.array ?? []
        #expect(!seeds.isEmpty)
        try await withScene(StoredDeployment(theirs)) { scene in
            #expect(await scene.rollout.roll(to: Self.first))
            #expect(scene.stored.now.patches == 1)
            let spec = scene.stored.object.podSpec
            #expect(scene.image() == Self.first)
            let images = (spec["initContainers"]?.array ?? []).map { $0["image"]?.string }
            #expect(images == seeds.map { $0["image"] == "registry/app:1" ? Self.first : $0["image"]?.string })
            let record = try #require(DevRecord(of: scene.stored.object))
            #expect(record.image == Self.first)
            #expect(record.isHeld(by: scene.stored.object))
            var left = try DevFixture.leave(scene.stored.object)
            left.podSpec.change("app", in: "containers") { $0["image"] = "registry/app:1" }
            #expect(left.podSpec == plain.podSpec)
        }
    }

    // MARK: - Others

    @Test("who has set an image is who owns the field and wrote last")
    func owner() throws {
        func entry(_ manager: String, _ time: String, _ fields: JSON, subresource: String? = nil) -> JSON {
            var entry: JSON = [
                "manager": .string(manager), "time": .string(time),
                "fieldsV1": ["f:spec": ["f:template": ["f:spec": fields]]],
            ]
            entry["subresource"] = subresource.map(JSON.string)
            return entry
        }
        let image: JSON = ["f:containers": [#"k:{"name":"app"}"#: ["f:image": [:]]]]
        let command: JSON = ["f:containers": [#"k:{"name":"app"}"#: ["f:command": [:]]]]
        var object = DevFixture.deployment()
        object["metadata"]?["managedFields"] = [
            entry("loopd", "2030-01-01T00:00:00Z", command), entry("helm", "2026-01-01T00:00:00Z", image),
            entry("argocd-controller", "2026-01-02T00:00:00Z", image),
            entry("kube-controller-manager", "2031-01-01T00:00:00Z", image, subresource: "status"),
        ]
        let place = try RolledImage(kind: .deployment, name: "app", image: "web").place(in: object)
        #expect(FieldManagers.owner(ofImageIn: place, .deployment, of: object)?.manager == "argocd-controller")
    }
}
