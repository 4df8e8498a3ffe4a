internal import Glibc
internal import Reactor

/// Why pods cannot run on this machine: one line with the remedy.
public struct NodeUnavailable: Error, CustomStringConvertible, Sendable {
    /// The line.
    public let description: String
}

/// What the machine can do for pods, found out before the first of them.
struct Preflight: Sendable {
    let runc: String
    let hasOverlay: Bool
    let rootless: (user: UInt32, group: UInt32)?

    init(_ layout: NodeLayout) throws(NodeUnavailable) {
        guard let runc = Preflight.program("runc") else {
            throw NodeUnavailable(
                description: "pods need the program runc, which is not installed: apt-get install runc")
        }
        self.runc = runc
        for program in ["tar", "cp"] where Preflight.program(program) == nil {
            throw NodeUnavailable(description: "pods need the program \(program): apt-get install \(program)")
        }
        guard ContainerProcess(pid: getpid()) != nil else {
            throw NodeUnavailable(description: "pods need pidfds (Linux 5.3 or later) and /proc")
        }
        if geteuid() == 0 {
            rootless = nil
            hasOverlay = Preflight.canOverlay(layout)
            return
        }
        let limit = Disk.text("/proc/sys/user/max_user_namespaces").flatMap { Int($0.prefix { $0.isNumber }) } ?? 0
        let isForbidden =
            ["/proc/sys/kernel/unprivileged_userns_clone"].contains { Disk.text($0)?.hasPrefix("0") == true }
            || Disk.text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")?.hasPrefix("1") == true
        guard limit > 0, !isForbidden else {
            throw NodeUnavailable(
                description: "pods need root here: this kernel lets no other user make user namespaces "
                    + "(run as root, or sysctl user.max_user_namespaces and kernel.unprivileged_userns_clone)")
        }
        rootless = (geteuid(), getegid())
        // Overlays can be mounted inside the container's own user namespace only.
        hasOverlay = false
    }

    private static func canOverlay(_ layout: NodeLayout) -> Bool {
        let folder = "\(layout.root)/overlay-check"
        defer {
            Mounts.removeAll(below: folder)
            Disk.removeTree(folder)
        }
        do {
            for name in ["lower", "upper", "work", "merged"] { try Disk.makeDirectory("\(folder)/\(name)") }
            try Mounts.overlay(
                lower: ["\(folder)/lower"], upper: "\(folder)/upper", work: "\(folder)/work", at: "\(folder)/merged")
            return true
        } catch {
            return false
        }
    }

    /// Where a program is; `nil` where it is not.
    static func program(_ name: String) -> String? {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        // runc lives in sbin, which is not in every user's path.
        let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/local/sbin"]
        return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
