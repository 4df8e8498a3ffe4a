internal import Glibc
internal import JSON

/// What is there from the beginning: the permanent namespaces, and the node.
enum Bootstrap {
    /// `address` is where pods reach the node.
    static func prepare(_ store: ObjectStore, node: String, address: String) throws {
        for name in APIServer.permanentNamespaces where store.get(.namespace, nil, name) == nil {
            var namespace: JSON = ["metadata": ["name": .string(name)]]
            Defaults.begin(&namespace, .namespace)
            Defaults.apply(to: &namespace, .namespace)
            _ = try store.create(.namespace, namespace, by: FieldManager(name: "kube-apiserver"))
        }
        let status = nodeStatus(node, address)
        if store.get(.node, nil, node) == nil {
            let labels: JSON = [
                "beta.kubernetes.io/arch": .string(architecture), "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": .string(architecture), "kubernetes.io/hostname": .string(node),
                "kubernetes.io/os": "linux",
            ]
            _ = try store.create(
                .node,
                [
                    "metadata": ["name": .string(node), "labels": labels], "spec": [:], "status": status,
                ], by: .kubelet)
        } else {
            try store.modify(.node, nil, node, part: .status, by: .kubelet) { $0["status"] = status }
        }
    }

    private static var machine: utsname {
        var machine = utsname()
        uname(&machine)
        return machine
    }

    private static func text<Field>(_ field: Field) -> String {
        withUnsafeBytes(of: field) { bytes in String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static var architecture: String {
        switch text(machine.machine) {
        case "x86_64": "amd64"
        case "aarch64": "arm64"
        case let other: other
        }
    }

    private static func nodeStatus(_ node: String, _ address: String) -> JSON {
        let memory = "\(sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) / 1024)Ki"
        let amounts: JSON = [
            "cpu": .string(String(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))), "ephemeral-storage": .string(storage),
            "hugepages-1Gi": "0", "hugepages-2Mi": "0", "memory": .string(memory), "pods": "110",
        ]
        let now = JSON.string(Timestamp.now.description)
        func condition(_ type: String, _ status: String, _ reason: String, _ message: String) -> JSON {
            [
                "type": .string(type), "status": .string(status), "lastHeartbeatTime": now, "lastTransitionTime": now,
                "reason": .string(reason), "message": .string(message),
            ]
        }
        return [
            "capacity": amounts, "allocatable": amounts,
            "conditions": [
                condition(
                    "MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
            ],
            "addresses": [
                ["type": "InternalIP", "address": .string(address)], ["type": "Hostname", "address": .string(node)],
            ],
            "daemonEndpoints": ["kubeletEndpoint": ["Port": 0]],
            "nodeInfo": [
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": .string(text(machine.release)),
                "osImage": .string(systemName), "containerRuntimeVersion": "runc://playground",
                "kubeletVersion": Discovery.version["gitVersion"] ?? "", "kubeProxyVersion": "",
                "operatingSystem": "linux", "architecture": .string(architecture),
            ],
        ]
    }

    private static var storage: String {
        var space = statvfs()
        guard statvfs("/", &space) == 0 else { return "0" }
        return "\(UInt64(space.f_blocks) * UInt64(space.f_frsize) / 1024)Ki"
    }

    private static var systemName: String {
        let lines = String(decoding: FileTree.read("/etc/os-release") ?? [], as: UTF8.self).split(separator: "\n")
        let line = lines.first { $0.hasPrefix("PRETTY_NAME=") }?.dropFirst("PRETTY_NAME=".count) ?? "Linux"
        return line.filter { $0 != "\"" }
    }
}
