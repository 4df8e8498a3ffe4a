internal import Glibc

/// One process on one boot of one machine, so that another one there can tell whether it still runs.
///
/// As text `boot/namespace/pid/start`: the kernel's boot id, the inode of the pid namespace, the process id, and the start
/// time in clock ticks, because process ids are used again.
struct ProcessIdentity: Equatable, Sendable {
    let text: String

    /// This process; `nil` where `/proc` does not tell.
    static func current() -> ProcessIdentity? { of(getpid()) }

    private static func of(_ pid: Int32) -> ProcessIdentity? {
        guard let place = place, let start = RunningProcess(pid: pid).start else { return nil }
        return ProcessIdentity(text: "\(place)/\(pid)/\(start)")
    }

    /// Whether it is known to have ended: it ran here, and does not any more.
    var isGone: Bool {
        let parts = text.split(separator: "/").map(String.init)
        guard parts.count == 4, let pid = Int32(parts[2]), let place = ProcessIdentity.place,
            "\(parts[0])/\(parts[1])" == place
        else { return false }
        return ProcessIdentity.of(pid)?.text != text
    }

    private static var place: String? {
        guard let boot = SmallFile.text("/proc/sys/kernel/random/boot_id") else { return nil }
        var status = stat()
        guard stat("/proc/self/ns/pid", &status) == 0 else { return nil }
        return "\(boot.prefix { $0 != "\n" })/\(status.st_ino)"
    }
}
