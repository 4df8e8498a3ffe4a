internal import CLinux
internal import Glibc
internal import Reactor

/// Unpacks image layers with Debian's `tar` and `gzip`, and turns their whiteouts into the kernel's.
struct LayerUnpacker: Sendable {
    enum Compression: String { case none, gzip, zstd }

    /// Unpacks a layer into a new folder that overlays can use as one of their lower ones.
    func unpack(_ blob: String, to folder: String) async throws {
        let draft = "\(folder).\(Identifier.random(bytes: 4))"
        try Disk.makeDirectory(draft)
        defer { Disk.removeTree(draft) }
        try await extract(blob, to: draft)
        try await offPool { try LayerUnpacker.convertWhiteouts(in: draft) }
        if rename(draft, folder) != 0, !Disk.exists(folder) { throw SystemError.last("rename \(draft)") }
    }

    /// Unpacks layers over each other into one new folder, for machines without overlays.
    func merge(_ blobs: [String], to folder: String) async throws {
        let draft = "\(folder).\(Identifier.random(bytes: 4))"
        try Disk.makeDirectory(draft)
        defer { Disk.removeTree(draft) }
        for (index, blob) in blobs.enumerated() {
            let layer = "\(draft).\(index)"
            try Disk.makeDirectory(layer)
            defer { Disk.removeTree(layer) }
            try await extract(blob, to: layer)
            try await offPool { LayerUnpacker.applyWhiteouts(of: layer, to: draft) }
            let copied = try await Child.run(Launch(["cp", "-a", "--", "\(layer)/.", draft]))
            guard copied.status.isSuccess else {
                throw SystemError(code: EIO, attempt: "copy of a layer: \(copied.errorText)")
            }
        }
        if rename(draft, folder) != 0, !Disk.exists(folder) { throw SystemError.last("rename \(draft)") }
    }

    static func compression(of head: [UInt8]) -> Compression {
        if head.starts(with: [0x1F, 0x8B]) { return .gzip }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return .zstd }
        return .none
    }

    private func extract(_ blob: String, to folder: String) async throws {
        let compression = LayerUnpacker.compression(of: try Disk.read(blob, limit: 4))
        var arguments = [
            "tar", "--extract", "--preserve-permissions", "--numeric-owner", "--xattrs",
            "--xattrs-include=security.capability", "--file", blob, "--directory", folder,
        ]
        // Another owner needs root; without it everything belongs to the one user there is.
        arguments.append(geteuid() == 0 ? "--same-owner" : "--no-same-owner")
        switch compression {
        case .none: break
        case .gzip: arguments.append("--gzip")
        case .zstd: arguments.append("--zstd")
        }
        let output = try await Child.run(Launch(arguments))
        guard output.status.isSuccess else {
            let hint =
                compression == .zstd && output.errorText.contains("zstd")
                ? " (zstd layers need the program zstd: apt-get install zstd)" : ""
            throw SystemError(
                code: EIO, attempt: "unpack \(Disk.name(of: blob)): \(output.errorText.prefix(300))\(hint)")
        }
    }

    private static let prefix = ".wh."
    private static let opaque = ".wh..wh..opq"

    /// `.wh.name` becomes a character device 0/0 called `name`, `.wh..wh..opq` a mark of its folder: what overlayfs reads.
    private static func convertWhiteouts(in folder: String) throws(SystemError) {
        for name in Disk.names(in: folder) {
            let path = "\(folder)/\(name)"
            if name == opaque {
                guard unlink(path) == 0, clinux_set_attribute(folder, "trusted.overlay.opaque", "y") == 0 else {
                    throw .last("mark \(folder) opaque")
                }
            } else if name.hasPrefix(prefix) {
                let hidden = "\(folder)/\(name.dropFirst(prefix.count))"
                guard unlink(path) == 0, mknod(hidden, S_IFCHR, 0) == 0 else { throw .last("mknod \(hidden)") }
            } else if Disk.kind(of: path, followingLinks: false) == .directory {
                try convertWhiteouts(in: path)
            }
        }
    }

    private static func applyWhiteouts(of layer: String, to target: String) {
        for name in Disk.names(in: layer) {
            let path = "\(layer)/\(name)"
            if name == opaque {
                _ = unlink(path)
                for hidden in Disk.names(in: target) { Disk.removeTree("\(target)/\(hidden)") }
            } else if name.hasPrefix(prefix) {
                _ = unlink(path)
                Disk.removeTree("\(target)/\(name.dropFirst(prefix.count))")
            } else if Disk.kind(of: path, followingLinks: false) == .directory {
                // A folder that replaces something else hides it; below a link there is nothing of this tree.
                if Disk.kind(of: "\(target)/\(name)", followingLinks: false) == .directory {
                    applyWhiteouts(of: path, to: "\(target)/\(name)")
                } else {
                    Disk.removeTree("\(target)/\(name)")
                }
            }
        }
    }
}
