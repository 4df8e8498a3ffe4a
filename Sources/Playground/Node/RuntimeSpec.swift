internal import JSON

/// Who a container's processes are.
struct Identity: Equatable, Sendable {
    var user: UInt32
    var group: UInt32
    var supplementalGroups: [UInt32]

    /// `user.linux` of a container's status: the primary group is one of the supplemental ones.
    var status: JSON {
        var groups = [group]
        for each in supplementalGroups where !groups.contains(each) { groups.append(each) }
        return [
            "linux": [
                "uid": .integer(Int64(user)), "gid": .integer(Int64(group)),
                "supplementalGroups": .array(groups.map { .integer(Int64($0)) }),
            ]
        ]
    }
}

/// Everything that the OCI runtime has to know about one container.
struct RuntimeSpec: Sendable {
    var arguments: [String]
    var environment: [(name: String, value: String)]
    var directory: String
    var identity: Identity
    var capabilities: [String]
    var noNewPrivileges: Bool
    var terminal: Bool
    var hostname: String?
    var rootPath: String
    var isRootReadOnly: Bool
    /// What lies over the root and must be read-only with it.
    var readOnlyPaths: [String]
    /// After the ones that every container gets.
    var mounts: [Mount]
    var cgroup: String
    var resources: JSON
    /// The process whose pid namespace is joined; `nil` makes a new one.
    var pidNamespaceOf: Int32?
    /// The file of the network that is joined; `nil` is the machine's own.
    var network: String?
    /// Where the playground is not root: the one user that containers can have.
    var rootless: (user: UInt32, group: UInt32)?

    struct Mount: Sendable {
        var destination: String
        var type = "bind"
        var source: String
        var options: [String]

        var json: JSON {
            [
                "destination": .string(destination), "type": .string(type), "source": .string(source),
                "options": .array(options.map { .string($0) }),
            ]
        }

        static func bind(_ source: String, at destination: String, readOnly: Bool) -> Mount {
            Mount(destination: destination, source: source, options: ["rbind", "rprivate", readOnly ? "ro" : "rw"])
        }
    }

    /// `config.json` of the bundle.
    var config: JSON {
        var linux: JSON = [
            "namespaces": .array(namespaces),
            "maskedPaths": .array(RuntimeSpec.maskedPaths.map { .string($0) }),
            "readonlyPaths": .array((RuntimeSpec.readOnlyPaths + readOnlyPaths).map { .string($0) }),
        ]
        // Without root there is no cgroup to make, and runc refuses to be told of one.
        if rootless == nil {
            linux["cgroupsPath"] = .string(cgroup)
            linux["resources"] = resources
        }
        if let rootless {
            linux["uidMappings"] = [["containerID": 0, "hostID": .integer(Int64(rootless.user)), "size": 1]]
            linux["gidMappings"] = [["containerID": 0, "hostID": .integer(Int64(rootless.group)), "size": 1]]
        }
        var config: JSON = [
            "ociVersion": "1.0.2",
            "process": process,
            "root": ["path": .string(rootPath), "readonly": .bool(isRootReadOnly)],
            "mounts": .array((standardMounts + mounts).map(\.json)),
            "linux": linux,
        ]
        if let hostname { config["hostname"] = .string(hostname) }
        return config
    }

    /// The process part, which `exec` uses with other arguments.
    ///
    /// No `oomScoreAdj` and no limits: lowering the one and raising the others need CAP_SYS_RESOURCE, which root in a
    /// container often lacks.
    var process: JSON {
        let set: JSON = .array(capabilities.map { .string($0) })
        return [
            "terminal": .bool(terminal),
            "user": [
                "uid": .integer(Int64(identity.user)), "gid": .integer(Int64(identity.group)),
                "additionalGids": .array(
                    rootless == nil ? identity.supplementalGroups.map { .integer(Int64($0)) } : []),
            ],
            "args": .array(arguments.map { .string($0) }),
            "env": .array(environment.map { .string("\($0.name)=\($0.value)") }),
            "cwd": .string(directory),
            "capabilities": ["bounding": set, "effective": set, "permitted": set],
            "noNewPrivileges": .bool(noNewPrivileges),
        ]
    }

    private var namespaces: [JSON] {
        var pid: JSON = ["type": "pid"]
        if let pidNamespaceOf { pid["path"] = .string("/proc/\(pidNamespaceOf)/ns/pid") }
        var all: [JSON] = [pid, ["type": "mount"], ["type": "ipc"]]
        if let network { all.append(["type": "network", "path": .string(network)]) }
        if hostname != nil { all.append(["type": "uts"]) }
        if rootless != nil { all.append(["type": "user"]) }
        return all
    }

    private var standardMounts: [Mount] {
        let plain = ["nosuid", "noexec", "nodev"]
        var all = [
            Mount(destination: "/proc", type: "proc", source: "proc", options: plain),
            Mount(
                destination: "/dev", type: "tmpfs", source: "tmpfs",
                options: ["nosuid", "strictatime", "mode=755", "size=65536k"]),
            Mount(
                destination: "/dev/pts", type: "devpts", source: "devpts",
                options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
                    + (rootless == nil ? ["gid=5"] : [])),
            Mount(
                destination: "/dev/shm", type: "tmpfs", source: "shm", options: plain + ["mode=1777", "size=65536k"]),
            Mount(destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: plain),
        ]
        // A new sysfs may only be mounted by who owns the network namespace.
        all.append(
            rootless == nil
                ? Mount(destination: "/sys", type: "sysfs", source: "sysfs", options: plain + ["ro"])
                : Mount(destination: "/sys", type: "none", source: "/sys", options: plain + ["rbind", "ro"]))
        return all
    }

    private static let maskedPaths = [
        "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    ]
    private static let readOnlyPaths = [
        "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
    ]

    /// What containers get when their pod does not say otherwise, as containerd has it.
    static let defaultCapabilities = [
        "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
        "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
        "CAP_AUDIT_WRITE",
    ]
}
