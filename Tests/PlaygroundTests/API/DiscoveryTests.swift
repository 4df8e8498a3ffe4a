import HTTP
import JSON
import Testing

@testable import Playground

/// What the API says about itself, beside what a real cluster says.
@Suite("Discovery") struct DiscoveryTests {
    private static func recorded(_ name: String) throws -> JSON {
        try JSON(parsing: try #require(FileTree.read("\(Recording.folder)/\(name).json")))
    }

    private static func named(_ list: JSON?) -> [String: JSON] {
        Dictionary((list?.array ?? []).map { ($0["name"]?.string ?? "", $0) }) { first, _ in first }
    }

    @Test("the versions of the core group are as recorded, at the playground's own address")
    func versions() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            var recorded = try Self.recorded("api")
            let answer = try await api.request("GET", "/api").body
            let port = api.address.url.split(separator: "/")[1].split(separator: ":")[1]
            recorded["serverAddressByClientCIDRs"] = [
                ["clientCIDR": "0.0.0.0/0", "serverAddress": .string("127.0.0.1:\(port)")]
            ]
            #expect(answer == recorded)
        }
    }

    @Test("every group is one of the recorded ones, in their order and with the version that they prefer")
    func groups() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let recorded = try Self.recorded("apis")
            let answer = try await api.request("GET", "/apis").body
            #expect(answer.object?.keys == recorded.object?.keys)
            let groups = answer["groups"]?.array ?? []
            let names = groups.compactMap { $0["name"]?.string }
            #expect(names.contains("apps") && names.contains("batch"))
            let order = (recorded["groups"]?.array ?? []).compactMap { $0["name"]?.string }
            #expect(names == order.filter(names.contains))
            let known = Self.named(recorded["groups"])
            for group in groups {
                let other = known[group["name"]?.string ?? ""]
                #expect(group.object?.keys == other?.object?.keys)
                #expect(group["preferredVersion"] == other?["preferredVersion"])
                // An older version that is no kind's only one is left out.
                #expect(group["versions"]?[0] == other?["versions"]?[0])
            }
        }
    }

    @Test(
        "the kinds of a group are as recorded, but for those that are left out", arguments: ["api-v1", "apis-apps-v1"])
    func kinds(recording: String) async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let recorded = try Self.recorded(recording)
            let answer = try await api.request("GET", recording == "api-v1" ? "/api/v1" : "/apis/apps/v1").body
            #expect(answer["groupVersion"] == recorded["groupVersion"] && answer["kind"] == recorded["kind"])
            let known = Self.named(recorded["resources"])
            let resources = answer["resources"]?.array ?? []
            #expect(resources.count > 8)
            for resource in resources {
                let name = resource["name"]?.string ?? ""
                var other = known[name]
                other?["storageVersionHash"] = nil
                if RefusedKind.all.contains(where: { $0.plural == name }) {
                    #expect(resource["kind"] == other?["kind"] && resource["namespaced"] == other?["namespaced"])
                } else {
                    #expect(resource == other, "\(name)")
                }
            }
        }
    }
}
