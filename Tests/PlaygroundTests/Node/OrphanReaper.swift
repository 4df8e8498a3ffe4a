import Glibc

@testable import Playground

/// Reaps dead containers that no node of this process waits for.
///
/// A node makes the test process the reaper of orphans, so that the containers of a playground that an exit test killed
/// become its children. When one of those dies, the thread that waits for exit tests sees it first, again and again, and
/// never the exit test behind it.
enum OrphanReaper {
    /// Starts it, once for the whole process.
    static let isStarted: Bool = {
        Task.detached {
            let own = Disk.text("/proc/self/comm")
            var since: [Int32: ContinuousClock.Instant] = [:]
            while true {
                let dead = deadChildren(but: own)
                since = since.filter { dead.contains($0.key) }
                for pid in dead {
                    let first = since[pid] ?? .now
                    since[pid] = first
                    // Whoever waits for a container reaps it at once, even on a busy machine.
                    if ContinuousClock.now - first > .seconds(3) { waitpid(pid, nil, WNOHANG) }
                }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
        return true
    }()

    private static func deadChildren(but own: String?) -> [Int32] {
        let parent = getpid()
        return Disk.names(in: "/proc").compactMap { name in
            guard let pid = Int32(name), let line = Disk.text("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")")
            else { return nil }
            let fields = line[line.index(after: end)...].split(separator: " ")
            guard fields.count > 1, fields[0] == "Z", Int32(fields[1]) == parent,
                Disk.text("/proc/\(pid)/comm") != own
            else { return nil }
            return pid
        }
    }
}
