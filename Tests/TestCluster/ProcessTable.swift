internal import CLinux
internal import Glibc
internal import Reactor

/// The processes of this machine at one moment.
package struct ProcessTable: Sendable {
    /// One process; its number with its start is never used again.
    package struct Entry: Hashable, Sendable {
        package let pid: Int32
        package let parent: Int32
        /// In ticks since boot.
        package let start: UInt64
        package let command: String
        /// User and system time in ticks.
        package let time: UInt64
    }

    package let entries: [Int32: Entry]

    package static func now() -> ProcessTable {
        var entries: [Int32: Entry] = [:]
        guard let folder = opendir("/proc") else { return ProcessTable(entries: [:]) }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let pid = Int32(name), let process = self.entry(pid) { entries[pid] = process }
        }
        return ProcessTable(entries: entries)
    }

    package static func entry(_ pid: Int32) -> Entry? {
        guard let text = (try? Disk.read("/proc/\(pid)/stat")).map({ String(decoding: $0, as: UTF8.self) }),
            // The name in parentheses may hold anything.
            let end = text.lastIndex(of: ")")
        else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        // A zombie is only its exit code.
        guard fields.count > 19, fields[0] != "Z" else { return nil }
        let line = ((try? Disk.read("/proc/\(pid)/cmdline")) ?? []).map { $0 == 0 ? 0x20 : $0 }
        return Entry(
            pid: pid, parent: Int32(fields[1]) ?? 0, start: UInt64(fields[19]) ?? 0,
            command: String(decoding: line, as: UTF8.self),
            time: (UInt64(fields[11]) ?? 0) + (UInt64(fields[12]) ?? 0))
    }

    /// Every process below one, by the chain of parents.
    package func descendants(of pid: Int32) -> [Entry] {
        let children = Dictionary(grouping: entries.values, by: \.parent)
        var found: [Entry] = []
        var left = children[pid] ?? []
        while let next = left.popLast() {
            found.append(next)
            left += children[next.pid] ?? []
        }
        return found
    }

    /// Resident memory in bytes: now, and at its peak.
    package static func memory(of pid: Int32) -> (now: Int, peak: Int) {
        let text = (try? Disk.read("/proc/\(pid)/status")).map { String(decoding: $0, as: UTF8.self) } ?? ""
        func kilobytes(_ key: String) -> Int {
            let line = text.split(separator: "\n").first { $0.hasPrefix(key) } ?? ""
            return Int(line.filter(\.isNumber)) ?? 0
        }
        return (kilobytes("VmRSS:") * 1024, kilobytes("VmHWM:") * 1024)
    }
}

extension ProcessTable.Entry {
    /// Whether it is still there.
    package var isAlive: Bool { ProcessTable.entry(pid)?.start == start }

    /// Returns when the process has ended.
    package func ended() async throws {
        let raw = clinux_pidfd_open(pid)
        guard raw >= 0 else { return }
        let stream = try Stream(OwnedDescriptor(raw))
        // The number may have been another's already.
        guard isAlive else { return }
        try await stream.untilReadable()
    }

    package func signal(_ number: Int32) {
        if isAlive { kill(pid, number) }
    }
}
