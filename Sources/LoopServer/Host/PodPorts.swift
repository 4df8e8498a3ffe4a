internal import Glibc
internal import JSON

/// Which of a pod's ports come to this machine, and what a person should know about that: a pure function of the pod.
struct PodPorts: Equatable, Sendable {
    /// What is carried.
    private(set) var ports: [HostPort] = []
    /// Whether nobody has named a port.
    private(set) var areUndeclared = false
    /// What is not as one might expect, a line each.
    private(set) var notices: [String] = []
    /// What cannot work.
    private(set) var failures: [LoopEvent.Failure] = []

    /// - Parameters:
    ///   - wanted: the ports that `loop.json` names; `nil` is every TCP port that the container declares.
    ///   - pod: the pod, or the workload's template.
    ///   - lowest: the lowest port that a program of this user may listen at.
    init(_ wanted: [HostPort]?, pod: JSON, container name: String, lowest: UInt16 = PodPorts.lowestAllowed()) {
        let spec = pod["spec"] ?? .null
        let all = (spec["containers"]?.array ?? []) + (spec["initContainers"]?.array ?? [])
        let container = all.first { $0["name"]?.string == name } ?? .null
        var declared: [UInt16] = []
        for port in container["ports"]?.array ?? [] {
            guard let number = port["containerPort"]?.integer.flatMap({ UInt16(exactly: $0) }) else { continue }
            switch port["protocol"]?.string ?? "TCP" {
            case "TCP": if !declared.contains(number) { declared.append(number) }
            case let other:
                notices.append("\(other) port \(number) of its pods is not carried: only TCP connections come here")
            }
        }
        if let wanted {
            ports = wanted
            checkDeclared(declared, name)
        } else {
            areUndeclared = declared.isEmpty
            if areUndeclared {
                notices.append(
                    "container \(name) declares no port: its own service goes on beside the program here; in the \"host\""
                        + " section, \"ports\": [8080] brings connections here, and \"ports\": [] only stops it")
            }
            ports = declared.map { HostPort(container: $0, host: usable($0, besides: declared, lowest)) }
        }
        checkAllowed(lowest)
        explain(pod, spec)
    }

    /// The lowest port that a program of this user may listen at.
    static func lowestAllowed() -> UInt16 {
        if geteuid() == 0 { return 1 }
        let text = SmallFile.text("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        return text.flatMap { UInt16($0.prefix { $0.isNumber }) } ?? 1024
    }

    /// The same port here, or one that needs no root.
    private mutating func usable(_ port: UInt16, besides others: [UInt16], _ lowest: UInt16) -> UInt16 {
        guard port < lowest else { return port }
        var other = port + 8000
        while others.contains(other) { other += 1 }
        notices.append(
            "a port below \(lowest) needs root here: the program is to listen at \(other) for the pods' \(port)")
        return other
    }

    private mutating func checkDeclared(_ declared: [UInt16], _ container: String) {
        guard !declared.isEmpty else { return }
        let list = declared.map { "\($0)" }.joined(separator: ", ")
        for port in ports where !declared.contains(port.container) {
            notices.append(
                "container \(container) declares \(list), not \(port.container), whose connections come here all the same"
            )
        }
    }

    private mutating func checkAllowed(_ lowest: UInt16) {
        for port in ports where port.host < lowest {
            failures.append(
                LoopEvent.Failure(
                    "the program may not listen at \(port.host): ports below \(lowest) need root",
                    nextStep: "let it listen at another one, and set \"ports\" in loop.json: "
                        + "{\"container\": \(port.container), \"host\": \(Int(port.host) + 8000)}"))
        }
    }

    private mutating func explain(_ pod: JSON, _ spec: JSON) {
        if spec["hostNetwork"]?.bool == true {
            notices.append(
                "its pods are in the network of their nodes: the ports are the nodes' own, and what the program reaches by"
                    + " loopd's proxy it reaches as the node, so that no network policy applies")
        }
        if let mesh = PodPorts.mesh(pod, spec) {
            notices.append(
                "its pods have a sidecar of \(mesh), which stays in the way of their connections: what it adds or refuses"
                    + " holds for the program here, too")
        }
    }

    /// The service mesh that has put a sidecar into the pod.
    private static func mesh(_ pod: JSON, _ spec: JSON) -> String? {
        let containers = (spec["containers"]?.array ?? []) + (spec["initContainers"]?.array ?? [])
        let names = Set(containers.compactMap { $0["name"]?.string })
        let known = [
            ("istio-proxy", "Istio"), ("linkerd-proxy", "Linkerd"), ("kuma-sidecar", "Kuma"),
            ("consul-dataplane", "Consul"), ("envoy-sidecar", "Envoy"), ("osm-envoy", "Open Service Mesh"),
        ]
        return known.first { names.contains($0.0) }?.1
    }
}
