import JSON
import Reactor
import Testing

@testable import Playground

/// Jobs, as kubectl and other clients meet them.
@Suite(.timeLimit(.minutes(5)))
struct JobTests {
    private static func manifest(_ spec: String = "", pod: String = "\"restartPolicy\":\"Never\",") -> String {
        """
        {"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"once"},"spec":{\(spec)"template":{"spec":{\(pod)\
        "terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"app:1"}]}}}}
        """
    }

    private func apply(_ api: RunningAPI, _ manifest: String) async throws -> Output {
        try await api.kubectl("apply", "-f", "-", input: manifest)
    }

    private func job(_ api: RunningAPI) -> JSON? { api.store.get(.job, "default", "once") }

    private func pods(_ api: RunningAPI) -> [JSON] { api.store.list(.pod, "default").items }

    /// Waits for the Job's numbers: active, succeeded, failed.
    private func settle(_ api: RunningAPI, _ active: Int64, _ succeeded: Int64, _ failed: Int64) async throws {
        try await api.wait(for: .job, "default", "once") { job in
            func count(_ field: String) -> Int64 { job?.at("status", field)?.integer ?? 0 }
            return count("active") == active && count("succeeded") == succeeded && count("failed") == failed
                && job?.at("status", "uncountedTerminatedPods") == [:]
        }
    }

    /// Ends a running pod, as its node would report it.
    private func end(_ api: RunningAPI, _ pod: JSON, as phase: String) throws {
        let now = JSON.string(Timestamp.now.description)
        try api.store.modify(.pod, "default", pod.at("metadata", "name")?.string ?? "") { pod in
            pod["status"]?["phase"] = .string(phase)
            pod["status"]?["containerStatuses"] = [
                [
                    "name": "c", "ready": false, "restartCount": 0,
                    "state": ["terminated": ["exitCode": phase == "Failed" ? 1 : 0, "finishedAt": now]],
                ]
            ]
            pod["status"]?["conditions"] = [["type": "Ready", "status": "False"]]
        }
    }

    private func active(_ api: RunningAPI, _ count: Int) async throws -> [JSON] {
        try await settleReady(api, count)
        return pods(api).filter(PodState.isActive)
    }

    private func settleReady(_ api: RunningAPI, _ count: Int) async throws {
        try await api.wait(for: .job, "default", "once") { $0?.at("status", "ready")?.integer == Int64(count) }
    }

    @Test("the selector and the labels that the API makes are nobody's")
    func owners() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let output = try await apply(api, Self.manifest())
            #expect(output.status.isSuccess, "\(output.errorText)")
            // The controller's own entry, of the status, may be older or younger.
            let entry = job(api)?.at("metadata", "managedFields")?.array?.first {
                $0["manager"] == "kubectl-client-side-apply"
            }
            let spec = entry?.at("fieldsV1", "f:spec")
            #expect(spec?["f:selector"] == nil)
            #expect(spec?.at("f:template", "f:metadata") == nil)
            #expect(spec?.at("f:template", "f:spec", "f:containers") != nil)
        }
    }

    @Test("it is complete when its pod has succeeded, which kubectl waits for and shows")
    func complete() async throws {
        try await RunningAPI.with { api in
            #expect(try await apply(api, Self.manifest()).text == "job.batch/once created\n")
            let pod = try #require(try await active(api, 1).first)
            let uid = try #require(job(api)?.at("metadata", "uid")?.string)
            #expect(
                job(api)?.at("spec", "selector", "matchLabels") == ["batch.kubernetes.io/controller-uid": .string(uid)])
            #expect(pod.at("metadata", "labels", "job-name") == "once")
            #expect(pod.at("metadata", "labels", "controller-uid") == .string(uid))
            #expect(pod.at("metadata", "name")?.string?.hasPrefix("once-") == true)
            #expect(try await apply(api, Self.manifest()).text == "job.batch/once unchanged\n")
            try end(api, pod, as: "Succeeded")
            let waited = try await api.kubectl("wait", "--for=condition=complete", "job/once", "--timeout=30s")
            #expect(waited.text == "job.batch/once condition met\n")
            let status = job(api)?["status"]
            #expect(status?["succeeded"] == 1)
            #expect(status?["completionTime"] != nil)
            let conditions = (status?["conditions"]?.array ?? []).compactMap { $0["type"]?.string }
            #expect(conditions == ["SuccessCriteriaMet", "Complete"])
            #expect(pods(api).first?.at("metadata", "finalizers") == nil)
            let shown = try await api.kubectl("get", "job", "once", "--no-headers").text
            #expect(shown.split(separator: " ").prefix(3) == ["once", "Complete", "1/1"])
        }
    }

    @Test("as many pods as it allows run at once, until as many as it asks for have succeeded")
    func parallel() async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest("\"parallelism\":2,\"completions\":3,"))
            for succeeded in 1...3 {
                let pod = try #require(try await active(api, min(2, 4 - succeeded)).first)
                try end(api, pod, as: "Succeeded")
                try await settle(api, Int64(min(2, 3 - succeeded)), Int64(succeeded), 0)
            }
            // The controller writes that it is complete after the numbers.
            try await api.wait(for: .job, "default", "once") { $0.map(JobPlan.isFinished) ?? false }
            #expect(JobPlan.isFinished(try #require(job(api))))
            #expect(pods(api).count == 3)
        }
    }

    @Test("it has failed when more pods have than its limit, and its others end")
    func failure() async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest("\"parallelism\":2,\"completions\":2,\"backoffLimit\":0,"))
            let pod = try #require(try await active(api, 2).first)
            try end(api, pod, as: "Failed")
            try await api.wait(for: .job, "default", "once") { $0.map(JobPlan.isFinished) ?? false }
            let conditions = job(api)?.at("status", "conditions")?.array ?? []
            #expect(conditions.compactMap { $0["type"]?.string } == ["FailureTarget", "Failed"])
            #expect(conditions.last?["reason"] == "BackoffLimitExceeded")
            #expect(conditions.last?["message"] == "Job has reached the specified backoff limit")
            try await api.wait(for: .pod, "default", "") { _ in pods(api).filter(PodState.isActive).isEmpty }
            let shown = try await api.kubectl("get", "job", "once", "--no-headers").text
            #expect(shown.split(separator: " ").prefix(3) == ["once", "Failed", "0/2"])
        }
    }

    @Test("a pod that somebody deletes is counted once, and another takes its place")
    func deletedPod() async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest())
            let pod = try #require(try await active(api, 1).first)
            let name = try #require(pod.at("metadata", "name")?.string)
            try await api.kubectl("delete", "pod", name)
            try await settle(api, 1, 0, 1)
            #expect(pods(api).allSatisfy { $0.at("metadata", "name")?.string != name })
        }
    }

    @Test("its pods stay what they are, and what no Job can be is refused in Kubernetes' words")
    func refused() async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest())
            let changed = Self.manifest().replacing("app:1", with: "app:2")
            let answer = try await apply(api, changed)
            #expect(answer.status == .exited(1))
            #expect(answer.errorText.contains("The Job \"once\" is invalid: spec.template: Invalid value:"))
            #expect(answer.errorText.contains(": field is immutable"))
            for (manifest, words) in [
                (
                    Self.manifest(pod: ""),
                    #"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#
                ),
                (Self.manifest("\"completionMode\":\"Indexed\","), "the playground does not serve Indexed Jobs yet"),
                (
                    Self.manifest("\"backoffLimit\":-1,"),
                    "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"
                ),
            ] {
                let other = manifest.replacing("once", with: "other")
                let answer = try await apply(api, other)
                #expect(answer.errorText.contains(words), "\(answer.errorText)")
            }
        }
    }

    @Test(
        "it takes its pods with it, in the foreground before it goes itself", arguments: ["background", "foreground"])
    func deletion(_ cascade: String) async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest())
            _ = try await active(api, 1)
            let events = try api.store.watch(.job, "default")
            let output = try await api.kubectl("delete", "job", "once", "--cascade", cascade)
            #expect(output.text == "job.batch \"once\" deleted\n")
            #expect(job(api) == nil)
            if cascade == "foreground" { #expect(pods(api).isEmpty) }
            events.stop()
            try await api.wait(for: .pod, "default", "") { _ in pods(api).isEmpty }
        }
    }

    @Test("applied by the server it is applied again without a change")
    func serverSide() async throws {
        try await RunningAPI.with { api in
            for _ in 1...2 {
                let output = try await api.kubectl("apply", "--server-side", "-f", "-", input: Self.manifest())
                #expect(output.text == "job.batch/once serverside-applied\n", "\(output.errorText)")
            }
            #expect(job(api)?.at("metadata", "generation") == 1)
            _ = try await active(api, 1)
        }
    }

    @Test("suspended it has no pods, and goes on when it is resumed")
    func suspend() async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest())
            _ = try await active(api, 1)
            try await api.kubectl("patch", "job", "once", "-p", #"{"spec":{"suspend":true}}"#)
            try await settle(api, 0, 0, 0)
            #expect(JobPlan.condition("Suspended", of: try #require(job(api))))
            try await api.kubectl("patch", "job", "once", "-p", #"{"spec":{"suspend":false}}"#)
            try await settle(api, 1, 0, 0)
        }
    }

    @Test("it goes by itself after its time")
    func expiry() async throws {
        try await RunningAPI.with { api in
            _ = try await apply(api, Self.manifest("\"ttlSecondsAfterFinished\":0,"))
            try end(api, try #require(try await active(api, 1).first), as: "Succeeded")
            try await api.wait(for: .job, "default", "once") { $0 == nil }
            try await api.wait(for: .pod, "default", "") { _ in pods(api).isEmpty }
        }
    }

    @Test("new pods wait longer after each failure, ten minutes at most")
    func backoff() {
        let now = Timestamp.now
        for (failures, seconds) in [(0, 0), (1, 10), (2, 20), (4, 80), (7, 600), (50, 600)] {
            let pod: JSON = [
                "metadata": ["uid": "a"],
                "status": [
                    "phase": "Failed",
                    "containerStatuses": [["state": ["terminated": ["finishedAt": .string(now.description)]]]],
                ],
            ]
            let job: JSON = ["spec": ["backoffLimit": 100], "status": ["failed": .integer(Int64(failures))]]
            #expect(JobPlan(job, failures > 0 ? [pod] : [], now: now).backoff == seconds)
        }
    }
}
