/// One line about a file system at or below `root` whose changes the kernel does not report; nil when all of them arrive.
///
/// Shared folders of virtual machines, network and user-space file systems report only what this machine itself does to
/// them, if that.
public func fileSystemNotice(_ root: String) -> String? {
    guard let mounts = contents(of: Array("/proc/self/mountinfo".utf8), limit: 16 << 20) else { return nil }
    return FileSystems.notice(mounts: mounts, root: realPath(root) ?? absolutePath(root))
}

enum FileSystems {
    private struct Mount {
        let path: [UInt8]
        let type: String
        let source: String

        /// Reads a line of `mountinfo`: the path is the fifth field; type and source follow a lone dash.
        init?(_ line: ArraySlice<UInt8>) {
            let fields = line.split(separator: UInt8(ascii: " "))
            guard fields.count > 4, let dash = fields.dropFirst(6).firstIndex(where: { $0.elementsEqual("-".utf8) }),
                dash + 2 < fields.count
            else { return nil }
            path = Self.unescaped(fields[4])
            type = String(decoding: fields[dash + 1], as: UTF8.self)
            source = String(decoding: Self.unescaped(fields[dash + 2]), as: UTF8.self)
        }

        /// The kernel writes space, tab, line end and backslash as `\` and three octal digits.
        private static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8] {
            var result: [UInt8] = []
            var rest = field
            while let byte = rest.popFirst() {
                let digits = rest.prefix(3)
                if byte == UInt8(ascii: "\\"), digits.count == 3,
                    let value = UInt8(String(decoding: digits, as: UTF8.self), radix: 8)
                {
                    result.append(value)
                    rest = rest.dropFirst(3)
                } else {
                    result.append(byte)
                }
            }
            return result
        }

        func isAbove(_ place: [UInt8]) -> Bool {
            path == [slash] || place == path || place.starts(with: path + [slash])
        }
    }

    /// Decides from the text of `/proc/self/mountinfo`; later mounts cover earlier ones.
    static func notice(mounts text: [UInt8], root: [UInt8]) -> String? {
        let mounts = text.split(separator: UInt8(ascii: "\n")).compactMap(Mount.init)
        var own: Mount?
        for mount in mounts where mount.isAbove(root) && mount.path.count >= own?.path.count ?? 0 { own = mount }
        let below = mounts.filter { $0.path != root && $0.path.starts(with: root + (root == [slash] ? [] : [slash])) }
        for mount in [own].compactMap({ $0 }) + below {
            guard let kind = kind(mount.type, mount.source) else { continue }
            return "\(escaped(mount.path)) is \(kind): changes made on the other side may not be reported; "
                + "set \"watch\": {\"poll\": \"1s\"}"
        }
        return nil
    }

    private static func kind(_ type: String, _ source: String) -> String? {
        switch type {
        case "virtiofs": "a shared folder of a virtual machine (virtiofs)"
        case "9p": isWindows(source) ? "a Windows drive under WSL (9p)" : "a shared folder of a virtual machine (9p)"
        case "drvfs": "a Windows drive under WSL (drvfs)"
        case "fuse.sshfs": "a folder of another machine (sshfs)"
        case "nfs", "nfs4": "a folder of another machine (NFS)"
        case "cifs", "smb3", "smbfs": "a folder of another machine (SMB)"
        case "vboxsf", "prl_fs", "fuse.vmhgfs-fuse", "fuse.grpcfuse", "fakeowner", "osxfs":
            "a shared folder of a virtual machine (\(type))"
        case _ where type == "fuse" || type.hasPrefix("fuse."): "a user-space file system (\(type))"
        case "afs", "ceph", "lustre", "ocfs2", "gfs2", "glusterfs": "a folder shared over the network (\(type))"
        default: nil
        }
    }

    /// WSL names the drive, or its own helper, as the source.
    private static func isWindows(_ source: String) -> Bool {
        source.hasPrefix("drvfs") || source.dropFirst().hasPrefix(":")
    }
}
