import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

@Suite("Services in the API", .enabled(if: RunningAPI.hasKubectl, "kubectl is not installed"), .timeLimit(.minutes(5)))
struct ServiceTests {
    private static let path = "/api/v1/namespaces/default/services"

    private func create(_ name: String, _ spec: JSON, on api: RunningAPI) async throws -> (status: Int, body: JSON) {
        let answer = try await api.request(
            "POST", Self.path, body: ["metadata": ["name": .string(name)], "spec": spec])
        return (answer.status, answer.body)
    }

    @Test("a Service comes out as recorded from a real cluster")
    func recorded() async throws {
        let recorded = try #require(try Fixture.json("objects/services.json")["items"]?[1])
        try await RunningAPI.with { api in
            let manifest: JSON = [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "no-endpoints"],
                "spec": ["selector": ["app": "typo"], "ports": [["port": 80, "targetPort": 8080]]],
            ]
            let output = try await api.kubectl("apply", "-f", "-", input: manifest.text)
            #expect(output.text == "service/no-endpoints created\n", "\(output.errorText)")
            let service = try #require(api.store.get(.service, "default", "no-endpoints"))
            var (spec, expected) = (service["spec"] ?? [:], recorded["spec"] ?? [:])
            let address = try #require(spec["clusterIP"]?.string.flatMap { IPv4($0) })
            #expect(ServiceAddresses.range.hosts.contains(address.value))
            for field in ["clusterIP", "clusterIPs"] { (spec[field], expected[field]) = ("", "") }
            #expect(spec.text == expected.text)
            #expect(service["status"] == recorded["status"])
            #expect(Recording.owners(of: service) == Recording.owners(of: recorded))
            try await api.wait(for: .endpoints, "default", "no-endpoints") { $0 != nil }
            let slices = try Fixture.json("objects/endpointslices.json")["items"]?[1]
            let slice = try #require(api.store.list(.endpointSlice, "default").items.first)
            #expect(Array(slice.object?.keys ?? []).suffix(3) == ["addressType", "endpoints", "ports"])
            for field in ["addressType", "endpoints", "ports"] { #expect(slice[field] == slices?[field]) }
            #expect(slice.at("metadata", "labels") == slices?.at("metadata", "labels"))
            #expect(slice.at("metadata", "generation") == 1)
            let unchanged = try await api.kubectl("apply", "-f", "-", input: manifest.text)
            #expect(unchanged.text == "service/no-endpoints unchanged\n", "\(unchanged.errorText)")
            #expect(try await api.kubectl("delete", "service", "no-endpoints").status.isSuccess)
            for kind in [ResourceKind.endpoints, .endpointSlice] {
                while !api.store.list(kind, "default").items.isEmpty { try await Task.sleep(for: .milliseconds(10)) }
            }
        }
    }

    @Test(
        "what a Service may not say is refused in Kubernetes' words",
        arguments: [
            ([:], "spec.ports: Required value"),
            (["ports": [["port": 0]]], "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"),
            (["ports": [["port": 1], ["port": 2]]], "spec.ports[0].name: Required value"),
            (
                ["ports": [["name": "a", "port": 1], ["name": "a", "port": 2]]],
                "spec.ports[1].name: Duplicate value: \"a\""
            ),
            (
                ["ports": [["port": 1, "protocol": "ICMP"]]],
                "spec.ports[0].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\""
            ),
            (
                ["type": "Other", "ports": [["port": 1]]],
                "spec.type: Unsupported value: \"Other\": supported values: \"ClusterIP\", \"ExternalName\", "
                    + "\"LoadBalancer\", \"NodePort\""
            ),
            (["type": "ExternalName"], "spec.externalName: Required value"),
            (
                ["clusterIP": "x", "ports": [["port": 1]]],
                "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ),
            (
                ["sessionAffinity": "ClientIP", "ports": [["port": 1]]],
                "spec.sessionAffinity: Forbidden: the playground does not serve ClientIP affinity yet"
            ),
        ] as [(JSON, String)])
    func invalid(_ spec: JSON, _ message: String) async throws {
        var spec = spec
        ServiceAdmission.defaults(&spec)
        #expect(ServiceAdmission.check(spec).map(\.description).contains(message))
    }

    @Test(
        "a name that begins with a digit is refused, an address does not change, and a change that is silent of it keeps it"
    )
    func changes() async throws {
        try await RunningAPI.with { api in
            let bad = try await create("1web", ["ports": [["port": 80]]], on: api)
            #expect(bad.status == 422)
            #expect(bad.body["message"]?.string?.contains("a DNS-1035 label must consist of") == true)
            let made = try await create("web", ["type": "NodePort", "ports": [["port": 80]]], on: api)
            #expect(made.status == 201)
            let address = made.body.at("spec", "clusterIP")
            let nodePort = made.body.at("spec", "ports")?[0]?["nodePort"]
            #expect(nodePort?.integer != nil)
            let again = try await api.request(
                "PUT", "\(Self.path)/web",
                body: [
                    "metadata": ["name": "web"],
                    "spec": ["type": "NodePort", "ports": [["port": 80, "targetPort": 81]]],
                ])
            #expect(again.status == 200, "\(again.body)")
            #expect(again.body.at("spec", "clusterIP") == address)
            #expect(again.body.at("spec", "ports")?[0]?["nodePort"] == nodePort)
            let moved = try await api.kubectl(
                "patch", "service", "web", "--type=merge", "-p", #"{"spec":{"clusterIP":"10.96.9.9"}}"#)
            #expect(moved.errorText.contains("may not change once set"), "\(moved.errorText)")
            let plain = try await api.kubectl(
                "patch", "service", "web", "--type=merge", "-p", #"{"spec":{"type":"ClusterIP"}}"#)
            #expect(plain.status.isSuccess, "\(plain.errorText)")
            #expect(api.store.get(.service, "default", "web")?.at("spec", "ports")?[0]?["nodePort"] == nil)
            let applied = try await api.kubectl(
                "apply", "--server-side", "--force-conflicts", "-f", "-",
                input:
                    #"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80,"targetPort":82}]}}"#
            )
            #expect(applied.status.isSuccess, "\(applied.errorText)")
            #expect(api.store.get(.service, "default", "web")?.at("spec", "clusterIP") == address)
        }
    }

    @Test("endpoints follow the pods: as they become ready, and as they go")
    func endpointsFollow() async throws {
        try await RunningAPI.with { api in
            for command in [
                ["create", "deployment", "web", "--image=host", "--replicas=2", "--port=8080"],
                ["expose", "deployment", "web", "--port=80", "--target-port=8080"],
            ] {
                let output = try await api.kubectl(command)
                #expect(output.status.isSuccess, "\(output.errorText)")
            }
            func ready(_ slice: JSON) -> [Bool] {
                (slice["endpoints"]?.array ?? []).map { $0.at("conditions", "ready") == true }
            }
            try await api.wait(for: .endpoints, "default", "web") { object in
                (object?.at("subsets")?[0]?["addresses"]?.array ?? []).count == 2
            }
            while api.store.list(.endpointSlice, "default").items.map(ready) != [[true, true]] {
                try await Task.sleep(for: .milliseconds(10))
            }
            let slice = try #require(api.store.list(.endpointSlice, "default").items.first)
            #expect(slice["ports"] == [["name": "", "protocol": "TCP", "port": 8080]])
            let reference = slice["endpoints"]?[0]?["targetRef"]
            #expect(reference?["kind"] == "Pod" && reference?["name"]?.string?.hasPrefix("web-") == true)
            #expect(try await api.kubectl("scale", "deployment", "web", "--replicas=0").status.isSuccess)
            try await api.wait(for: .endpoints, "default", "web") { $0?["subsets"] == nil }
            let table = try await api.kubectl("get", "endpoints,services", "--no-headers")
            #expect(table.text.contains("endpoints/web   <none>"), "\(table.text)")
            #expect(table.text.contains("80/TCP"), "\(table.text)")
            #expect(try await api.kubectl("create", "namespace", "shop").status.isSuccess)
            #expect(
                try await api.kubectl("create", "service", "clusterip", "db", "--tcp=1:1", "-n", "shop").status
                    .isSuccess)
            #expect(try await api.kubectl("delete", "namespace", "shop", "--timeout=60s").status.isSuccess)
            #expect(api.store.list(.service, "shop").items.isEmpty)
        }
    }

    @Test("Endpoints that are written by hand become an EndpointSlice, and go with it; loopback addresses are refused")
    func byHand() async throws {
        try await RunningAPI.with { api in
            let made = try await create("far", ["ports": [["port": 80]]], on: api)
            #expect(made.status == 201)
            func endpoints(_ address: String) -> JSON {
                [
                    "metadata": ["name": "far"],
                    "subsets": [["addresses": [["ip": .string(address)]], "ports": [["port": 8080]]]],
                ]
            }
            let path = "/api/v1/namespaces/default/endpoints"
            let refused = try await api.request("POST", path, body: endpoints("127.0.0.1"))
            #expect(refused.status == 422)
            #expect(refused.body["message"]?.string?.contains("may not be in the loopback range") == true)
            #expect(try await api.request("POST", path, body: endpoints("10.1.2.3")).status == 201)
            let wanted = ServiceEndpoint(address: IPv4(10, 1, 2, 3), isReady: true, hostname: nil, ports: ["": 8080])
            while ServiceEndpoint.of("default", "far", in: api.store) != [wanted] {
                try await Task.sleep(for: .milliseconds(10))
            }
            let table = try await api.kubectl("get", "endpointslices", "--no-headers")
            #expect(table.text.contains("IPv4   8080   10.1.2.3"), "\(table.text)")
            #expect(try await api.kubectl("delete", "endpoints", "far").status.isSuccess)
            while !api.store.list(.endpointSlice, "default").items.isEmpty {
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }

    @Test("a pod's variables name the Services of its namespace, as the kubelet writes them")
    func variables() {
        let service: JSON = [
            "metadata": ["name": "my-web"],
            "spec": [
                "clusterIP": "10.96.1.2",
                "ports": [
                    ["name": "http", "port": 80, "protocol": "TCP"], ["name": "dns", "port": 53, "protocol": "UDP"],
                ],
            ],
        ]
        let headless: JSON = ["metadata": ["name": "db"], "spec": ["clusterIP": "None", "ports": [["port": 1]]]]
        let text = ServiceVariables.of([service, headless]).map { "\($0.name)=\($0.value)" }.joined(separator: "\n")
        #expect(
            text == """
                MY_WEB_SERVICE_HOST=10.96.1.2
                MY_WEB_SERVICE_PORT=80
                MY_WEB_SERVICE_PORT_HTTP=80
                MY_WEB_SERVICE_PORT_DNS=53
                MY_WEB_PORT=tcp://10.96.1.2:80
                MY_WEB_PORT_80_TCP=tcp://10.96.1.2:80
                MY_WEB_PORT_80_TCP_PROTO=tcp
                MY_WEB_PORT_80_TCP_PORT=80
                MY_WEB_PORT_80_TCP_ADDR=10.96.1.2
                MY_WEB_PORT_53_UDP=udp://10.96.1.2:53
                MY_WEB_PORT_53_UDP_PROTO=udp
                MY_WEB_PORT_53_UDP_PORT=53
                MY_WEB_PORT_53_UDP_ADDR=10.96.1.2
                """)
    }
}
