import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

/// Tokens of service accounts.
///
/// Not shown here: that one may do what the account may, because the playground asks nobody who they are.
@Suite("Tokens of service accounts", .timeLimit(.minutes(5)))
struct ServiceAccountTokenTests {
    private static let path = "/api/v1/namespaces/default/serviceaccounts"

    private static func request(_ spec: JSON) -> JSON {
        ["apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec]
    }

    /// The second part of a JWT.
    private static func claims(_ token: String?) throws -> JSON {
        let parts = (token ?? "").split(separator: ".", omittingEmptySubsequences: false)
        try #require(parts.count == 3)
        var text = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        while text.utf8.count % 4 != 0 { text += "=" }
        return try JSON(parsing: try #require(HTTP.Base64.decode(text)))
    }

    private static func with(_ body: @escaping @Sendable (RunningAPI) async throws -> Void) async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try await api.wait(for: .serviceAccount, "default", "default") { $0 != nil }
            try await body(api)
        }
    }

    @Test("a token says for whom, for how long and with which pod it is good")
    func token() async throws {
        try await Self.with { api in
            let pod: JSON = ["metadata": ["name": "web"], "spec": ["containers": [["name": "c", "image": "i"]]]]
            let made = try await api.request("POST", "/api/v1/namespaces/default/pods", body: pod)
            let uid = try #require(made.body.at("metadata", "uid")?.string)
            let reference: JSON = ["kind": "Pod", "apiVersion": "v1", "name": "web", "uid": .string(uid)]
            let answer = try await api.request(
                "POST", "\(Self.path)/default/token",
                body: Self.request(["audiences": ["vault"], "expirationSeconds": 1200, "boundObjectRef": reference]))
            #expect(answer.status == 201)
            #expect(answer.body["kind"] == "TokenRequest" && answer.body["apiVersion"] == "authentication.k8s.io/v1")
            #expect(answer.body.at("metadata", "name") == "default")
            #expect(
                answer.body["spec"] == ["audiences": ["vault"], "expirationSeconds": 1200, "boundObjectRef": reference])
            let claims = try Self.claims(answer.body.at("status", "token")?.string)
            #expect(claims["sub"] == "system:serviceaccount:default:default" && claims["aud"] == ["vault"])
            #expect(claims.at("kubernetes.io", "pod") == ["name": "web", "uid": .string(uid)])
            let end = try #require(answer.body.at("status", "expirationTimestamp")?.string.flatMap { Timestamp($0) })
            #expect(claims["exp"]?.integer == Int64(end.seconds))
            #expect((claims["exp"]?.integer ?? 0) - (claims["iat"]?.integer ?? 0) == 1200)
        }
    }

    @Test("without a wish it is good for the API, for an hour")
    func usual() async throws {
        try await Self.with { api in
            let answer = try await api.request("POST", "\(Self.path)/default/token", body: Self.request([:]))
            #expect(answer.body.at("spec", "expirationSeconds") == 3600)
            let claims = try Self.claims(answer.body.at("status", "token")?.string)
            #expect(claims["aud"] == ["https://kubernetes.default.svc.cluster.local"])
            #expect(claims.at("kubernetes.io", "pod") == nil)
        }
    }

    private static let refusals: [(account: String, spec: JSON, code: Int, message: String)] = [
        ("none", [:], 404, "serviceaccounts \"none\" not found"),
        (
            "default", ["expirationSeconds": 60], 422,
            "TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: Invalid value: 60: "
                + "may not specify a duration less than 10 minutes"
        ),
        ("default", ["boundObjectRef": ["kind": "Pod", "name": "gone"]], 404, "pods \"gone\" not found"),
        (
            "default", ["boundObjectRef": ["kind": "Pod", "name": "web", "uid": "another"]], 409,
            "the UID in the bound object reference (another) does not match the UID in record"
        ),
        (
            "robot", ["boundObjectRef": ["kind": "Pod", "name": "web"]], 400,
            "cannot bind token for serviceaccount \"robot\" to pod running with different serviceaccount name."
        ),
    ]

    @Test("what a real cluster refuses is refused in its words", arguments: refusals)
    func refusal(account: String, spec: JSON, code: Int, message: String) async throws {
        try await Self.with { api in
            _ = try await api.request("POST", Self.path, body: ["metadata": ["name": "robot"]])
            let pod: JSON = ["metadata": ["name": "web"], "spec": ["containers": [["name": "c", "image": "i"]]]]
            _ = try await api.request("POST", "/api/v1/namespaces/default/pods", body: pod)
            let answer = try await api.request("POST", "\(Self.path)/\(account)/token", body: Self.request(spec))
            #expect(answer.status == code)
            #expect(answer.body["message"]?.string?.contains(message) == true, "\(answer.body.text)")
        }
    }

    @Test("kubectl create token prints one", .enabled(if: RunningAPI.hasKubectl))
    func kubectl() async throws {
        try await Self.with { api in
            let output = try await api.kubectl("create", "token", "default", "--duration=15m")
            #expect(output.status.isSuccess, "\(output.errorText)")
            let claims = try Self.claims(output.text.split(separator: "\n").first.map(String.init))
            #expect((claims["exp"]?.integer ?? 0) - (claims["iat"]?.integer ?? 0) == 900)
        }
    }
}
