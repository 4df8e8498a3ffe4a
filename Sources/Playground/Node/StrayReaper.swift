internal import Glibc

/// Reaps what a runc that failed has left behind.
///
/// runc enters a container in three processes. When one of them is killed there (by `kill -9 -1` in the container, by a
/// memory limit), runc gives up without waiting for the other two, and they become this process's children. One of them is
/// in the container's pid namespace: until it is reaped, the kernel does not let the first process of that namespace end,
/// and the container can neither be entered nor restarted.
enum StrayReaper {
    private struct Stray: Hashable {
        let pid: Int32
        let startTime: UInt64
    }

    /// Reaps in the background until nothing is left.
    static func start() {
        Task.detached {
            var seen: Set<Stray> = []
            repeat {
                let there = strays()
                // Only what was dead a while ago already: the first process of a container that has only just started has
                // this name as well, and whoever waits for it reaps it at once.
                for stray in there.intersection(seen) { waitpid(stray.pid, nil, WNOHANG) }
                seen = there
                try await Task.sleep(for: .milliseconds(100))
            } while !seen.isEmpty
        }
    }

    /// The dead children that still have the name under which runc enters a container.
    private static func strays() -> Set<Stray> {
        let parent = getpid()
        let found = Disk.names(in: "/proc").compactMap { name -> Stray? in
            guard let pid = Int32(name), let line = Disk.text("/proc/\(pid)/stat"),
                let open = line.firstIndex(of: "("), let close = line.lastIndex(of: ")"),
                line[open...].hasPrefix("(runc:[")
            else { return nil }
            let fields = line[line.index(after: close)...].split(separator: " ")
            guard fields.count > 19, fields[0] == "Z", Int32(fields[1]) == parent, let start = UInt64(fields[19])
            else { return nil }
            return Stray(pid: pid, startTime: start)
        }
        return Set(found)
    }
}
