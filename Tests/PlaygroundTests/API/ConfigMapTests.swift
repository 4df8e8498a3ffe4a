import HTTP
import JSON
import Testing

@testable import Playground

/// ConfigMaps that carry programs, and patches that carry conditions.
struct ConfigMapTests {
    private static let path = "/api/v1/namespaces/default/configmaps"

    private static func map(_ size: Int) -> JSON {
        let text = JSON.string(HTTP.Base64.encode(Array(repeating: 7, count: size)))
        return ["metadata": ["name": "program"], "binaryData": ["program": text], "immutable": true]
    }

    @Test("a ConfigMap holds a program of 700 kB, and not more than 1 MiB")
    func size() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let large = try await api.request("POST", Self.path, body: Self.map(1_048_577))
            #expect(large.status == 422)
            #expect(
                large.body["message"]
                    == #"ConfigMap "program" is invalid: []: Too long: may not be more than 1048576 bytes"#)
            #expect(try await api.request("POST", Self.path, body: Self.map(700_000)).status == 201)
        }
    }

    @Test("what is immutable stays, and what is no Base64 does not come in")
    func content() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            #expect(try await api.request("POST", Self.path, body: Self.map(10)).status == 201)
            for body: JSON in [["binaryData": ["program": "AAAA"]], ["immutable": false], ["data": ["a": "1"]]] {
                let answer = try await api.request(
                    "PATCH", "\(Self.path)/program", headers: ["Content-Type": "application/merge-patch+json"],
                    body: body)
                #expect(answer.status == 422)
                #expect(
                    answer.body["message"]?.string?.hasSuffix(
                        "Forbidden: field is immutable when `immutable` is set") == true, "\(body.text)")
            }
            let illegal = try await api.request(
                "POST", Self.path, body: ["metadata": ["name": "odd"], "binaryData": ["a": "?"]])
            #expect(illegal.body["message"]?.string?.contains("illegal base64 data") == true)
        }
    }

    @Test("a JSON patch goes through while its test holds, and names the one that fails")
    func conditions() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let created = try await api.request(
                "POST", Self.path,
                body: ["metadata": ["name": "program", "annotations": ["a/b": "1"]], "data": ["x": "1"]])
            let version = try #require(created.body.at("metadata", "resourceVersion"))
            let patch: JSON = [
                ["op": "test", "path": "/metadata/resourceVersion", "value": version],
                ["op": "remove", "path": "/metadata/annotations/a~1b"],
                ["op": "add", "path": "/metadata/annotations/c~1d", "value": "2"],
            ]
            func send() async throws -> (status: Int, body: JSON) {
                let answer = try await api.request(
                    "PATCH", "\(Self.path)/program", headers: ["Content-Type": "application/json-patch+json"],
                    body: patch)
                return (answer.status, answer.body)
            }
            let first = try await send()
            #expect(first.status == 200)
            #expect(first.body.at("metadata", "annotations") == ["c/d": "2"])
            let second = try await send()
            #expect(second.status == 422)
            #expect(second.body["reason"] == "Invalid")
            #expect(second.body["message"] == "the server rejected our request due to an error in our request")
            #expect(
                second.body.at("details", "causes")?[0]?["message"]
                    == "testing value /metadata/resourceVersion failed: test failed")
        }
    }
}
