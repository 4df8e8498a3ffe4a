import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

@Suite("A session's dev mode", .turn) struct DevModeSessionTests {
    /// A session on a stored Deployment, and what it says.
    private func withSession(
        _ stored: StoredDeployment = StoredDeployment(), environment: [String: String] = [:],
        _ body: (DevModeSession, StoredDeployment, @Sendable () -> [LoopEvent.Kind]) async throws -> Void
    ) async throws {
        try await withAPI({ try await stored.handle($0) }) { client, _ in
            let said = Mutex<[LoopEvent.Kind]>([])
            var service = Service(name: "app", root: "/project")
            service.target = .workload(.deployment, name: "app")
            var dev = DevMode()
            dev.environment = environment
            service.dev = dev
            let images = ImageSet()
            await images.set("web", to: "web:1")
            let pods = KubePods(
                client: client, namespace: "d", kubectl: Kubectl(program: "/bin/false"), leash: "/bin/false")
            var inputs = DevInputs(
                service: service, dev: dev, plan: ServicePlan(service, project: "/project"), pods: pods,
                programs: Programs.find())
            inputs.images = { ManifestImages(await images.references) }
            let session = DevModeSession(
                .keep(inputs), .deployment, "app", client: client, namespace: "d", session: "mine",
                patience: .seconds(240)
            ) { kind in said.withLock { $0.append(kind) } }
            try await body(session, stored) { said.withLock { $0 } }
        }
    }

    private func changes(_ said: [LoopEvent.Kind]) -> [LoopEvent.DevModeChange.What] {
        said.compactMap { if case .devMode(let change) = $0 { change.what } else { nil } }
    }

    private func failures(_ said: [LoopEvent.Kind]) -> [String] {
        said.compactMap { if case .failed(let failure) = $0 { failure.summary } else { nil } }
    }

    @Test("it enters in spite of conflicts, tells of the rollout once, and leaves nothing behind")
    func wholeWay() async throws {
        try await withSession { session, stored, said in
            let before = stored.object
            stored.set { $0.conflicts = 2 }
            try await session.hold(before)
            #expect(stored.now.patches == 1)
            #expect(stored.now.configMaps.count == 1)
            let record = try #require(DevRecord(of: stored.object))
            #expect(record.isHeld(by: stored.object))
            #expect(record.program == stored.now.configMaps.first)
            #expect(said().isEmpty)
            await session.tellRunning()
            await session.tellRunning()
            #expect(changes(said()) == [.entered])
            // Its own writes, seen late, and those of others that take nothing back.
            try await session.hold(before)
            stored.write { $0["spec"]?["replicas"] = 4 }
            try await session.hold(stored.object)
            #expect(stored.now.patches == 1)

            await session.leave { _ in true }
            #expect(changes(said()) == [.entered, .restored])
            #expect(stored.object.podSpec == before.podSpec)
            #expect(stored.object.at("spec", "replicas") == 4)
            #expect(stored.object.at("metadata", "annotations")?[DevRecord.annotation] == nil)
            #expect(stored.now.configMaps.isEmpty)
        }
    }

    @Test("what a killed session left is taken up without a write; another helper's is entered anew in one")
    func takenUp() async throws {
        let stored = StoredDeployment()
        try await withSession(stored) { session, _, _ in try await session.hold(stored.object) }
        let left = stored.object
        try await withSession(stored) { session, _, said in
            try await session.hold(stored.object)
            #expect(stored.object == left)
            #expect(changes(said()) == [.takenUp])
        }
        let older = StoredDeployment(try DevFixture.enter(DevFixture.deployment(), DevFixture.inputs()))
        try await withSession(older) { session, stored, _ in
            try await session.hold(stored.object)
            #expect(stored.now.patches == 1)
            #expect(stored.object.podSpec == left.podSpec)
            await session.leave { _ in true }
            #expect(stored.object.podSpec == DevFixture.deployment().podSpec)
        }
    }

    @Test("a foreign revert is named and healed twice, each counted once; then the workload is left alone")
    func reverts() async throws {
        try await withSession { session, stored, said in
            let original = stored.object
            try await session.hold(original)
            func revert(_ manager: String) async throws {
                stored.write(as: manager) { $0.podSpec = original.podSpec }
                let seen = stored.object
                try await session.hold(seen)
                // The same state again is no news.
                try await session.hold(seen)
            }
            try await revert("argo")
            try await revert("helm")
            let managers = said().compactMap { kind -> String? in
                guard case .devMode(let change) = kind, change.what == .reverted else { return nil }
                return change.by
            }
            #expect(managers == ["argo", "helm"])
            #expect(stored.now.patches == 3)
            #expect(failures(said()).isEmpty)
            try await revert("argo")
            #expect(stored.now.patches == 3)
            #expect(failures(said()).count == 1)
            #expect(failures(said()).first?.contains("argo took it back a third time") == true)
            await session.leave { _ in true }
            #expect(stored.object.podSpec == original.podSpec)
        }
    }

    @Test("a command that only a container can tell waits for one that runs, and is then one line")
    func unknownCommand() async throws {
        try await withSession(StoredDeployment(DevFixture.deployment(command: nil))) { session, stored, said in
            try await session.hold(stored.object, isRunning: false)
            #expect(said().isEmpty)
            try await session.hold(stored.object)
            #expect(failures(said()).count == 1)
            try await session.hold(stored.object)
            #expect(failures(said()).count == 1)
            #expect(stored.now.patches == 0)
        }
    }

    @Test("another image is followed, and a workload that was made anew is entered, without anyone being blamed")
    func followed() async throws {
        try await withSession { session, stored, said in
            let original = stored.object
            try await session.hold(original)
            stored.write { object in object.podSpec.change("app", in: "containers") { $0["image"] = "registry/app:2" } }
            try await session.hold(stored.object)
            #expect(DevRecord(of: stored.object)?.image == "registry/app:2")
            stored.write { object in
                object = original
                object["metadata"]?["uid"] = "u2"
                // After a restore of the cluster it may count from less.
                object["metadata"]?["resourceVersion"] = "1"
            }
            try await session.hold(stored.object)
            #expect(DevRecord(of: stored.object)?.isHeld(by: stored.object) == true)
            #expect(!changes(said()).contains(.reverted))
        }
    }

    // MARK: - With manifests

    /// A Deployment as kubectl has applied it, and that a session has if one is named.
    private func applied(_ object: JSON = DevFixture.deployment(), heldBy session: String? = nil) -> JSON {
        var object = object
        var annotations = object.at("metadata", "annotations") ?? [:]
        annotations[DevWorkload.lastApplied] = "{}"
        let now = Timestamp.now().seconds
        annotations[Lease.annotation] = session.map {
            .string(Lease(holder: "bob@desk", pid: 1, session: $0, since: now, renewed: now).text)
        }
        object["metadata"]?["annotations"] = annotations
        return object
    }

    @Test("the manifest carries dev mode along, unless it is refused; what another loopd has made stays in it")
    func carry() async throws {
        let manifest = DevFixture.deployment()
        try await withSession(StoredDeployment(applied())) { session, stored, _ in
            let carried = await session.carry(manifest, by: .kubectl, takeOver: false)
            #expect(DevRecord(of: carried)?.isHeld(by: carried) == true)
            #expect(session.isAbout(carried, namespace: "d"))
            #expect(!session.isAbout(carried, namespace: "other"))
            // As it is applied: what follows is a rollout that was begun with it.
            stored.write { object in
                object.podSpec = carried.podSpec
                object["metadata"]?["annotations"] = carried.at("metadata", "annotations")
            }
            try await session.hold(stored.object)
            await session.tellRunning()
            #expect(stored.now.patches == 0)
            // Nothing of it changes when it is applied again.
            #expect(await session.carry(manifest, by: .kubectl, takeOver: false) == carried)
        }
        try await withSession(StoredDeployment(applied())) { session, stored, _ in
            stored.set { $0.podRefusal = { isInDevMode in isInDevMode ? "violates PodSecurity" : nil } }
            #expect(await session.carry(manifest, by: .kubectl, takeOver: false) == manifest)
        }
        let held = applied(try DevFixture.enter(manifest, DevFixture.inputs()), heldBy: "theirs")
        let newer = DevFixture.deployment(container: ["image": "registry/app:2"])
        try await withSession(StoredDeployment(held)) { session, _, _ in
            let kept = await session.carry(newer, by: .server, takeOver: false)
            #expect(DevRecord(of: kept) == DevRecord(of: held))
            #expect(DevRecord(of: kept)?.isHeld(by: kept) == true)
            #expect(kept.podSpec.named("app", in: "containers")?["image"] == "registry/app:2")
            let taken = await session.carry(newer, by: .server, takeOver: true)
            #expect(DevRecord(of: taken)?.image == "registry/app:2")
        }
        try await withSession(StoredDeployment(applied(heldBy: "theirs"))) { session, _, _ in
            #expect(await session.carry(manifest, by: .kubectl, takeOver: false) == manifest)
        }
    }

    @Test("beside fields that others have applied, the manifest carries nothing")
    func carryForeign() async throws {
        let manifest = DevFixture.deployment()
        var own = manifest
        own["metadata"]?["managedFields"] = [["manager": "loopd", "operation": "Apply"]]
        for (object, byKubectl, byServer) in [(manifest, false, false), (applied(), true, false), (own, false, true)] {
            try await withSession(StoredDeployment(object)) { session, _, _ in
                #expect((await session.carry(manifest, by: .kubectl, takeOver: false) != manifest) == byKubectl)
                #expect((await session.carry(manifest, by: .server, takeOver: false) != manifest) == byServer)
            }
        }
    }

    @Test("manifests that change the command reach a workload that this session has, and are nobody's revert")
    func ownDeploys() async throws {
        try await withSession(StoredDeployment(applied(heldBy: "mine"))) { session, stored, said in
            try await session.hold(stored.object)
            var original = stored.object
            for text in ["a", "b", "c", "d"] {
                original = DevFixture.deployment(command: ["app", .string(text)])
                let carried = await session.carry(original, by: .server, takeOver: false)
                stored.write(as: "loopd") { object in
                    object.podSpec = carried.podSpec
                    object["metadata"]?["annotations"]?[DevRecord.annotation] =
                        carried.at("metadata", "annotations")?[DevRecord.annotation]
                }
                try await session.hold(stored.object)
                let command = stored.object.podSpec.named("app", in: "containers")?["command"]?.words
                #expect(command == DevTemplate.supervise + ["app", text])
            }
            #expect(stored.now.patches == 1)
            #expect(!changes(said()).contains(.reverted))
            #expect(failures(said()).isEmpty)
            await session.leave { _ in true }
            #expect(stored.object.podSpec == original.podSpec)
        }
    }

    @Test("what was applied in dev mode does not stay when the session ends before it holds the workload")
    func abandoned() async throws {
        try await withSession(StoredDeployment(applied())) { session, stored, said in
            await session.abandon()
            let carried = await session.carry(DevFixture.deployment(), by: .kubectl, takeOver: false)
            stored.write { object in
                object.podSpec = carried.podSpec
                object["metadata"]?["annotations"] = carried.at("metadata", "annotations")
            }
            await session.abandon()
            #expect(stored.object.podSpec == DevFixture.deployment().podSpec)
            #expect(changes(said()) == [.restored])
        }
    }

    @Test("what was applied in dev mode and cannot be undone is told")
    func stays() async throws {
        try await withSession(StoredDeployment(applied())) { session, stored, said in
            let carried = await session.carry(DevFixture.deployment(), by: .kubectl, takeOver: false)
            stored.write { object in
                object.podSpec = carried.podSpec
                object["metadata"]?["annotations"] = carried.at("metadata", "annotations")
            }
            stored.set { $0.patchRefusal = (500, "broken") }
            await session.abandon()
            #expect(failures(said()).map { $0.prefix(44) } == ["dev mode: deployment/app may still be in it:"])
        }
    }

    // MARK: - Refusals

    struct Refusal: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var pod: @Sendable (Bool) -> String? = { _ in nil }
        var patch: (code: Int, message: String)?
        /// What it says; `nil` where dev mode works in spite of it.
        let line: String?
    }

    @Test(
        "a refusal is one line, and changes nothing",
        arguments: [
            Refusal(
                testDescription: "Pod Security",
                pod: { $0 ? "pods \"app-\" is forbidden: violates PodSecurity \"restricted:latest\": x" : nil },
                line: "dev mode: Pod Security refuses its pods; nothing was changed"),
            Refusal(
                testDescription: "a quota",
                pod: { $0 ? "pods \"app-\" is forbidden: exceeded quota: q, requested: limits.cpu=1" : nil },
                line: "dev mode: a resource quota refuses its pods; nothing was changed"),
            Refusal(
                testDescription: "a quota that its own pods use up",
                pod: { _ in "pods \"app-\" is forbidden: exceeded quota: q, requested: pods=1" }, line: nil),
            Refusal(
                testDescription: "a webhook",
                pod: { _ in "admission webhook \"policy.example.org\" denied the request: no" },
                line: "dev mode: the admission webhook policy.example.org refuses its pods; nothing was changed"),
            Refusal(
                testDescription: "nobody may make pods",
                pod: { _ in "pods is forbidden: User \"u\" cannot create resource \"pods\" in API group \"\"" },
                line: nil),
            Refusal(
                testDescription: "nobody may patch it", patch: (403, "deployments.apps \"app\" is forbidden"),
                line: "dev mode: deployment/app cannot be changed: deployments.apps \"app\" is forbidden"),
            Refusal(
                testDescription: "a webhook that is gone", patch: (500, "failed calling webhook"),
                line: "dev mode: deployment/app cannot be changed: failed calling webhook"),
        ])
    func refusals(_ refusal: Refusal) async throws {
        try await withSession { session, stored, said in
            stored.set { state in
                state.podRefusal = refusal.pod
                state.patchRefusal = refusal.patch
            }
            let before = stored.object
            try await session.hold(before)
            try await session.hold(before)
            #expect(failures(said()) == [refusal.line].compactMap { $0 })
            #expect((stored.object == before) == (refusal.line != nil))
            // The service goes on with the pods that there are.
            #expect(await session.admits(PodState([:])) == (refusal.line != nil))
        }
    }

    @Test("the record of another version is left to the loopd that wrote it")
    func otherVersion() async throws {
        var object = DevFixture.deployment()
        object["metadata"]?["annotations"] = [DevRecord.annotation: #"{"version":99}"#]
        try await withSession(StoredDeployment(object)) { session, stored, said in
            try await session.hold(stored.object)
            #expect(failures(said()).first?.contains("not of this version of loopd") == true)
            await session.leave { _ in true }
            #expect(stored.object == object)
        }
    }

    @Test("a workload that another loopd has taken over is not written any more, whatever its variables name")
    func renewed() async throws {
        try await withSession(environment: ["IMAGE": "${image:web}"]) { session, stored, _ in
            try await session.hold(stored.object)
            // What somebody else has made of it since.
            stored.write { object in
                object.podSpec.change("app", in: "containers") { $0["env"] = [] }
                let lease = Lease.mine(session: "theirs", now: Timestamp.now().seconds)
                object["metadata"]?["annotations"]?[Lease.annotation] = .string(lease.text)
            }
            let theirs = stored.object
            await session.renew(images: ["web"])
            try await session.hold(stored.object)
            #expect(stored.object == theirs)
        }
        try await withSession(environment: ["IMAGE": "${image:web}"]) { session, stored, _ in
            try await session.hold(stored.object)
            stored.write { $0.podSpec.change("app", in: "containers") { $0["env"] = [] } }
            await session.renew(images: ["web"])
            #expect(stored.now.patches == 2)
        }
    }

    @Test("a helper's program that cannot be removed, and fields that stay loopd's, are one calm line each")
    func leftovers() async throws {
        try await withSession { session, stored, said in
            try await session.hold(stored.object)
            let name = try #require(stored.now.configMaps.first)
            stored.set { $0.keepsConfigMaps = true }
            await session.leave { _ in true }
            #expect(changes(said()) == [.restored])
            let notices = said().compactMap { if case .notice(let text) = $0 { text } else { nil } }
            let words = "dev mode: configmap/\(name) stays until the next workload leaves dev mode: "
            #expect(notices.count == 1 && notices.first?.hasPrefix(words) == true, "\(said())")
        }
        let stored = StoredDeployment()
        stored.write(as: "helm") { $0["spec"]?["replicas"] = 2 }
        stored.set { $0.patchRefusal = (403, "not yours") }
        try await withAPI({ try await stored.handle($0) }) { client, _ in
            let restored = DevRestore.Restored(container: "app", kept: [], program: "p", workload: stored.object)
            let left = await DevRestore(client: client, namespace: "d").settle(.deployment, "app", restored)
            #expect(left.count == 1 && left[0].hasPrefix("fields of deployment/app stay loopd's"), "\(left)")
        }
    }

    @Test("a workload that another loopd has taken over stays in dev mode")
    func takenOver() async throws {
        try await withSession { session, stored, said in
            try await session.hold(stored.object)
            let inside = stored.object
            await session.leave { _ in false }
            #expect(stored.object == inside)
            #expect(!changes(said()).contains(.restored))
        }
    }
}
