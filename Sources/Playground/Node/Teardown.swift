internal import Glibc
internal import Reactor

extension Node {
    /// Ends every container of a state directory and removes all of it: processes, mounts, cgroups, files.
    ///
    /// Nothing of the playground has to run, and what a crash left behind is found by the kernel's own tables. Returns what
    /// could not be removed, one line each; none is success.
    static func teardown(stateDirectory: String) async -> [String] {
        guard let root = Disk.resolved(stateDirectory) else { return [] }
        let layout = NodeLayout(root: root)
        // A runc that the playground has left at work makes a container a moment from now.
        await untilNoRunc(at: layout)
        for pid in processes(of: layout) { _ = kill(pid, SIGKILL) }
        if let runc = try? Preflight(layout).runc {
            let runtime = Runc(program: runc, layout: layout)
            let known = Set(Disk.names(in: layout.containers) + Disk.names(in: layout.runc))
            for id in known.sorted() where id.utf8.count == 64 { await runtime.delete(id) }
        }
        // Cgroups empty when the kernel has let go of their processes, which is a moment after the signal.
        var left = processes(of: layout)
        for _ in 0..<200 where !left.isEmpty {
            for pid in left { _ = kill(pid, SIGKILL) }
            try? await Task.sleep(for: .milliseconds(10))
            left = processes(of: layout)
        }
        let remains = left
        return
            (try? await offPool {
                Cgroups.remove(layout.cgroup)
                WayOut.close(layout)
                Mounts.removeAll(below: layout.root)
                for folder in [
                    layout.containers, layout.pods, layout.logs, layout.images, layout.runc, layout.mask,
                    layout.network,
                ] {
                    Disk.removeTree(folder)
                }
                Disk.removeTree("\(layout.root)/registry")
                return remains.map { "process \($0) does not end" }
                    + Mounts.points(below: layout.root).map { "\($0) is still mounted" }
                    + Cgroups.folders(of: layout.cgroup).map { "\($0) is still there" }
            }) ?? []
    }

    /// The containers' processes: by cgroup, and by record where there are no cgroups.
    private static func processes(of layout: NodeLayout) -> Set<Int32> {
        let recorded = RunRecord.all(in: layout).filter { ContainerProcess.startTime(of: $0.pid) == $0.startTime }
        return Cgroups.processes(in: layout.cgroup).union(recorded.map(\.pid).filter { !isZombie($0) })
    }

    /// Waits for every runc that works on this state, at most three seconds.
    static func untilNoRunc(at layout: NodeLayout) async {
        let deadline = ContinuousClock.now + .seconds(3)
        while hasRunc(at: layout), ContinuousClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
    }

    /// Whether a runc works on this state.
    private static func hasRunc(at layout: NodeLayout) -> Bool {
        Disk.names(in: "/proc").contains { name in
            guard Int32(name) != nil, let line = Disk.text("/proc/\(name)/cmdline") else { return false }
            let arguments = line.split(separator: "\0")
            return arguments.dropFirst().prefix(2).elementsEqual(["--root", layout.runc[...]])
        }
    }

    private static func isZombie(_ pid: Int32) -> Bool {
        guard let line = Disk.text("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")") else { return true }
        return line[line.index(after: end)...].hasPrefix(" Z")
    }
}
