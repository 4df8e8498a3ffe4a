import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

@Suite("Following a rollout", .timeLimit(.minutes(1)))
struct RolloutWatchTests {
    /// The recorded crash as a cluster's only workload.
    private struct Crash {
        let cluster = SmallCluster()
        var deployment: JSON
        var pod: JSON

        init() throws {
            deployment = try Recording.json("deployments/crash.json")
            pod = try #require(try Recording.json("pods/crash.json")["items"]?[0])
            cluster.setLog("starting\nboom: cannot open config\n")
            let uid = try #require(deployment.at("metadata", "uid"))
            let owner = try #require(pod.at("metadata", "ownerReferences")?[0])
            cluster.put(
                "replicasets",
                [
                    "metadata": [
                        "name": owner["name"] ?? "", "uid": owner["uid"] ?? "",
                        "annotations": ["deployment.kubernetes.io/revision": "1"],
                        "ownerReferences": [["controller": true, "uid": uid]],
                    ]
                ])
            cluster.put("deployments", deployment)
            cluster.put("pods", pod)
        }

        mutating func setContainer(_ now: JSON, last: JSON = [:], isReady: Bool = false) {
            pod["status"]?["containerStatuses"] = [
                [
                    "name": "crash", "containerID": "containerd://next", "state": now, "lastState": last,
                    "ready": .bool(isReady),
                ]
            ]
            pod["status"]?["conditions"] = [["type": "Ready", "status": isReady ? "True" : "False"]]
            cluster.put("pods", pod)
        }

        mutating func finish() {
            setContainer(["running": ["startedAt": "2026-11-21T00:50:00Z"]], isReady: true)
            deployment["status"] = [
                "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1,
            ]
            cluster.put("deployments", deployment)
        }

        /// Follows it, and hands the failures to `body` as they come.
        func follow(
            limit: Duration = .seconds(50), ledger: CauseLedger? = nil,
            _ body: (inout AsyncStream<LoopEvent.Failure>.Iterator) async throws -> Void
        ) async throws -> RolloutWatch.Ending {
            let ending = Mutex<RolloutWatch.Ending?>(nil)
            try await withAPI({ [cluster] in try await cluster.handle($0) }) { client, _ in
                let (failures, yield) = AsyncStream<LoopEvent.Failure>.makeStream()
                let run = Task {
                    let ending = await RolloutWatch.run(
                        .workload(.deployment, name: "crash"), client: client, namespace: "broken", ledger: ledger,
                        limit: limit, settling: .zero
                    ) { yield.yield($0) }
                    yield.finish()
                    return ending
                }
                defer { run.cancel() }
                var iterator = failures.makeAsyncIterator()
                try await body(&iterator)
                let result = await run.value
                ending.withLock { $0 = result }
            }
            return try #require(ending.withLock { $0 })
        }
    }

    @Test("a cause is told while it fails, once however often it happens, and what heals is ready")
    func heals() async throws {
        var crash = try Crash()
        let ending = try await crash.follow { failures in
            let failure = try #require(await failures.next())
            #expect(failure.summary.contains("exited with code 3"))
            #expect(failure.details == ["boom: cannot open config"])
            // The same again, from the run before; then something else, which shows that the other was no news.
            crash.setContainer(
                ["waiting": ["reason": "CrashLoopBackOff"]],
                last: ["terminated": ["exitCode": 3, "containerID": "containerd://second"]])
            while crash.cluster.askedLogs.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            crash.setContainer([
                "waiting": ["reason": "CreateContainerConfigError", "message": "secret \"s\" not found"]
            ])
            let next = try #require(await failures.next())
            #expect(next.summary.contains("there is no Secret \"s\""))
            crash.finish()
            #expect(await failures.next() == nil)
        }
        guard case .ready = ending else { return #expect(Bool(false), "\(ending)") }
        #expect(crash.cluster.askedLogs == [false, true])
    }

    @Test("events that may not be seen cost the events only")
    func withoutEvents() async throws {
        var crash = try Crash()
        crash.cluster.refuse("events", with: 403)
        _ = try await crash.follow { failures in
            #expect(try #require(await failures.next()).summary.contains("exited with code 3"))
            crash.finish()
        }
    }

    @Test("a log that does not come costs the log only")
    func withoutLog() async throws {
        var crash = try Crash()
        crash.cluster.refuse("log", with: 403)
        _ = try await crash.follow { failures in
            #expect(try #require(await failures.next()).summary.contains("exited with code 3"))
            crash.finish()
        }
    }

    @Test("a limit that passes is told with what is short, and why")
    func limit() async throws {
        let crash = try Crash()
        let ending = try await crash.follow(limit: .seconds(1)) { failures in
            _ = await failures.next()
            let failure = try #require(await failures.next())
            #expect(failure.summary == "deployment/crash is not rolled out after 1 s: 0 of 1 new pods are ready")
            #expect(failure.details.first?.contains("exited with code 3") == true)
        }
        #expect(ending == .behind)
    }

    @Test("what another one of the session has told is not told again, until the workload was ready")
    func ledger() async throws {
        var crash = try Crash()
        let ledger = CauseLedger()
        let target = Target.workload(.deployment, name: "crash")
        _ = try await crash.follow(ledger: ledger) { failures in
            _ = await failures.next()
            crash.finish()
        }
        let key = ["some", "cause"]
        #expect(ledger.claim(key, of: target) && !ledger.claim(key, of: target))
        #expect(ledger.claim(key, of: .selector("app=crash")))
        ledger.forget(target)
        #expect(ledger.claim(key, of: target))
    }

    @Test("containers without a readiness probe must stay for a while, those that have crashed for longer")
    func steadiness() throws {
        func state(isReady: Bool = true, id: String = "1", restarts: Int64 = 0, probe: JSON? = nil) -> WorkloadState {
            var container: JSON = ["name": "web"]
            container["readinessProbe"] = probe
            let pod: JSON = [
                "spec": ["containers": [container]],
                "status": [
                    "conditions": [["type": "Ready", "status": isReady ? "True" : "False"]],
                    "containerStatuses": [
                        [
                            "name": "web", "containerID": .string(id), "ready": .bool(isReady),
                            "restartCount": .integer(restarts), "state": ["running": ["startedAt": "x"]],
                        ]
                    ],
                ],
            ]
            return WorkloadState(pods: [PodState(pod)])
        }
        var steady = SteadyRollout(target: .selector("app=web"), settling: .seconds(1000))
        steady.note(state(isReady: false))
        #expect(steady.left == nil)
        steady.note(state())
        let since = try #require(steady.since)
        #expect(try #require(steady.left) > .seconds(900))
        steady.note(state())
        #expect(steady.since == since)
        // Another run of the container begins anew, although nobody saw the end of the last one.
        steady.note(state(id: "2", restarts: 1))
        #expect(try #require(steady.since) > since)
        #expect(try #require(steady.left) > .seconds(2900))
        steady.note(state(isReady: false))
        #expect(steady.left == nil)
        // What has a probe and never crashed is ready when it says so.
        steady.note(state(probe: ["exec": ["command": ["true"]]]))
        #expect(steady.left == .zero)
    }

    @Test("a pod's age counts from its containers' present runs")
    func ages() {
        func pod(_ id: String) -> PodState {
            PodState([
                "metadata": ["uid": "u"], "spec": ["containers": [["name": "web"]]],
                "status": ["containerStatuses": [["name": "web", "containerID": .string(id)]]],
            ])
        }
        var ages = PodAges()
        let start = ContinuousClock.now - .seconds(100)
        ages.note([pod("1")], at: start)
        ages.note([pod("1")], at: start + .seconds(50))
        #expect(ages.ages["u"] ?? .zero >= .seconds(100))
        ages.note([pod("2")], at: start + .seconds(60))
        #expect(ages.ages["u"] ?? .seconds(100) < .seconds(100))
        ages.note([], at: start + .seconds(70))
        #expect(ages.ages.isEmpty)
    }
}
