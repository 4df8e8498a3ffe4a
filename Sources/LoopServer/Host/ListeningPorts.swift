internal import Glibc
internal import Reactor

/// Who listens at which TCP port of this machine, at one moment.
struct ListeningPorts: Sendable {
    let sockets: [ListeningSocket]

    static func now() throws -> ListeningPorts { ListeningPorts(sockets: try ListeningSocket.all()) }

    /// The numeric address by which this machine reaches a port; `nil` where nobody listens at it.
    ///
    /// A program that says "localhost" may listen at `::1` only.
    func address(of port: UInt16) -> String? {
        let addresses = sockets.filter { $0.port == port }.map(\.address)
        for (reached, bound) in [("127.0.0.1", ["127.0.0.1", "0.0.0.0"]), ("::1", ["::1", "::"])] {
            if addresses.contains(where: bound.contains) { return reached }
        }
        return addresses.first
    }

    /// Who keeps a port of loopback from being listened at, in words, now.
    static func holder(of port: UInt16, at addresses: Set<String> = loopback) -> String {
        (try? now())?.holder(of: port, at: addresses).map { "\($0)" } ?? "another program"
    }

    /// The addresses of which one that is listened at keeps others from doing so on loopback.
    static let loopback: Set = ["127.0.0.1", "0.0.0.0", "::1", "::"]

    /// Whoever keeps a port of these addresses from being listened at.
    func holder(of port: UInt16, at addresses: Set<String> = loopback) -> Holder? {
        guard let socket = sockets.first(where: { $0.port == port && addresses.contains($0.address) }) else {
            return nil
        }
        let pid = RunningProcess.all().first { $0.sockets.contains(socket.inode) }?.pid
        return Holder(pid: pid, name: pid.flatMap { RunningProcess(pid: $0).name }, owner: socket.owner)
    }

    /// The ports that a process and those that it has started listen at.
    func ports(ofTree root: Int32) -> Set<UInt16> {
        let owned = RunningProcess.tree(of: root).reduce(into: Set<UInt32>()) { $0.formUnion($1.sockets) }
        return Set(sockets.filter { owned.contains($0.inode) }.map(\.port))
    }

    /// A process that has a port, or its user where it may not be looked at.
    struct Holder: Equatable, Sendable, CustomStringConvertible {
        let pid: Int32?
        let name: String?
        let owner: UInt32

        var description: String {
            guard let pid else { return "a process of user \(owner)" }
            return "\(name ?? "a program") (process \(pid))"
        }
    }
}

/// A process as `/proc` tells of it.
struct RunningProcess: Sendable {
    let pid: Int32

    static func all() -> [RunningProcess] {
        SocketDirectory.names(in: "/proc").compactMap { Int32($0).map(RunningProcess.init) }
    }

    /// A process and all below it by the chain of parents.
    static func tree(of root: Int32) -> [RunningProcess] {
        let children = Dictionary(grouping: all(), by: \.parent)
        var found = [RunningProcess(pid: root)]
        var next = 0
        while next < found.count {
            found += children[found[next].pid] ?? []
            next += 1
        }
        return found
    }

    /// The program's name.
    var name: String? {
        SmallFile.text("/proc/\(pid)/comm").map { String($0.prefix { $0 != "\n" }) }
    }

    /// When it began, in clock ticks since the machine did; `nil` once it is gone.
    var start: String? { field(20) }

    private var parent: Int32? { field(2).flatMap { Int32($0) } }

    /// A field of its status, counted from the name.
    private func field(_ number: Int) -> String? {
        // The name in parentheses may hold anything.
        guard let text = SmallFile.text("/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        return fields.count > number ? String(fields[number]) : nil
    }

    /// The numbers of its sockets; none where it may not be looked at.
    var sockets: Set<UInt32> {
        let folder = "/proc/\(pid)/fd"
        let start = "socket:["
        let found = SocketDirectory.names(in: folder).compactMap { name -> UInt32? in
            var target = [CChar](repeating: 0, count: 64)
            guard readlink("\(folder)/\(name)", &target, target.count - 1) > 0 else { return nil }
            let text = String(decoding: target.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return text.hasPrefix(start) ? UInt32(text.dropFirst(start.count).dropLast()) : nil
        }
        return Set(found)
    }
}
