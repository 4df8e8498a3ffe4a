import JSON
import Testing

@testable import Playground

@Suite("Addresses of pods and Services")
struct AddressTests {
    @Test(
        "text that is no IPv4 address makes none",
        arguments: ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "a.b.c.d", "1.2.3.-4", "1..2.3"])
    func noAddress(_ text: String) { #expect(IPv4(text) == nil) }

    @Test("an address is the same after a round trip through its text")
    func roundTrip() {
        for value in [0, 1, 0x0AF4_0001, 0xFFFF_FFFF] as [UInt32] {
            #expect(IPv4(IPv4(value: value).description)?.value == value)
        }
        #expect(IPv4(10, 244, 0, 1).description == "10.244.0.1")
        #expect(IPv4(10, 244, 0, 1).bytes == [10, 244, 0, 1])
    }

    @Test("every address of the network but the gateway's is given once, and one given back comes last")
    func pool() {
        var pool = AddressPool(IPv4Network(address: IPv4(10, 0, 0, 0), prefix: 29))
        func take(_ owner: String) -> String? { pool.take(for: owner)?.description }
        let all = (0..<5).map { take("\($0)") }
        #expect(all == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"])
        #expect(take("late") == nil)
        pool.giveBack("3")
        pool.giveBack("1")
        #expect(take("next") == "10.0.0.3")
        #expect(take("after") == "10.0.0.5")
    }

    @Test("an address that a pod had is given to nobody else")
    func adopted() {
        var pool = AddressPool(IPv4Network(address: IPv4(10, 0, 0, 0), prefix: 29))
        func take(_ address: IPv4, _ owner: String) -> Bool { pool.take(address, for: owner) }
        #expect(take(IPv4(10, 0, 0, 2), "old"))
        #expect(take(IPv4(10, 0, 0, 2), "old"))
        #expect(!take(IPv4(10, 0, 0, 2), "other"))
        let next = pool.take(for: "new")
        #expect(next?.description == "10.0.0.3")
        // The gateway's, the network's, and a foreign one.
        for address in [IPv4(10, 0, 0, 1), IPv4(10, 0, 0, 0), IPv4(127, 0, 0, 1)] {
            #expect(!take(address, "pod"))
        }
    }

    private func service(_ spec: JSON, uid: String = "new") -> JSON {
        var spec = spec
        ServiceAdmission.defaults(&spec)
        return ["metadata": ["name": "web", "uid": .string(uid)], "spec": spec]
    }

    @Test("a Service gets an address of the range and, if it wants one, a node port that nobody has")
    func allocation() throws {
        var taken: [JSON] = []
        for index in 0..<300 {
            var object = service(["type": "NodePort", "ports": [["port": 80]]], uid: "\(index)")
            try ServiceAddresses(taken).complete(&object)
            taken.append(object)
        }
        let addresses = taken.compactMap { $0.at("spec", "clusterIP")?.string.flatMap { IPv4($0) } }
        #expect(Set(addresses).count == 300)
        #expect(
            addresses.allSatisfy {
                ServiceAddresses.range.hosts.contains($0.value) && $0 != ServiceAddresses.nameServer
            })
        let ports = taken.compactMap { $0.at("spec", "ports")?[0]?["nodePort"]?.integer }
        #expect(Set(ports).count == 300)
        #expect(ports.allSatisfy { (30000...32767).contains($0) })
        #expect(taken.allSatisfy { $0.at("spec", "clusterIPs") == .array([$0.at("spec", "clusterIP") ?? ""]) })
    }

    @Test("an address or port that another Service has, or that is out of range, is refused")
    func refusals() throws {
        let other = service(["clusterIP": "10.96.0.7", "ports": [["port": 80, "nodePort": 30007]]], uid: "other")
        let addresses = ServiceAddresses([other])
        for (spec, message) in [
            (["clusterIP": "10.96.0.7"], "failed to allocate IP 10.96.0.7: provided IP is already allocated"),
            (["clusterIP": "10.96.0.10"], "failed to allocate IP 10.96.0.10: provided IP is already allocated"),
            (
                ["clusterIP": "1.2.3.4"],
                "the provided IP (1.2.3.4) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
            ),
            (["type": "NodePort", "ports": [["port": 1, "nodePort": 30007]]], "provided port is already allocated"),
            (["type": "NodePort", "ports": [["port": 1, "nodePort": 80]]], "The range of valid ports is 30000-32767"),
        ] as [(JSON, String)] {
            var object = service(spec)
            #expect { try addresses.complete(&object) } throws: { "\($0)".contains(message) }
        }
        // Its own are no obstacle to a Service that is changed.
        var same = other
        try addresses.complete(&same, uid: "other")
        #expect(same.at("spec", "clusterIP") == "10.96.0.7")
    }
}
