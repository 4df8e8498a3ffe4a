import JSON
import Testing

@testable import Playground

@Suite("Pod status")
struct PodStatusTests {
    /// The containers as the status says they are.
    private func records(of pod: JSON) -> [ContainerRecord] {
        var records: [ContainerRecord] = []
        for (kind, key) in [(ContainerRecord.Kind.initial, "initContainerStatuses"), (.main, "containerStatuses")] {
            for spec in pod.at("spec", kind.rawValue)?.array ?? [] {
                var record = ContainerRecord(kind, spec)
                if let status = pod.at("status", key)?.array?.first(where: { $0["name"] == spec["name"] }) {
                    record.restore(status)
                }
                records.append(record)
            }
        }
        return records
    }

    @Test(
        "is composed from the containers as recorded",
        arguments: [
            "crash", "imagepull", "initfail", "liveness", "nocmd", "noconfig", "notready", "oom", "readonly", "running",
        ])
    func recorded(_ name: String) throws {
        let pod = try #require(try Fixture.json("pods/\(name).json")["items"]?[0])
        var expected = try #require(pod["status"])
        // What containerd reads back from its cgroups.
        expected["resources"] = nil
        expected["allocatedResources"] = nil
        var composed = PodStatus(pod: pod, records: records(of: pod), now: Timestamp(seconds: 0)).json
        composed["resources"] = nil
        #expect(composed == expected)
        #expect(composed.object?.keys == expected.object?.keys)
    }

    @Test("the first restart comes at once, the next ones after 10 s, doubling to five minutes")
    func backoff() {
        var backoff = Backoff()
        let delays = (0..<8).map { _ in backoff.next(ranFor: 1) }
        #expect(delays == [0, 10, 20, 40, 80, 160, 300, 300])
        #expect(backoff.next(ranFor: Backoff.forgiveness) == 0)
        #expect(backoff.next(ranFor: 1) == 10)
    }

    @Test("a probe's result counts when its threshold is reached, and the other one starts again")
    func tally() throws {
        let container: JSON = [
            "readinessProbe": ["exec": [:], "failureThreshold": 2, "successThreshold": 2]
        ]
        let settings = try #require(ProbeSettings(.readiness, of: container))
        var tally = ProbeTally()
        let results = [true, true, false, true, false, false].map { tally.record($0, settings) }
        #expect(results == [nil, true, nil, nil, nil, false])
    }

    @Test(
        "$(NAME) is replaced, unknown names and $$ are not",
        arguments: [
            ("$(A)/$(B)", "1/$(B)"), ("$$(A)", "$(A)"), ("$A $", "$A $"), ("$(A", "$(A"), ("$(A)$(A)", "11"),
            ("ü$(A)", "ü1"),
        ])
    func expansion(_ text: String, _ expected: String) {
        #expect(Environment.expand(text, with: [("A", "1")]) == expected)
    }

    @Test(
        "image names are taken apart as Docker does it",
        arguments: [
            ("localhost:5000/team/app:1", "localhost:5000", "team/app", "1"), ("host", "", "host", "latest"),
            ("app:2", "", "app", "2"), ("team/app", "", "team/app", "latest"),
            ("registry.example/app", "registry.example", "app", "latest"),
        ])
    func references(_ text: String, _ registry: String, _ repository: String, _ tag: String) throws {
        let reference = try #require(ImageReference(text))
        #expect(reference.registry == registry)
        #expect(reference.repository == repository)
        #expect(reference.tag == tag)
    }

    @Test(
        "names that are no references are none", arguments: ["", "App", "a//b", "a:b:c", "a@sha256:00", "../a", "a:.."])
    func noReferences(_ text: String) { #expect(ImageReference(text) == nil) }

    private static let resolver = IdentityResolver(
        passwd: "root:x:0:0::/root:/bin/sh\nweb:x:7:8::/:/bin/sh\n", group: "root:x:0:\nstaff:x:50:web,x\n")

    @Test("the user comes from the pod, else from the image, with the groups of the image's files")
    func identity() throws {
        func identity(_ container: JSON, _ pod: JSON, _ user: String) throws -> Identity {
            try Self.resolver.identity(of: container, in: ["spec": ["securityContext": pod]], imageUser: user)
        }
        #expect(try identity([:], [:], "") == Identity(user: 0, group: 0, supplementalGroups: []))
        #expect(try identity([:], [:], "web") == Identity(user: 7, group: 8, supplementalGroups: [50]))
        #expect(try identity([:], [:], "7:staff") == Identity(user: 7, group: 50, supplementalGroups: [50]))
        #expect(
            try identity(["securityContext": ["runAsUser": 1000]], ["fsGroup": 3, "runAsUser": 5], "web")
                == Identity(user: 1000, group: 0, supplementalGroups: [3]))
        #expect(throws: ConfigurationError.self) { try identity([:], [:], "nobody") }
        #expect(throws: ConfigurationError.self) { try identity([:], ["runAsNonRoot": true], "") }
    }

    @Test("capabilities are the usual ones less the dropped ones, and the added ones")
    func capabilities() {
        func of(_ drop: JSON, _ add: JSON) -> [String] {
            Capabilities.of(["securityContext": ["capabilities": ["drop": drop, "add": add]]])
        }
        #expect(of([], []) == RuntimeSpec.defaultCapabilities)
        #expect(of(["ALL"], ["NET_BIND_SERVICE"]) == ["CAP_NET_BIND_SERVICE"])
        #expect(!of(["CHOWN"], []).contains("CAP_CHOWN"))
    }
}
