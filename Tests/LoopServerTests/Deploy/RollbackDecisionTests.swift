import JSON
import Testing

@testable import LoopServer

@Suite("What a rollback undoes") struct RollbackDecisionTests {
    private static let image = RolledImage(kind: .deployment, name: "web", image: "web", container: nil)

    private static func web(_ image: String, replicas: Int64 = 1) -> JSON {
        [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"],
            "spec": [
                "replicas": .integer(replicas),
                "template": ["spec": ["containers": [["name": "web", "image": .string(image)]]]],
            ],
        ]
    }

    private func time(_ seconds: Int64) -> Timestamp { Timestamp(seconds: seconds) }

    /// The numbers of the set that a rollback comes back to, and of the one since which nothing but images has changed.
    private func history(_ sets: [JSON]) -> [Int?] {
        let releases = sets.enumerated().map { number, object in
            ReleaseHistory.Release(number: number + 1, objects: [object], created: "2026-01-31T12:00:0\(number)Z")
        }
        let history = SetHistory(releases.reversed(), namespace: "shop") {
            $0.description == "deployment/web" ? [Self.image] : []
        }
        return [history.before?.number, history.since?.number]
    }

    @Test("sets are told apart from the newest one, not from the cluster, and images of rules make no other set")
    func sets() {
        #expect(history([]) == [nil, nil])
        #expect(history([Self.web("a")]) == [nil, 1])
        #expect(history([Self.web("a"), Self.web("b")]) == [nil, 1])
        #expect(history([Self.web("a"), Self.web("a", replicas: 2)]) == [1, 2])
        #expect(history([Self.web("a"), Self.web("a", replicas: 2), Self.web("b", replicas: 2)]) == [1, 2])
        // A rollback is kept, too: from it the way back leads forward again.
        #expect(history([Self.web("a"), Self.web("a", replicas: 2), Self.web("b")]) == [2, 3])
    }

    @Test("images of no rule make another set")
    func otherImages() {
        let releases = ["16", "15"].map { tag in
            ReleaseHistory.Release(number: 1, objects: [Self.web("postgres:\(tag)")], created: "")
        }
        #expect(SetHistory(releases, namespace: "shop") { _ in [] }.before == releases[1])
    }

    /// Whether the image was changed after what was applied at second 100.
    private func isAfter(live: String, applied: String, present: Int64, earlier: Int64) -> Bool {
        let moment = ChangeMoment.ofImages(
            [Self.image], of: Self.web(live), present: time(present), earlier: time(earlier),
            applied: AppliedObjects(objects: [Self.web(applied)], time: time(100)))
        return moment > ChangeMoment(time(100))
    }

    @Test("an image was changed last where another one runs than was applied, or another one came up since")
    func images() {
        #expect(isAfter(live: "b", applied: "a", present: 120, earlier: 90))
        // A template that comes back keeps its time.
        #expect(isAfter(live: "b", applied: "a", present: 80, earlier: 90))
        #expect(isAfter(live: "a", applied: "a", present: 100, earlier: 120))
        #expect(isAfter(live: "a", applied: "a", present: 100, earlier: 100))
        #expect(!isAfter(live: "b", applied: "b", present: 100, earlier: 90))
        #expect(!isAfter(live: "b", applied: "b", present: 120, earlier: 99))
    }

    @Test("where nothing applied has the workload, the time of its templates decides")
    func elsewhere() {
        let moment = ChangeMoment.ofImages(
            [Self.image], of: Self.web("b"), present: time(110), earlier: time(90), applied: nil)
        #expect(moment > ChangeMoment(time(100)) && moment < ChangeMoment(time(111)))
        #expect(ChangeMoment(nil) < ChangeMoment(time(1)))
    }

    @Test(
        "moments in RFC 3339, as the API and helm write them",
        arguments: [
            ("2026-01-31T12:03:04Z", 1_769_860_984, 0), ("2026-01-31T12:03:04.5Z", 1_769_860_984, 500_000_000),
            ("2026-01-31T13:03:04.123456789+01:00", 1_769_860_984, 123_456_789),
            ("2026-01-31T04:33:04-07:30", 1_769_860_984, 0), ("1970-01-01T00:00:00Z", 0, 0),
        ] as [(String, Int64, Int64)])
    func moments(text: String, seconds: Int64, nanoseconds: Int64) {
        #expect(Timestamp(rfc3339: text) == Timestamp(seconds: seconds, nanoseconds: nanoseconds))
    }

    @Test(
        "what is no moment has none",
        arguments: ["", "yesterday", "2026-01-31 12:03:04 +0000 UTC", "2026-01-31T12:03:04"])
    func noMoments(text: String) { #expect(Timestamp(rfc3339: text) == nil) }
}
