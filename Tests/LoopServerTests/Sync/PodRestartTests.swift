import Testing
import Watcher

@testable import LoopServer

@Suite("Pods that are made anew", .turn) struct PodRestartTests {
    private func fixture(then: [Step] = [.restart(.pod)]) throws -> LaneFixture {
        // Pods of several numbers have folders of their own, so that each is compared by itself.
        let fixture = try LaneFixture(then: then)
        try fixture.project.write("app/a.txt", "one")
        return fixture
    }

    private func save(_ text: String, _ fixture: LaneFixture) async throws {
        try fixture.project.write("app/a.txt", text)
        await fixture.lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
    }

    private func until(_ fixture: LaneFixture, deleted: [String]) async throws {
        try await fixture.until("deletion of \(deleted)") { _ in fixture.pods.deleted == deleted }
    }

    @Test("a save deletes the pod; the one in its place gets the files and is left alone")
    func onlyOnce() async throws {
        let fixture = try fixture()
        await fixture.start()
        #expect(fixture.pods.deleted.isEmpty)
        try await save("two", fixture)
        try await until(fixture, deleted: ["web-1"])
        // Nobody takes the old pod for done.
        #expect(await !fixture.lane.isWhole)
        await fixture.lane.setInstances([], wanted: 1)
        await fixture.lane.setInstances([LaneFixture.instance(2)], wanted: 1)
        await fixture.lane.untilConverged()
        #expect(fixture.pods.deleted == ["web-1"])
        #expect(await fixture.lane.isWhole)
        // The next save is for the new one.
        try await save("three", fixture)
        try await until(fixture, deleted: ["web-1", "web-2"])
        try await fixture.until("second answer") { _ in
            fixture.events.all.count { if case .podDeleted = $0 { true } else { false } } == 2
        }
        await fixture.lane.end()
    }

    @Test("of several pods the next one goes when as many as before have everything again")
    func oneByOne() async throws {
        let fixture = try fixture()
        let instances = (1...4).map { LaneFixture.instance($0) }
        let all = Array(instances.prefix(2))
        await fixture.lane.survey()
        await fixture.lane.setInstances(all, wanted: 2)
        await fixture.lane.untilConverged()
        try await save("two", fixture)
        await fixture.lane.untilQuiet()
        try await fixture.until("deletion") { _ in !fixture.pods.deleted.isEmpty }
        let first = try #require(all.first { $0.pod == fixture.pods.deleted[0] })
        let second = try #require(all.first { $0 != first })
        await fixture.lane.setInstances([second], wanted: 2)
        await fixture.lane.untilQuiet()
        #expect(fixture.pods.deleted == [first.pod])
        await fixture.lane.setInstances([second, instances[2]], wanted: 2)
        try await until(fixture, deleted: [first.pod, second.pod])
        await fixture.lane.setInstances([instances[2], instances[3]], wanted: 2)
        await fixture.lane.untilConverged()
        #expect(fixture.pods.deleted.count == 2)
        await fixture.lane.end()
    }

    @Test(
        "a pod whose going is heard of before the deletion is answered counts as deleted, and the next one waits for it"
    )
    func goesEarly() async throws {
        let fixture = try fixture()
        let lane = fixture.lane
        let all = (1...2).map { LaneFixture.instance($0) }
        await lane.survey()
        await lane.setInstances(all, wanted: 2)
        await lane.untilConverged()
        fixture.pods.beforeAnswer { gone in
            await lane.setInstances(all.filter { $0 != gone }, wanted: 2)
        }
        try await save("two", fixture)
        try await fixture.until("answer") { if case .podDeleted = $0 { true } else { false } }
        await lane.untilQuiet()
        #expect(fixture.pods.deleted.count == 1)
        #expect(await lane.replacement != nil)
        await lane.end()
    }

    @Test("a workload that was scaled down meanwhile does not wait for a pod that never comes")
    func scaledDown() async throws {
        let fixture = try fixture()
        let all = (1...2).map { LaneFixture.instance($0) }
        await fixture.lane.survey()
        await fixture.lane.setInstances(all, wanted: 2)
        await fixture.lane.untilConverged()
        try await save("two", fixture)
        try await fixture.until("deletion") { _ in !fixture.pods.deleted.isEmpty }
        let second = try #require(all.first { $0.pod != fixture.pods.deleted[0] })
        await fixture.lane.setInstances([second], wanted: 1)
        try await fixture.until("second deletion") { _ in fixture.pods.deleted.count == 2 }
        await fixture.lane.end()
    }

    @Test("a pod that nobody would make anew is not deleted: one line says so")
    func refused() async throws {
        let fixture = try fixture()
        await fixture.start([LaneFixture.instance(1, hasController: false)])
        try await save("two", fixture)
        await fixture.lane.untilConverged()
        #expect(fixture.pods.deleted.isEmpty)
        #expect(fixture.events.failed.map(\.summary).count == 1)
        #expect(fixture.events.failed[0].summary.contains("it has no controller"))
        await fixture.lane.end()
    }

    @Test("a cluster that does not answer is asked again; one that forbids it is one line")
    func asksAgain() async throws {
        let fixture = try fixture()
        await fixture.start()
        fixture.pods.fail(with: KubeError(code: 503, reason: "", message: "away"))
        try await save("two", fixture)
        try await until(fixture, deleted: ["web-1"])
        await fixture.lane.setInstances([LaneFixture.instance(2)], wanted: 1)
        await fixture.lane.untilConverged()
        #expect(fixture.events.failed.isEmpty)
        fixture.pods.fail(with: KubeError(code: 403, reason: "Forbidden", message: "pods is forbidden"))
        try await save("three", fixture)
        try await fixture.until("refusal") { if case .failed = $0 { true } else { false } }
        #expect(fixture.events.failed[0].summary == "web-2: cannot be deleted: pods is forbidden")
        #expect(fixture.pods.deleted == ["web-1"])
        await fixture.lane.end()
    }

    @Test("what was saved while nobody was connected makes a pod anew that had everything before")
    func whileAway() async throws {
        let fixture = try fixture()
        await fixture.start()
        await fixture.lane.end()
        let again = try LaneFixture(
            then: [.restart(.pod)], reusing: (fixture.project, fixture.container, fixture.state))
        try fixture.project.write("app/a.txt", "two")
        await again.lane.survey()
        await again.lane.setInstances([LaneFixture.instance()], wanted: 1)
        try await until(again, deleted: ["web-1"])
        await again.lane.end()
    }
}
