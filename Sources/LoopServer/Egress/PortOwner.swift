internal import Glibc
internal import Reactor

/// Who listens at a port of this machine.
enum PortOwner: Equatable, Sendable, CustomStringConvertible {
    case process(name: String, id: Int32)
    /// A process that may not be looked at.
    case otherUser(uid_t)
    /// One of another container, or none any more.
    case unknown

    /// Looks for it, among others than `own`.
    static func find(_ port: UInt16, besides own: Int32? = nil) -> PortOwner {
        let sockets = ((try? ListeningSocket.all()) ?? []).filter { $0.port == port }
        guard let uid = sockets.first?.owner else { return .unknown }
        let links = Set(sockets.map { "socket:[\($0.inode)]" })
        for id in names(in: "/proc").compactMap({ Int32($0) }) where id != own && holds(id, links) {
            let name = (try? SmallFile.read("/proc/\(id)/comm", limit: 64)) ?? []
            return .process(name: String(decoding: name.filter { $0 != 0x0A }, as: UTF8.self), id: id)
        }
        return uid == getuid() || getuid() == 0 ? .unknown : .otherUser(uid)
    }

    var description: String {
        switch self {
        case .process(let name, let id): "\(name) (process \(id))"
        case .otherUser(let uid): "a program of another user (uid \(uid))"
        case .unknown: "another program"
        }
    }

    private static func holds(_ process: Int32, _ links: Set<String>) -> Bool {
        let folder = "/proc/\(process)/fd"
        return names(in: folder).contains { name in
            var target = [CChar](repeating: 0, count: 64)
            let length = readlink("\(folder)/\(name)", &target, target.count)
            guard length > 0 else { return false }
            return links.contains(String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self))
        }
    }

    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { buffer in
                String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
