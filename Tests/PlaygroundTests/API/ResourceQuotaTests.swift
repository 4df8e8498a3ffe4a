import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

/// Quotas: what a pod counts for, who is refused, and what the status says.
struct ResourceQuotaTests {
    private static func container(_ name: String, cpu: String? = nil, restartPolicy: JSON? = nil) -> JSON {
        var container: JSON = ["name": .string(name), "image": "a:1"]
        if let cpu { container["resources"] = ["requests": ["cpu": .string(cpu)]] }
        container["restartPolicy"] = restartPolicy
        return container
    }

    @Test(
        "a pod asks for its containers together, or for what its beginning needs",
        arguments: [
            (["containers": [container("a", cpu: "100m"), container("b", cpu: "200m")]], "300m"),
            (
                ["initContainers": [container("i", cpu: "1")], "containers": [container("a", cpu: "100m")]], "1"
            ),
            (
                [
                    "initContainers": [
                        container("s", cpu: "500m", restartPolicy: "Always"), container("i", cpu: "300m"),
                    ], "containers": [container("a", cpu: "100m")],
                ], "800m"
            ),
            (
                [
                    "initContainers": [
                        container("i", cpu: "300m"), container("s", cpu: "500m", restartPolicy: "Always"),
                    ], "containers": [container("a", cpu: "100m")],
                ], "600m"
            ),
            (["containers": [container("a")]], nil),
        ] as [(JSON, String?)])
    func totals(_ spec: JSON, _ total: String?) {
        #expect(PodResources.total("requests", of: "cpu", for: ["spec": spec])?.description == total)
    }

    @Test(
        "quantities add up in the notation of the first",
        arguments: [
            ("500m", "600m", "1100m"), ("500m", "500m", "1"), ("128Mi", "128Mi", "256Mi"), ("512Mi", "512Mi", "1Gi"),
            ("1Gi", "1M", "1074741824"), ("999", "1", "1k"), ("0", "64Ki", "64Ki"),
        ])
    func sums(_ left: String, _ right: String, _ sum: String) throws {
        #expect((try #require(Quantity(left)) + (try #require(Quantity(right)))).description == sum)
    }

    private static func quota(_ hard: JSON) -> JSON {
        ["metadata": ["name": "q", "namespace": "default"], "spec": ["hard": hard]]
    }

    private func create(_ name: String, _ resources: JSON = [:], _ query: String = "", on api: RunningAPI) async throws
        -> (status: Int, message: String)
    {
        let pod: JSON = [
            "metadata": ["name": .string(name)],
            "spec": ["containers": [["name": "app", "image": "a:1", "resources": resources]]],
        ]
        let answer = try await api.request("POST", "/api/v1/namespaces/default/pods\(query)", body: pod)
        return (answer.status, answer.body["message"]?.string ?? "")
    }

    @Test("a pod must say what it needs, and must find room, in a dry run too")
    func admission() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let hard: JSON = ["pods": "2", "requests.memory": "1Gi", "limits.cpu": "2"]
            let created = try await api.request(
                "POST", "/api/v1/namespaces/default/resourcequotas", body: Self.quota(hard))
            #expect(created.status == 201)
            let silent = try await create("silent", on: api)
            #expect(silent.status == 403)
            #expect(
                silent.message
                    == #"pods "silent" is forbidden: failed quota: q: must specify limits.cpu for: app; "#
                    + "requests.memory for: app")
            let half: JSON = ["limits": ["cpu": "1", "memory": "512Mi"]]
            #expect(try await create("one", half, on: api).status == 201)
            let large: JSON = ["limits": ["cpu": "1500m", "memory": "600Mi"]]
            for query in ["?dryRun=All", ""] {
                let refused = try await create("two", large, query, on: api)
                #expect(refused.status == 403)
                #expect(
                    refused.message
                        == #"pods "two" is forbidden: exceeded quota: q, requested: limits.cpu=1500m,"#
                        + "requests.memory=600Mi, used: limits.cpu=1,requests.memory=512Mi, "
                        + "limited: limits.cpu=2,requests.memory=1Gi")
            }
            #expect(try await create("two", half, "?dryRun=All", on: api).status == 201)
            #expect(try await create("two", half, on: api).status == 201)
            let third = try await create("three", ["limits": ["cpu": "0", "memory": "0"]], on: api)
            #expect(
                third.message
                    == #"pods "three" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"#
            )
        }
    }

    @Test("the status counts, and pods that have ended count no more")
    func status() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            _ = try api.store.create(
                .resourceQuota, Self.quota(["pods": "3", "count/pods": "5", "cpu": "2", "limits.memory": "1Gi"]))
            let needs: JSON = ["limits": ["cpu": "500m", "memory": "128Mi"]]
            for name in ["a", "b"] { #expect(try await create(name, needs, on: api).status == 201) }
            try await api.wait(for: .resourceQuota, "default", "q") {
                $0?.at("status", "used") == ["count/pods": "2", "cpu": "1", "limits.memory": "256Mi", "pods": "2"]
            }
            try api.store.modify(.pod, "default", "a", part: .status) { $0["status"]?["phase"] = "Succeeded" }
            try await api.wait(for: .resourceQuota, "default", "q") {
                $0?.at("status", "used") == ["count/pods": "2", "cpu": "500m", "limits.memory": "128Mi", "pods": "1"]
            }
            guard RunningAPI.hasKubectl else { return }
            let table = try await api.kubectl("get", "quota", "--no-headers")
            let row = Recording.normal(table.text).split(separator: "\n").first ?? ""
            #expect(row == "q count/pods: 2/5, cpu: 500m/2, pods: 1/3 limits.memory: 128Mi/1Gi AGE")
        }
    }

    @Test("a Deployment over quota says why, as recorded, and gets through when there is room")
    func recorded() async throws {
        let recorded = try Fixture.json("deployments/quota.json")
        try await RunningAPI.with { api in
            _ = try api.store.create(.resourceQuota, Self.quota(["pods": "0"]))
            let created = try await api.request(
                "POST", "/apis/apps/v1/namespaces/default/deployments",
                body: ["metadata": ["name": "quota", "labels": ["app": "quota"]], "spec": recorded["spec"] ?? [:]])
            #expect(created.status == 201)
            let wanted = PodSecurityTests.failure(of: recorded)
            #expect(wanted != nil)
            try await api.wait(for: .deployment, "default", "quota") { PodSecurityTests.failure(of: $0) == wanted }
            try api.store.modify(.resourceQuota, "default", "q") { $0["spec"] = ["hard": ["pods": "1"]] }
            try await api.wait(for: .deployment, "default", "quota") { deployment in
                deployment?.at("status", "availableReplicas") == 1 && PodSecurityTests.failure(of: deployment) == nil
            }
        }
    }

    @Test("what the playground does not count is refused by name")
    func refusals() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            var quota = Self.quota(["services": "1"])
            quota["spec"]?["scopes"] = ["BestEffort"]
            let answer = try await api.request("POST", "/api/v1/namespaces/default/resourcequotas", body: quota)
            #expect(answer.status == 422)
            let message = answer.body["message"]?.string ?? ""
            #expect(message.contains("spec.hard[services]: Forbidden: the playground limits pods, count/pods, cpu,"))
            #expect(message.contains("spec.scopes: Forbidden: the playground does not serve scopes of a ResourceQuota"))
        }
    }

    @Test("kubectl creates a quota, and a namespace takes its quotas with it", .enabled(if: RunningAPI.hasKubectl))
    func namespace() async throws {
        try await RunningAPI.with { api in
            try await api.kubectl("create", "ns", "small")
            let created = try await api.kubectl("create", "quota", "q", "--hard=pods=1", "-n", "small")
            #expect(created.text == "resourcequota/q created\n", "\(created.errorText)")
            let described = try await api.kubectl("describe", "ns", "small")
            #expect(described.text.contains("Resource Quotas"), "\(described.errorText)")
            let deleted = try await api.kubectl("delete", "ns", "small", "--timeout=60s")
            #expect(deleted.status == .exited(0), "\(deleted.errorText)")
            #expect(api.store.list(.resourceQuota).items.isEmpty)
        }
    }
}
