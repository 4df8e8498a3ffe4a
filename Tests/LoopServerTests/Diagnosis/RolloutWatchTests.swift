import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

@Suite("Following a rollout", .turn)
struct RolloutWatchTests {
    /// The recorded crash as a cluster's only workload.
    private struct Crash {
        let cluster = SmallCluster()
        var deployment: JSON
        var pod: JSON

        init() throws {
            let deployment = try Recording.json("deployments/crash.json")
            let pod = try #require(try Recording.json("pods/crash.json")["items"]?[0])
            let uid = try #require(deployment.at("metadata", "uid"))
            let owner = try #require(pod.at("metadata", "ownerReferences")?[0])
            self.deployment = deployment
            self.pod = pod
            cluster.setLog("starting\nboom: cannot open config\n")
            let set: JSON = [
                "metadata": [
                    "name": owner["name"] ?? "", "uid": owner["uid"] ?? "",
                    "annotations": ["deployment.kubernetes.io/revision": "1"],
                    "ownerReferences": [["controller": true, "uid": uid]],
                ]
            ]
            cluster.put("replicasets", set)
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

        /// The Deployment's controller gives it up.
        mutating func giveUp() {
            deployment["status"]?["conditions"] = [
                [
                    "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
                    "lastUpdateTime": "2030-01-01T00:00:00Z",
                ]
            ]
            cluster.put("deployments", deployment)
        }

        mutating func finish() {
            setContainer(["running": ["startedAt": "2026-11-21T00:50:00Z"]], isReady: true)
            deployment["status"] = [
                "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
                "availableReplicas": 1,
            ]
            cluster.put("deployments", deployment)
        }

        /// Follows it while `body` runs, and to its end.
        func follow(
            limit: Duration? = .seconds(3600), ledger: CauseLedger? = nil, pace: Duration = .seconds(30),
            progress: @escaping @Sendable (String) -> Void = { _ in }, _ body: (Heard) async throws -> Void
        ) async throws -> (ending: RolloutWatch.Ending?, heard: [LoopEvent.Failure]) {
            let heard = Heard()
            var ending: RolloutWatch.Ending?
            let cluster = cluster
            try await withAPI({ try await cluster.handle($0) }) { client, _ in
                let run = Task {
                    await RolloutWatch.run(
                        .workload(.deployment, name: "crash"), client: client, namespace: "broken", ledger: ledger,
                        limit: limit, settling: .zero, patience: .seconds(30), pace: pace, progress: progress
                    ) { heard.add($0) }
                }
                defer { run.cancel() }
                try await body(heard)
                ending = await run.value
            }
            return (ending, heard.all)
        }
    }

    /// What was reported, in order.
    private final class Heard: Sendable {
        private let failures = Mutex<[LoopEvent.Failure]>([])

        func add(_ failure: LoopEvent.Failure) { failures.withLock { $0.append(failure) } }

        var all: [LoopEvent.Failure] { failures.withLock { $0 } }

        /// The failure of a number, waiting for it.
        func failure(_ number: Int) async throws -> LoopEvent.Failure {
            while all.count <= number { try await Task.sleep(for: .milliseconds(5)) }
            return all[number]
        }
    }

    @Test("a cause is told while it fails, once however often it happens, and what heals is ready")
    func heals() async throws {
        var crash = try Crash()
        let cluster = crash.cluster
        let (ending, heard) = try await crash.follow { heard in
            let failure = try await heard.failure(0)
            #expect(failure.summary.contains("exited with code 3"))
            #expect(failure.details == ["boom: cannot open config"])
            // The same again, from the run before; then something else, which shows that the other was no news.
            crash.setContainer(
                ["waiting": ["reason": "CrashLoopBackOff"]],
                last: ["terminated": ["exitCode": 3, "containerID": "containerd://second"]])
            while cluster.askedLogs.count < 2 { try await Task.sleep(for: .milliseconds(5)) }
            let missing: JSON = ["reason": "CreateContainerConfigError", "message": "secret \"s\" not found"]
            crash.setContainer(["waiting": missing])
            let next = try await heard.failure(1)
            #expect(next.summary.contains("there is no Secret \"s\""))
            crash.finish()
        }
        #expect(heard.count == 2, "\(heard)")
        guard case .ready = ending else {
            Issue.record("\(String(describing: ending))")
            return
        }
        #expect(cluster.askedLogs == [false, true])
    }

    @Test("a StatefulSet's refusal is told however long ago it was, unless it was of another template")
    func refusal() async throws {
        let cluster = SmallCluster()
        cluster.put(
            "statefulsets",
            [
                "metadata": ["name": "db", "uid": "set", "generation": 2],
                "spec": ["replicas": 1, "selector": ["matchLabels": ["app": "db"]]],
                "status": ["observedGeneration": 2, "updateRevision": "db-2"],
            ])
        func revision(_ number: Int64) -> JSON {
            [
                "metadata": [
                    "name": .string("db-\(number)"), "creationTimestamp": .string("2020-01-01T00:0\(number):00Z"),
                    "ownerReferences": [["controller": true, "uid": "set"]],
                ], "revision": .integer(number),
            ]
        }
        func refuse(_ quota: String, at time: String) {
            cluster.put(
                "events",
                [
                    "metadata": ["name": .string(quota)], "involvedObject": ["uid": "set"], "reason": "FailedCreate",
                    "lastTimestamp": .string(time),
                    "message": .string("pods \"db-0\" is forbidden: exceeded quota: \(quota), requested: pods=1"),
                ])
        }
        for number in 1...2 { cluster.put("controllerrevisions", revision(Int64(number))) }
        refuse("old", at: "2020-01-01T00:01:30Z")
        let heard = Heard()
        try await withAPI({ try await cluster.handle($0) }) { client, _ in
            let run = Task {
                await RolloutWatch.run(
                    .workload(.statefulset, name: "db"), client: client, namespace: "demo", limit: .seconds(3600),
                    patience: .seconds(30)
                ) { heard.add($0) }
            }
            defer { run.cancel() }
            refuse("new", at: "2020-01-01T00:02:30Z")
            let failure = try await heard.failure(0)
            #expect(
                failure.summary
                    == "no pod of statefulset/db can be created: ResourceQuota \"new\" is used up")
        }
    }

    @Test("what may not be seen costs only that", arguments: ["events", "log"])
    func refused(plural: String) async throws {
        var crash = try Crash()
        crash.cluster.refuse(plural, with: 403)
        let (ending, heard) = try await crash.follow { heard in
            let failure = try await heard.failure(0)
            #expect(failure.summary.contains("exited with code 3"))
            crash.finish()
        }
        #expect(heard.count == 1 && ending != .behind)
    }

    @Test("a cause whose log is under way when nobody watches any more is left to who goes on watching")
    func cutOff() async throws {
        let cluster = SmallCluster()
        let (asked, heard) = (Gate(), Heard())
        var recorded = try RecordedPicture("crash")
        recorded.picture.state.workload = nil
        let state = recorded.picture.state
        try await withAPI({ exchange in
            guard exchange.request.path.last == "log" else { return try await cluster.handle(exchange) }
            asked.signal()
            // No answer comes as long as somebody asks.
            try await Task.sleep(for: .seconds(60))
        }) { client, _ in
            let causes = CauseWatch(client, .selector("app=crash"), namespace: "broken", patience: .seconds(30)) {
                heard.add($0)
            }
            let run = Task { await causes.run() }
            causes.update(state)
            await asked.pass()
            run.cancel()
            await run.value
        }
        #expect(heard.all == [])
    }

    @Test("a cause is news again only when all was well for long enough", arguments: [true, false])
    func settling(isLong: Bool) async throws {
        let cluster = SmallCluster()
        func state(_ code: Int64) throws -> WorkloadState {
            var recorded = try RecordedPicture("crash")
            recorded.setContainer([
                "terminated": ["exitCode": .integer(code), "containerID": .string("containerd://\(code)")]
            ])
            recorded.picture.state.workload = nil
            return recorded.picture.state
        }
        let (heard, well) = (Heard(), Heard())
        let (first, second) = (try state(3), try state(4))
        try await withAPI({ try await cluster.handle($0) }) { client, _ in
            let causes = CauseWatch(client, .selector("app=crash"), namespace: "broken", patience: .seconds(30)) {
                well.add(LoopEvent.Failure(""))
            } report: {
                heard.add($0)
            }
            let run = Task { await causes.run() }
            defer { run.cancel() }
            causes.update(first)
            _ = try await heard.failure(0)
            while causes.present.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            causes.update(nil, settling: isLong ? .seconds(1000) : .zero)
            while !causes.present.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            if !isLong { _ = try await well.failure(0) }
            causes.update(first)
            while causes.present.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
            causes.update(second)
            _ = try await heard.failure(isLong ? 1 : 2)
        }
        #expect(heard.all.map { $0.summary.contains("code 3") } == (isLong ? [true, false] : [true, true, false]))
        #expect(well.all.isEmpty == isLong)
    }

    @Test("a limit that passes is told with what is short, and why")
    func limit() async throws {
        let crash = try Crash()
        // On a machine that is busy with other tests nothing of it may be known at the first limit.
        for seconds in [10, 40, 160] {
            let (ending, heard) = try await crash.follow(limit: .seconds(seconds)) { heard in
                _ = try await heard.failure(0)
            }
            #expect(ending == .behind)
            let words = "deployment/crash is not rolled out after \(seconds) s: "
            if heard.last?.summary == "\(words)the cluster does not answer", seconds < 160 { continue }
            #expect(heard.last?.summary == "\(words)0 of 1 new pods are ready")
            // And so the cause.
            if heard.count > 1 { #expect(heard.last?.details.first?.contains("exited with code 3") == true) }
            break
        }
    }

    @Test("one that its controller has given up ends, with what is short and why")
    func givenUp() async throws {
        var crash = try Crash()
        let (ending, heard) = try await crash.follow(limit: nil) { heard in
            _ = try await heard.failure(0)
            crash.giveUp()
        }
        #expect(ending == .behind)
        #expect(
            heard.last?.summary == "deployment/crash has made no progress for 20 s, its progressDeadlineSeconds: "
                + "0 of 1 new pods are ready")
        #expect(heard.last?.details.first?.contains("exited with code 3") == true, "\(heard)")
    }

    @Test("a Job that has failed ends, in its controller's words where no pod says more")
    func failedJob() async throws {
        let cluster = SmallCluster()
        let heard = Heard()
        let job: JSON = [
            "metadata": ["name": "once", "uid": "job"],
            "spec": ["selector": ["matchLabels": ["job": "once"]]],
            "status": [
                "conditions": [["type": "Failed", "status": "True", "message": "it is past its backoff limit"]]
            ],
        ]
        cluster.put("jobs", job)
        try await withAPI({ try await cluster.handle($0) }) { client, _ in
            let ending = await RolloutWatch.run(
                .workload(.job, name: "once"), client: client, namespace: "demo", patience: .milliseconds(20)
            ) { heard.add($0) }
            #expect(ending == .failed)
        }
        #expect(heard.all.map(\.summary) == ["job/once has failed"])
        #expect(heard.all.first?.details == ["it is past its backoff limit"])
    }

    @Test("in silence it is told how far it is")
    func progress() async throws {
        var crash = try Crash()
        let told = Mutex<[String]>([])
        _ = try await crash.follow(pace: .milliseconds(20), progress: { text in told.withLock { $0.append(text) } }) {
            _ in
            while told.withLock({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(5)) }
            crash.finish()
        }
        let first = told.withLock { $0.first } ?? ""
        #expect(first.hasPrefix("deployment/crash: 0 of 1 new pods are ready, after "), "\(first)")
    }

    @Test("what another one of the session has told is not told again, until the workload was ready")
    func ledger() async throws {
        var crash = try Crash()
        let ledger = CauseLedger()
        let target = Target.workload(.deployment, name: "crash")
        let cause = Diagnosis(key: ["some", "cause"], container: "crash", failure: LoopEvent.Failure("some cause"))
        #expect(!ledger.hasTold(of: "crash", of: target, in: "broken"))
        #expect(ledger.claim(cause, of: target, in: "broken"))
        #expect(!ledger.claim(cause, of: target, in: "broken"))
        #expect(ledger.claim(cause, of: .selector("app=crash"), in: "broken"))
        #expect(ledger.claim(cause, of: target, in: "other"))
        #expect(ledger.hasTold(of: "crash", of: target, in: "broken"))
        #expect(!ledger.hasTold(of: "other", of: target, in: "broken"))
        _ = try await crash.follow(ledger: ledger) { heard in
            _ = try await heard.failure(0)
            crash.finish()
        }
        #expect(!ledger.hasTold(of: "crash", of: target, in: "broken"))
        #expect(ledger.claim(cause, of: target, in: "broken"))
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
        #expect(steady.left ?? .zero > .seconds(900))
        steady.note(state())
        #expect(steady.since == since)
        // Another run of the container begins anew, although nobody saw the end of the last one.
        steady.note(state(id: "2", restarts: 1))
        #expect(steady.since ?? 0 > since)
        #expect(steady.left ?? .zero > .seconds(2900))
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
