import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

@Suite("Making Jobs and pods anew", .turn)
struct RecreationTests {
    private struct Scene: Sendable {
        let api: StoredObjects
        let recreation: Recreation
        let kept: KeptObjects
        let rollout: ImageRollout
        let said: @Sendable () -> [LoopEvent.Kind]

        var failures: [String] {
            said().compactMap { if case .failed(let failure) = $0 { failure.summary } else { nil } }
        }

        /// The present Job, and the same with another image.
        func job() throws -> (JSON, JSON) {
            let job = try #require(api.object("jobs", "once"))
            let image = RolledImage(kind: .job, name: "once", image: "web")
            return (job, try image.set("web:2", in: job))
        }

        var image: JSON? {
            api.object("jobs", "once")?.podSpec.named("c", in: "containers")?["image"]
        }
    }

    private static let secret = "loopd-recreate-job-once"

    private func withScene(_ body: (Scene) async throws -> Void) async throws {
        let api = StoredObjects()
        api.put("jobs", RecreatedObjectTests.job)
        try await withAPI({ try await api.handle($0) }) { client, _ in
            let said = Mutex<[LoopEvent.Kind]>([])
            let emit: @Sendable (LoopEvent.Kind) -> Void = { kind in said.withLock { $0.append(kind) } }
            let recreation = Recreation(
                client: client, namespace: "d", kind: .job, name: "once", patience: .seconds(240), emit: emit)
            let rollout = ImageRollout(
                RolledImage(kind: .job, name: "once", image: "web"), recreate: true, dev: nil, client: client,
                namespace: "d", emit: emit)
            try await body(
                Scene(
                    api: api, recreation: recreation, kept: KeptObjects(client: client, namespace: "d"),
                    rollout: rollout, said: { said.withLock { $0 } }))
            await rollout.end()
        }
    }

    @Test("it is tried, kept, deleted, made, and forgotten, in this order")
    func order() async throws {
        try await withScene { scene in
            let (old, new) = try scene.job()
            let made = try await scene.recreation.replace(old, by: new)
            #expect(
                scene.api.requests == [
                    "POST jobs (dry run)", "POST pods (dry run)", "PATCH secrets", "DELETE jobs", "POST jobs",
                    "DELETE secrets",
                ])
            #expect(scene.image == "web:2")
            #expect(made.at("metadata", "uid") != old.at("metadata", "uid"))
            #expect(made.at("metadata", "labels") == ["team": "a"])
            #expect(scene.said().isEmpty)
        }
    }

    @Test(
        "what the cluster would refuse is not deleted",
        arguments: [
            ("POST jobs", 422, true), ("POST jobs", 403, true), ("PATCH secrets", 403, true),
            ("DELETE jobs", 403, false),
        ])
    func refused(_ request: String, _ code: Int, _ isFailure: Bool) async throws {
        try await withScene { scene in
            scene.api.set { $0.refusals[request] = [(code, "because")] }
            let (old, new) = try scene.job()
            let error = await #expect(throws: (any Error).self) { try await scene.recreation.replace(old, by: new) }
            #expect((error is LoopFailure) == isFailure)
            #expect(scene.api.object("jobs", "once") == old)
            #expect(scene.api.object("secrets", Self.secret) == nil)
            if let failure = (error as? LoopFailure)?.failure {
                #expect(failure.summary.hasPrefix("job/once was not deleted: "))
                #expect(failure.details == ["because"])
            }
        }
    }

    @Test("a quota that the old one uses up refuses nothing")
    func quota() async throws {
        try await withScene { scene in
            scene.api.set { $0.refusals["POST jobs"] = [(403, "jobs is forbidden: exceeded quota: q, used: 1")] }
            let (old, new) = try scene.job()
            _ = try await scene.recreation.replace(old, by: new)
            #expect(scene.image == "web:2")
        }
    }

    @Test("what is deleted is made however often that fails, and told once")
    func retries() async throws {
        try await withScene { scene in
            let (old, new) = try scene.job()
            let uid = try #require(old.at("metadata", "uid")?.string)
            scene.api.remove("jobs", "once")
            scene.api.set { $0.refusals["POST jobs"] = [(500, "later"), (503, "soon"), (403, "not now")] }
            _ = try await scene.recreation.make(RecreatedObject.manifest(of: new, .job), after: uid)
            #expect(scene.image == "web:2")
            #expect(scene.failures == ["job/once is deleted and cannot be made anew yet: not now"])
        }
    }

    @Test(
        "a connection that is cut while it is deleted or made loses nothing, whatever came through",
        arguments: ["DELETE jobs", "POST jobs"], [Fault.cutBefore, .cutAfter])
    func cut(_ request: String, _ fault: Fault) async throws {
        try await withScene { scene in
            let before = try scene.job().0.at("metadata", "uid")
            scene.api.set { $0.faults[request] = [fault] }
            #expect(await scene.rollout.roll(to: "web:2"))
            #expect(scene.image == "web:2")
            #expect(scene.api.object("jobs", "once")?.at("metadata", "uid") != before)
            #expect(scene.api.object("secrets", Self.secret) == nil)
            #expect(scene.failures.allSatisfy { $0.hasPrefix("job/once is deleted and cannot be made anew yet: ") })
        }
    }

    @Test("one that is found deleted is made from its Secret, and gets the image that is wanted by now")
    func found() async throws {
        try await withScene { scene in
            let (old, new) = try scene.job()
            let manifest = RecreatedObject.manifest(of: new, .job)
            try await scene.kept.keep(manifest, .job, "once", uid: old.at("metadata", "uid")?.string ?? "")
            scene.api.remove("jobs", "once")
            #expect(await scene.rollout.roll(to: "web:3"))
            #expect(scene.image == "web:3")
            #expect(scene.api.object("secrets", Self.secret) == nil)
            #expect(scene.failures.isEmpty)
        }
    }

    @Test("given up before the deletion it leaves nothing behind, after it the Secret")
    func givenUp() async throws {
        for request in ["PATCH secrets", "DELETE jobs"] {
            try await withScene { scene in
                let (old, new) = try scene.job()
                scene.api.set { $0.faults[request] = [.stall] }
                let replaced = Task { try await scene.recreation.replace(old, by: new) }
                while !scene.api.requests.contains(request) { await Task.yield() }
                let isDeleted = request == "DELETE jobs"
                while scene.api.object("secrets", Self.secret) == nil { await Task.yield() }
                while isDeleted, scene.api.object("jobs", "once") != nil { await Task.yield() }
                replaced.cancel()
                let error = await #expect(throws: (any Error).self) { try await replaced.value }
                #expect(error is Recreation.Unfinished == isDeleted)
                #expect((scene.api.object("secrets", Self.secret) != nil) == isDeleted)
                #expect((scene.api.object("jobs", "once") == nil) == isDeleted)
            }
        }
    }

    @Test("a Secret that cannot be removed any more is told, and what is made is made")
    func secretStays() async throws {
        try await withScene { scene in
            let (old, new) = try scene.job()
            scene.api.set { $0.refusals["DELETE secrets"] = [(403, "not yours")] }
            _ = try await scene.recreation.replace(old, by: new)
            #expect(scene.image == "web:2")
            #expect(scene.api.object("secrets", Self.secret) != nil)
            let words = "secret/\(Self.secret) is not needed any more and stays ("
            let notices = scene.said().compactMap { if case .notice(let text) = $0 { text } else { nil } }
            #expect(notices.count == 1 && notices.first?.hasPrefix(words) == true, "\(notices)")
        }
    }

    @Test("it waits until the one before is gone")
    func waits() async throws {
        try await withScene { scene in
            scene.api.set { _ = $0.holdsDeleted.insert("jobs") }
            let (old, new) = try scene.job()
            async let made = scene.recreation.replace(old, by: new)
            while scene.api.object("jobs", "once")?.at("metadata", "deletionTimestamp") == nil { await Task.yield() }
            #expect(scene.api.object("secrets", Self.secret) != nil)
            scene.api.remove("jobs", "once")
            #expect(try await made.at("metadata", "uid") != old.at("metadata", "uid"))
            #expect(scene.api.object("secrets", Self.secret) == nil)
        }
    }

    @Test("another one that somebody makes meanwhile is taken as it is")
    func somebodyElse() async throws {
        try await withScene { scene in
            let (old, new) = try scene.job()
            let uid = try #require(old.at("metadata", "uid")?.string)
            scene.api.remove("jobs", "once")
            var theirs = RecreatedObjectTests.job
            theirs["metadata"]?["uid"] = "theirs"
            scene.api.put("jobs", theirs)
            let there = try await scene.recreation.make(RecreatedObject.manifest(of: new, .job), after: uid)
            #expect(there.at("metadata", "uid") == "theirs")
            #expect(scene.image == "web:1")
        }
    }

    @Test(
        "what a killed loopd has left is made at the next start; what was not deleted, or is there again, is forgotten")
    func finish() async throws {
        for left in ["deleted", "untouched", "there again"] {
            try await withScene { scene in
                let (old, new) = try scene.job()
                let manifest = RecreatedObject.manifest(of: new, .job)
                try await scene.kept.keep(manifest, .job, "once", uid: old.at("metadata", "uid")?.string ?? "")
                if left != "untouched" { scene.api.remove("jobs", "once") }
                if left == "there again" {
                    var theirs = RecreatedObjectTests.job
                    theirs["metadata"]?["uid"] = "theirs"
                    scene.api.put("jobs", theirs)
                }
                // While whoever keeps it lives, it is left to that one.
                #expect(try await scene.kept.finish(emit: { _ in }) == [])
                #expect(scene.api.object("secrets", Self.secret) != nil)
                var secret = try #require(scene.api.object("secrets", Self.secret))
                var lease = try #require(Lease(of: secret))
                lease.renewed -= 3600
                secret["metadata"]?["annotations"]?[Lease.annotation] = .string(lease.text)
                scene.api.put("secrets", secret)
                let made = try await scene.kept.finish(emit: { _ in })
                #expect(made.allSatisfy { $0.problem == nil })
                #expect(made.map(\.kept.workload) == (left == "deleted" ? ["job/once"] : []), "\(left)")
                #expect(scene.image == (left == "deleted" ? "web:2" : "web:1"), "\(left)")
                #expect(scene.api.object("secrets", Self.secret) == nil, "\(left)")
            }
        }
    }

    @Test("of several that were left, one that cannot be made says why, and keeps none of the others")
    func several() async throws {
        try await withScene { scene in
            let (old, new) = try scene.job()
            let pod: JSON = [
                "kind": "Pod", "apiVersion": "v1", "metadata": ["name": "bare"], "spec": ["containers": []],
            ]
            let manifest = RecreatedObject.manifest(of: new, .job)
            for (kind, name, manifest) in [(WorkloadKind.job, "once", manifest), (.pod, "bare", pod)] {
                try await scene.kept.keep(manifest, kind, name, uid: old.at("metadata", "uid")?.string ?? "")
                let secret = KeptObjects.secretName(kind, name)
                var left = try #require(scene.api.object("secrets", secret))
                left["metadata"]?["annotations"]?[Lease.annotation] = nil
                scene.api.put("secrets", left)
            }
            scene.api.remove("jobs", "once")
            scene.api.set { $0.refusals["POST jobs"] = Array(repeating: (403, "exceeded quota: q"), count: 100) }
            var ended: [KeptObjects.Finished] = []
            for limit in [15, 60, 240] {
                ended = try await scene.kept.finish(limit: .seconds(limit), emit: { _ in })
                // Only a machine that was too slow to hear the reason gets more time.
                guard ended.contains(where: { $0.problem?.contains("no answer within") == true }) else { break }
            }
            #expect(ended.map(\.kept.workload) == ["job/once", "pod/bare"])
            #expect(ended.first?.problem == "job/once is deleted and cannot be made anew yet: exceeded quota: q")
            #expect(ended.last?.problem == nil)
            #expect(scene.api.object("pods", "bare") != nil)
            #expect(scene.api.object("secrets", Self.secret) != nil)
            #expect(scene.api.object("secrets", KeptObjects.secretName(.pod, "bare")) == nil)
        }
    }

    @Test("a name of any length gives a Secret's name")
    func names() {
        let long = String(repeating: "a", count: 250)
        #expect(KeptObjects.secretName(.pod, "p") == "loopd-recreate-pod-p")
        #expect(KeptObjects.secretName(.pod, long).utf8.count <= 253)
        #expect(KeptObjects.secretName(.pod, long) != KeptObjects.secretName(.pod, long + "a"))
    }
}
