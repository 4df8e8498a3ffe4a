import CAgent

/// Who listens at a port already.
enum PortHolder {
    /// Its name and process, such as `nginx (process 7)`; `nil` where this process may not see it, as with one of another
    /// container.
    static func find(_ port: UInt16) -> Bytes? {
        let links = sockets(port)
        guard !links.isEmpty,
            let processes = FolderReader(opened: cagent_open(-1, "/proc", CAGENT_READ | CAGENT_DIRECTORY, 0))
        else { return nil }
        while let name = try? processes.next() {
            guard let first = name.first, first >= 48, first <= 57, has(links, name) else { continue }
            let program = ProcessStatus.read(name, "comm", limit: 64)?.dropLast() ?? []
            return program + Bytes(" (process ") + name + Bytes(")")
        }
        return nil
    }

    /// What the descriptors of those who listen at the port are links to.
    private static func sockets(_ port: UInt16) -> [Bytes] {
        let digits: Bytes = [12, 8, 4, 0].map { shift in
            let digit = UInt8(truncatingIfNeeded: port >> shift) & 15
            return digit < 10 ? 48 + digit : 55 + digit
        }
        var links: [Bytes] = []
        for file: StaticString in ["tcp", "tcp6"] {
            // Those who listen come first.
            let table = ProcessStatus.read(Bytes("net"), file, limit: 256 << 10) ?? []
            for line in table.split(separator: 10) {
                // Number, local address and port, the other's, state (10 is listening), and seven fields on the inode.
                let fields = line.split(separator: 32)
                guard fields.count > 9, Array(fields[3]) == Bytes("0A"), Array(fields[1].suffix(4)) == digits else {
                    continue
                }
                links.append(Bytes("socket:[") + fields[9] + Bytes("]"))
            }
        }
        return links
    }

    private static func has(_ links: [Bytes], _ process: Bytes) -> Bool {
        let path = Bytes("/proc/") + process + Bytes("/fd")
        let opened = path.withCString { cagent_open(-1, $0, CAGENT_READ | CAGENT_DIRECTORY, 0) }
        guard let descriptors = FolderReader(opened: opened) else { return false }
        while let name = try? descriptors.next() {
            if let link = try? readLink(descriptors.descriptor, name), links.contains(link) { return true }
        }
        return false
    }
}
