import JSON
import Testing
import Watcher

@testable import LoopServer

@Suite("Which services run on this machine") struct HostChoiceTests {
    private static func configuration(_ services: String) throws -> Configuration {
        let (configuration, problems) = Configuration.parse(
            Array("{\"services\": {\(services)}}".utf8), file: "loop.json", directory: "/p")
        #expect(problems == [])
        return try #require(configuration)
    }

    private static let services = """
        "web": {"workload": "deployment/web", "host": {"command": ["a"], "build": ["make"], "watch": ["src/**"]},
          "rules": [{"watch": ["x"], "sync": {"to": "/x"}}]},
        "api": {"workload": "deployment/api", "rules": [{"watch": ["x"], "sync": {"to": "/x"}}]},
        "tool": {"host": ["t"]},
        "job": {"workload": "job/j"},
        "pods": {"selector": "a=b"},
        "side": {"workload": "deployment/web", "container": "side", "dev": true}
        """

    private static func choice(_ services: String..., command: [String] = []) -> HostChoice {
        var choice = HostChoice()
        choice.services = services
        choice.command = command
        return choice
    }

    @Test("a chosen service is in dev mode and has no rules; the others are as they were")
    func chosen() throws {
        let before = try HostChoiceTests.configuration(HostChoiceTests.services)
        var choice = HostChoiceTests.choice("web", "tool")
        choice.replicas = .one
        choice.fallback = .pod
        let after = try before.hosting(choice, running: ["web", "tool"])
        #expect(after.services[0].isOnHost && after.services[0].rules.isEmpty && after.services[0].dev == DevMode())
        #expect(after.services[0].host?.replicas == .one && after.services[0].host?.fallback == .pod)
        #expect(after.services[0].host?.command == ["a"])
        #expect(after.services[1] == before.services[1])
        // What is in no pod changes none.
        #expect(after.services[2].isOnHost && after.services[2].dev == nil)
        #expect(try before.hosting(HostChoice()) == before)
    }

    @Test("a program of the command line takes the place of the file's, and needs none there")
    func program() throws {
        let before = try HostChoiceTests.configuration(HostChoiceTests.services)
        let api = try before.hosting(HostChoiceTests.choice("api", command: ["b", "c"])).services[1]
        #expect(api.host?.command == ["b", "c"] && api.host?.directory == "/p" && api.isOnHost)
        let web = try before.hosting(HostChoiceTests.choice("web", command: ["b"]), running: ["web"]).services[0]
        #expect(web.host?.command == ["b"] && web.host?.build == "web/host")
    }

    @Test(
        "what cannot run here is refused with what to do",
        arguments: [
            ("api", [], "\"api\" has no \"host\" in loop.json", "loopd run api -- PROGRAM"),
            ("job", ["x"], "\"job\" is a job", "a Deployment of the same pod template"),
            ("pods", ["x"], "\"pods\" has a selector", "give it a \"workload\""),
            ("web", [], "services \"web\" and \"side\" are containers of one workload", "loopd run web"),
        ])
    func refused(service: String, command: [String], message: String, hint: String) throws {
        let before = try HostChoiceTests.configuration(HostChoiceTests.services)
        let refusal = #expect(throws: HostChoice.Refusal.self) {
            try before.hosting(HostChoiceTests.choice(service, command: command))
        }
        #expect(refusal?.message.contains(message) == true, "\(refusal as Any)")
        #expect(refusal?.hint.contains(hint) == true, "\(refusal as Any)")
    }

    @Test("a change concerns a service by its patterns, and the folder that is compared anew by what lies there")
    func concerned() throws {
        let after = try HostChoiceTests.configuration(HostChoiceTests.services)
            .hosting(HostChoiceTests.choice("web", "tool"), running: ["web", "tool"])
        let web = try #require(HostPlan(after.services[0], project: "/p"))
        func changes(_ path: String) -> ChangeSet { ChangeSet(paths: [RelativePath(path)]) }
        #expect(web.isConcerned(by: changes("src/a/b.c")))
        #expect(!web.isConcerned(by: changes("srcs/b.c")))
        #expect(web.isConcerned(by: ChangeSet(paths: [], rescan: [RelativePath("src/a")])))
        #expect(web.isConcerned(by: ChangeSet(paths: [], rescan: [.root])))
        #expect(!web.isConcerned(by: ChangeSet(paths: [], rescan: [RelativePath("other")])))
        #expect(web.isStartedByChanges)
        let tool = try #require(HostPlan(after.services[2], project: "/p"))
        #expect(!tool.isStartedByChanges)
        #expect(HostPlan(after.services[1], project: "/p") == nil)
        // A build asks for the start; what has none starts by itself.
        let plan = BuildPlan(after.builds, plans: [], hosts: [web, tool], project: "/p")
        #expect(plan.builds.map(\.name) == ["web/host"])
        #expect(plan.builds(for: changes("src/x")) == [0])
        #expect(plan.hosts(after: "web/host") == ["web"])
        #expect(plan.hosts() == ["tool"])
        #expect(plan.hosts(for: changes("src/x")) == [])
        #expect(plan.services(using: 0) == ["web"])
    }
}

@Suite("The ports of pods that come to this machine") struct PodPortsTests {
    private static func pod(_ ports: JSON, more: JSON = [:], others: [String] = []) -> JSON {
        var spec: JSON = more
        spec["containers"] = .array(
            [["name": "web", "ports": ports]] + others.map { ["name": .string($0)] })
        return ["spec": spec]
    }

    private static func found(_ pod: JSON, _ wanted: [HostPort]? = nil, lowest: UInt16 = 1024) -> PodPorts {
        PodPorts(wanted, pod: pod, container: "web", lowest: lowest)
    }

    @Test("every declared TCP port is carried, those that need root to another one; of UDP that is said")
    func declared() {
        let found = PodPortsTests.found(
            PodPortsTests.pod([
                ["containerPort": 8080], ["containerPort": 80, "protocol": "TCP"],
                ["containerPort": 53, "protocol": "UDP"], ["containerPort": 8080],
            ]))
        #expect(found.ports == [HostPort(container: 8080, host: 8080), HostPort(container: 80, host: 8081)])
        #expect(found.notices.count == 2)
        #expect(found.notices.contains { $0.hasPrefix("UDP port 53 of its pods is not carried") })
        #expect(found.notices.contains { $0.contains("listen at 8081 for the pods' 80") })
        #expect(found.failures.isEmpty && !found.areUndeclared)
        let asRoot = PodPortsTests.found(PodPortsTests.pod([["containerPort": 80]]), lowest: 1)
        #expect(asRoot.ports == [HostPort(container: 80, host: 80)] && asRoot.notices.isEmpty)
    }

    @Test("ports that the file names are carried as it says, with a word where the container does not know them")
    func wanted() {
        let wanted = [HostPort(container: 9090, host: 9090), HostPort(container: 80, host: 80)]
        let found = PodPortsTests.found(PodPortsTests.pod([["containerPort": 80]]), wanted)
        #expect(found.ports == wanted)
        #expect(found.notices == ["container web declares 80, not 9090, whose connections come here all the same"])
        #expect(found.failures.map(\.summary) == ["the program may not listen at 80: ports below 1024 need root"])
        #expect(found.failures[0].nextStep?.contains("{\"container\": 80, \"host\": 8080}") == true)
        #expect(PodPortsTests.found(PodPortsTests.pod([]), wanted, lowest: 1).notices.isEmpty)
    }

    @Test("no declared port, a node's network and a service mesh are said")
    func explained() {
        let undeclared = PodPortsTests.found(PodPortsTests.pod([]))
        #expect(undeclared.areUndeclared && undeclared.notices.count == 1)
        #expect(undeclared.notices[0].contains("container web declares no port"))
        #expect(!PodPortsTests.found(PodPortsTests.pod([]), []).areUndeclared)
        let onNode = PodPortsTests.found(PodPortsTests.pod([["containerPort": 8080]], more: ["hostNetwork": true]))
        #expect(onNode.notices.count == 1 && onNode.notices[0].contains("network of their nodes"))
        let meshed = PodPortsTests.found(PodPortsTests.pod([["containerPort": 8080]], others: ["istio-proxy"]))
        #expect(meshed.notices.count == 1 && meshed.notices[0].contains("sidecar of Istio"))
    }
}
