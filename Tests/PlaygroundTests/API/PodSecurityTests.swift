import HTTP
import JSON
import Testing

@testable import Playground

/// Pod Security: what each level forbids, in Kubernetes' words, and whom it stops.
struct PodSecurityTests {
    /// A pod that `restricted` has nothing against.
    static let modest: JSON = [
        "spec": [
            "securityContext": ["runAsNonRoot": true, "seccompProfile": ["type": "RuntimeDefault"]],
            "containers": [
                [
                    "name": "a", "image": "a:1",
                    "securityContext": [
                        "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]],
                    ],
                ]
            ],
            "volumes": [["name": "v", "emptyDir": [:]], ["name": "w", "configMap": ["name": "x"]]],
        ]
    ]

    struct Case: Sendable, CustomTestStringConvertible {
        let patch: JSON
        let baseline: String?
        let restricted: String?
        var testDescription: String { patch.text }

        /// A pod patch, and what both levels say to it.
        init(_ patch: JSON, baseline: String?, restricted: String?) {
            self.patch = patch
            self.baseline = baseline
            self.restricted = restricted
        }

        init(_ patch: JSON, both: String) { self.init(patch, baseline: both, restricted: both) }
    }

    static let cases: [Case] = [
        Case([:], baseline: nil, restricted: nil),
        Case(
            ["spec": ["hostNetwork": true, "hostPID": true, "hostIPC": true]],
            both: "host namespaces (hostNetwork=true, hostPID=true, hostIPC=true)"),
        Case(
            .context(["privileged": true]),
            both: #"privileged (container "a" must not set securityContext.privileged=true)"#),
        Case(
            .context(["capabilities": ["add": ["SYS_ADMIN", "CHOWN"], "drop": ["ALL"]]]),
            baseline: #"non-default capabilities (container "a" must not include "SYS_ADMIN" in "#
                + "securityContext.capabilities.add)",
            restricted: #"unrestricted capabilities (container "a" must not include "CHOWN", "SYS_ADMIN" in "#
                + "securityContext.capabilities.add)"),
        Case(.context(["capabilities": ["add": ["NET_BIND_SERVICE"]]]), baseline: nil, restricted: nil),
        Case(
            .context(["capabilities": ["drop": ["KILL"], "$patch": "replace"]]), baseline: nil,
            restricted: #"unrestricted capabilities (container "a" must set securityContext.capabilities.drop=["ALL"])"#
        ),
        Case(
            ["spec": ["volumes": [["name": "h", "hostPath": ["path": "/"]]]]],
            baseline: #"hostPath volumes (volume "h")"#,
            restricted: #"restricted volume types (volume "h" uses restricted volume type "hostPath")"#),
        Case(
            ["spec": ["volumes": [["name": "n", "nfs": ["path": "/"]]]]], baseline: nil,
            restricted: #"restricted volume types (volume "n" uses restricted volume type "nfs")"#),
        Case(
            ["spec": ["containers": [["name": "a", "ports": [["containerPort": 80, "hostPort": 80]]]]]],
            both: #"hostPort (container "a" uses hostPort 80)"#),
        Case(
            [
                "spec": [
                    "containers": [["name": "a", "livenessProbe": ["tcpSocket": ["port": 80, "host": "10.0.0.1"]]]]
                ]
            ],
            both: #"probe or lifecycle host (container "a" uses probe or lifecycle host "10.0.0.1")"#),
        Case(
            .context(["procMount": "Unmasked"]),
            both: #"procMount (container "a" must not set securityContext.procMount to "Unmasked")"#),
        Case(
            .context(["seLinuxOptions": ["type": "spc_t", "user": "u"]]),
            both: #"seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type "spc_t"; "#
                + "user may not be set)"),
        Case(
            .context(["seccompProfile": ["type": "Unconfined"]]),
            both: #"seccompProfile (container "a" must not set securityContext.seccompProfile.type to "Unconfined")"#),
        Case(
            .context(["appArmorProfile": ["type": "Unconfined"]]),
            both: #"forbidden AppArmor profile (container "a" must not set AppArmor profile type to "Unconfined")"#),
        Case(
            ["spec": ["securityContext": ["sysctls": [["name": "kernel.msgmax", "value": "1"]]]]],
            both: "forbidden sysctls (kernel.msgmax)"),
        Case(
            ["spec": ["securityContext": ["sysctls": [["name": "net.ipv4.tcp_rmem"]]]]], baseline: nil, restricted: nil),
        Case(
            .context(["allowPrivilegeEscalation": true]), baseline: nil,
            restricted: #"allowPrivilegeEscalation != false (container "a" must set "#
                + "securityContext.allowPrivilegeEscalation=false)"),
        Case(
            .context(["runAsNonRoot": false]), baseline: nil,
            restricted: #"runAsNonRoot != true (container "a" must not set securityContext.runAsNonRoot=false)"#),
        Case(
            ["spec": ["securityContext": ["runAsUser": 0]]], baseline: nil,
            restricted: "runAsUser=0 (pod must not set runAsUser=0)"),
        Case(
            ["spec": ["securityContext": ["$patch": "replace"]]], baseline: nil,
            restricted: #"runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true), "#
                + #"seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to "#
                + #""RuntimeDefault" or "Localhost")"#),
        Case(
            ["spec": ["ephemeralContainers": [["name": "e", "securityContext": ["privileged": true]]]]],
            baseline: #"privileged (container "e" must not set securityContext.privileged=true)"#,
            restricted: #"privileged (container "e" must not set securityContext.privileged=true), "#
                + #"allowPrivilegeEscalation != false (container "e" must set "#
                + #"securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "e" must set "#
                + #"securityContext.capabilities.drop=["ALL"])"#),
    ]

    @Test("each level says what it forbids", arguments: cases)
    func levels(_ given: Case) throws {
        let pod = try StrategicMerge.apply(given.patch, to: Self.modest, kind: .pod)
        func violations(_ level: PodSecurity.Level) -> String? {
            PodSecurity(level: level, version: "latest").violations(of: pod)
        }
        #expect(violations(.privileged) == nil)
        #expect(violations(.baseline) == given.baseline.map { "PodSecurity \"baseline:latest\": \($0)" })
        #expect(violations(.restricted) == given.restricted.map { "PodSecurity \"restricted:latest\": \($0)" })
    }

    private func namespace(_ labels: JSON, on api: RunningAPI) throws {
        _ = try api.store.create(.namespace, ["metadata": ["name": "strict", "labels": labels]])
    }

    @Test("a Deployment of pods that its namespace forbids says why, as recorded")
    func recorded() async throws {
        let recorded = try Fixture.json("deployments/pod-security.json")
        try await RunningAPI.with { api in
            try namespace(["pod-security.kubernetes.io/enforce": "restricted"], on: api)
            let deployment: JSON = [
                "metadata": ["name": "psa", "labels": ["app": "psa"]], "spec": recorded["spec"] ?? [:],
            ]
            let created = try await api.request(
                "POST", "/apis/apps/v1/namespaces/strict/deployments?fieldManager=kubectl-create", body: deployment)
            #expect(created.status == 201)
            #expect(
                created.headers["Warning"]?.hasPrefix(#"299 - "would violate PodSecurity \"restricted:latest\""#)
                    == true)
            let wanted = Self.failure(of: recorded)
            #expect(wanted != nil)
            try await api.wait(for: .deployment, "strict", "psa") { deployment in
                Self.failure(of: deployment) == wanted
                    && Recording.owners(of: deployment).sorted() == Recording.owners(of: recorded).sorted()
            }
        }
    }

    /// The condition that tells of refused pods, without the name's random end.
    static func failure(of deployment: JSON?) -> [String]? {
        let conditions = deployment?.at("status", "conditions")?.array ?? []
        guard let failure = conditions.first(where: { $0["type"] == "ReplicaFailure" }) else { return nil }
        let message = (failure["message"]?.string ?? "").replacing(/-[a-z0-9]{6,10}-[a-z0-9]{5}"/, with: "\"")
        return [failure["status"]?.string ?? "", failure["reason"]?.string ?? "", message]
    }

    @Test("a pod that is forbidden is refused, in a dry run too; one that is not runs")
    func pods() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try namespace(
                [
                    "pod-security.kubernetes.io/enforce": "baseline",
                    "pod-security.kubernetes.io/enforce-version": "v1.30",
                    "pod-security.kubernetes.io/warn": "privileged",
                ], on: api)
            var pod = Self.modest
            pod["metadata"] = ["name": "p"]
            let fine = try await api.request("POST", "/api/v1/namespaces/strict/pods?dryRun=All", body: pod)
            #expect(fine.status == 201)
            pod["spec"]?["hostNetwork"] = true
            for query in ["?dryRun=All", ""] {
                let refused = try await api.request("POST", "/api/v1/namespaces/strict/pods\(query)", body: pod)
                #expect(refused.status == 403)
                #expect(
                    refused.body["message"]?.string
                        == #"pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces "#
                        + "(hostNetwork=true)")
            }
            #expect(api.store.list(.pod, "strict").items.isEmpty)
        }
    }

    @Test("an ephemeral container that is forbidden is refused")
    func ephemeral() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try namespace(["pod-security.kubernetes.io/enforce": "restricted"], on: api)
            var pod = Self.modest
            pod["metadata"] = ["name": "p"]
            let created = try await api.request("POST", "/api/v1/namespaces/strict/pods", body: pod)
            #expect(created.status == 201)
            let added: JSON = ["spec": ["ephemeralContainers": [["name": "e", "image": "e:1"]]]]
            let refused = try await api.request(
                "PATCH", "/api/v1/namespaces/strict/pods/p/ephemeralcontainers",
                headers: ["Content-Type": "application/strategic-merge-patch+json"], body: added)
            #expect(refused.status == 403)
            #expect(refused.body["message"]?.string?.contains(#"(container "e" must set"#) == true)
        }
    }

    @Test("a level that is none is refused where it is named")
    func labels() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let answer = try await api.request(
                "POST", "/api/v1/namespaces",
                body: ["metadata": ["name": "odd", "labels": ["pod-security.kubernetes.io/enforce": "strict"]]])
            #expect(answer.status == 422)
            #expect(
                answer.body["message"]?.string
                    == #"Namespace "odd" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "#
                    + #""strict": must be one of privileged, baseline, restricted"#)
        }
    }
}

extension JSON {
    /// A change of the container's security context.
    fileprivate static func context(_ context: JSON) -> JSON {
        ["spec": ["containers": [["name": "a", "securityContext": context]]]]
    }
}
