internal import Glibc

/// What the machine's cgroup hierarchies can do, in version 1 (one folder a controller) or 2 (one tree).
struct Cgroups: Sendable {
    static let mountPoint = "/sys/fs/cgroup"
    let isUnified: Bool
    let hasMemory: Bool
    let hasCPU: Bool

    static var ofThisMachine: Cgroups {
        if let controllers = Disk.text("\(mountPoint)/cgroup.controllers") {
            let names = controllers.split { $0 == " " || $0 == "\n" }
            return Cgroups(isUnified: true, hasMemory: names.contains("memory"), hasCPU: names.contains("cpu"))
        }
        return Cgroups(
            isUnified: false, hasMemory: Disk.exists("\(mountPoint)/memory/cgroup.procs"),
            hasCPU: Disk.exists("\(mountPoint)/cpu/cgroup.procs"))
    }

    /// How many processes of a cgroup the kernel has killed for want of memory.
    func killsForMemory(in cgroup: String) -> Int {
        let file =
            isUnified
            ? "\(Cgroups.mountPoint)\(cgroup)/memory.events"
            : "\(Cgroups.mountPoint)/memory\(cgroup)/memory.oom_control"
        for line in (Disk.text(file) ?? "").split(separator: "\n") {
            let fields = line.split(separator: " ")
            if fields.count == 2, fields[0] == "oom_kill" { return Int(fields[1]) ?? 0 }
        }
        return 0
    }

    /// The folders of a cgroup in every hierarchy.
    static func folders(of cgroup: String) -> [String] {
        let candidates = ["\(mountPoint)\(cgroup)"] + Disk.names(in: mountPoint).map { "\(mountPoint)/\($0)\(cgroup)" }
        return candidates.filter { Disk.kind(of: $0) == .directory }
    }

    /// Every process in a cgroup and the ones below it.
    static func processes(in cgroup: String) -> Set<Int32> {
        var found: Set<Int32> = []
        func visit(_ folder: String) {
            for line in (Disk.text("\(folder)/cgroup.procs") ?? "").split(separator: "\n") {
                if let pid = Int32(line) { found.insert(pid) }
            }
            for name in Disk.names(in: folder) where Disk.kind(of: "\(folder)/\(name)") == .directory {
                visit("\(folder)/\(name)")
            }
        }
        for folder in folders(of: cgroup) { visit(folder) }
        return found
    }

    /// Removes a cgroup and the ones below it, and its parent when that is empty.
    ///
    /// Cgroups with processes stay.
    static func remove(_ cgroup: String) {
        func visit(_ folder: String) {
            for name in Disk.names(in: folder) where Disk.kind(of: "\(folder)/\(name)") == .directory {
                visit("\(folder)/\(name)")
            }
            _ = rmdir(folder)
        }
        for folder in folders(of: cgroup) {
            visit(folder)
            _ = rmdir(Disk.parent(of: folder))
        }
    }
}
