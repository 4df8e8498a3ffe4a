internal import Glibc
internal import Reactor

/// Mounts in the node's own mount namespace.
///
/// All of them lie below the state directory, so that teardown finds them even after a crash by reading the kernel's
/// table.
enum Mounts {
    static func overlay(lower: [String], upper: String, work: String, at target: String) throws(SystemError) {
        let data = "lowerdir=\(lower.map(escaped).joined(separator: ":")),upperdir=\(upper),workdir=\(work)"
        // The kernel takes at most one page of options.
        guard data.utf8.count < 4096 else {
            throw SystemError(code: ENAMETOOLONG, attempt: "mount overlay on \(target)")
        }
        guard mount("overlay", target, "overlay", 0, data) == 0 else { throw .last("mount overlay on \(target)") }
    }

    static func memory(at target: String, size: Int64?) throws(SystemError) {
        let data = "mode=0777" + (size.map { ",size=\($0)" } ?? "")
        guard mount("tmpfs", target, "tmpfs", UInt(MS_NOSUID | MS_NODEV), data) == 0 else {
            throw .last("mount tmpfs on \(target)")
        }
    }

    /// Takes every mount at or below `folder` away, the newest first; a busy one is detached.
    static func removeAll(below folder: String) {
        for point in points(below: folder).reversed() { _ = umount2(point, Int32(MNT_DETACH)) }
    }

    /// The mount points at or below `folder`, in the kernel's order.
    static func points(below folder: String) -> [String] {
        guard let table = Disk.text("/proc/self/mountinfo") else { return [] }
        return table.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 4 else { return nil }
            let point = unescaped(fields[4])
            return Disk.isInside(point, folder) ? point : nil
        }
    }

    /// A colon separates lower directories; the kernel's own escape is a backslash.
    static func escaped(_ path: String) -> String {
        var result = ""
        for character in path {
            if character == ":" || character == "\\" || character == "," { result.append("\\") }
            result.append(character)
        }
        return result
    }

    /// Undoes the table's octal escapes (`\040` is a space).
    private static func unescaped(_ field: Substring) -> String {
        var bytes: [UInt8] = []
        var rest = field.utf8[...]
        while let byte = rest.first {
            if byte == UInt8(ascii: "\\"), rest.count >= 4,
                let code = UInt8(String(decoding: rest.dropFirst().prefix(3), as: UTF8.self), radix: 8)
            {
                bytes.append(code)
                rest = rest.dropFirst(4)
            } else {
                bytes.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
