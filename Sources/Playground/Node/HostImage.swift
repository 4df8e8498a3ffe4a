internal import Glibc
internal import Reactor

/// The image `host`: the machine's own programs as a read-only lower layer, with nothing that belongs to its users.
///
/// A container gets `/usr` (and `/bin`, `/lib*` where they are folders of their own) and a short list of `/etc` through
/// overlays that exist in its mount namespace only; everything else is fresh and empty.
struct HostImage: Sendable {
    let layout: NodeLayout
    /// Host folders that no pod may see even where they lie below `/usr`: the project, the state directory.
    let hidden: [String]
    /// Overlays are mounted in a user namespace, and keep their marks in `user.` attributes.
    let isRootless: Bool
    /// Where the state directory's file system takes no overlays, programs are bound read-only instead.
    let hasOverlay: Bool

    private static let topLevel = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"]
    private static let configuration = [
        "passwd", "group", "nsswitch.conf", "ssl/certs", "ssl/openssl.cnf", "ca-certificates.conf", "alternatives",
        "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "os-release", "debian_version", "mime.types", "protocols",
        "services",
        "shells", "localtime", "timezone", "login.defs", "profile", "bash.bashrc", "inputrc", "terminfo", "python3",
        "perl", "java", "locale.alias", "host.conf", "gai.conf",
    ]
    private static let fresh: [(path: String, mode: mode_t)] = [
        ("tmp", 0o1777), ("run", 0o755), ("run/lock", 0o1777), ("var", 0o755), ("var/tmp", 0o1777), ("var/lib", 0o755),
        ("var/cache", 0o755), ("var/log", 0o755), ("root", 0o700), ("home", 0o755), ("opt", 0o755), ("srv", 0o755),
        ("mnt", 0o755), ("media", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755),
    ]

    private var configurationFolder: String { "\(layout.images)/host-etc" }

    /// Copies the short list of `/etc`, and masks what must not be seen.
    ///
    /// Run once at start.
    func prepare() async throws {
        let draft = configurationFolder + ".new"
        Disk.removeTree(draft)
        try Disk.makeDirectory(draft)
        let present = HostImage.configuration.filter { Disk.exists("/etc/\($0)") }
        let copied = try await Child.run(
            Launch(["cp", "-a", "--parents", "--"] + present + [draft + "/"], directory: "/etc"))
        guard copied.status.isSuccess else {
            throw SystemError(code: EIO, attempt: "copy of /etc: \(copied.errorText)")
        }
        // They are mount points of every container's own files, and must be there under a read-only root.
        for name in ["hosts", "hostname", "resolv.conf"] { try Disk.write([], to: "\(draft)/\(name)") }
        // Fixed and empty: nobody logs in to a container, and programs that look find a file.
        for name in ["shadow", "gshadow", "mtab"] where !Disk.exists("\(draft)/\(name)") {
            try Disk.write([], to: "\(draft)/\(name)", mode: 0o600)
        }
        Disk.removeTree(configurationFolder)
        guard rename(draft, configurationFolder) == 0 else { throw SystemError.last("rename \(draft)") }
        try mask()
    }

    /// The root folder's content and the overlays over it.
    func rootFilesystem(in folder: String) throws(SystemError) -> RootFilesystem {
        let root = "\(folder)/rootfs"
        try Disk.makeDirectory(root)
        for (path, mode) in HostImage.fresh { try Disk.makeDirectory("\(root)/\(path)", mode: mode) }
        _ = symlink("/run", "\(root)/var/run")
        var mounts: [RuntimeSpec.Mount] = []
        for name in HostImage.topLevel {
            switch Disk.kind(of: "/\(name)", followingLinks: false) {
            case .link:
                if let target = Disk.link("/\(name)") { _ = symlink(target, "\(root)/\(name)") }
            case .directory: mounts.append(try overlay(lower: "/\(name)", name: name, in: folder, masked: true))
            default: break
            }
        }
        mounts.append(try overlay(lower: configurationFolder, name: "etc", in: folder, masked: false))
        return RootFilesystem(path: root, mounts: mounts, readOnlyPaths: mounts.map(\.destination))
    }

    private func overlay(
        lower: String, name: String, in folder: String, masked: Bool
    ) throws(SystemError) -> RuntimeSpec.Mount {
        let (upper, work) = ("\(folder)/\(name).upper", "\(folder)/\(name).work")
        try Disk.makeDirectory(upper)
        try Disk.makeDirectory(work)
        try Disk.makeDirectory("\(folder)/rootfs/\(name)")
        let isMasked = masked && Disk.exists("\(layout.mask)/\(name)")
        guard hasOverlay || isRootless else {
            guard !isMasked else {
                throw SystemError(code: ENOTSUP, attempt: "hide folders below /\(name) without overlays")
            }
            return .bind(lower, at: "/\(name)", readOnly: true)
        }
        let lowers = isMasked ? ["\(layout.mask)/\(name)", lower] : [lower]
        return RuntimeSpec.Mount(
            destination: "/\(name)", type: "overlay", source: "overlay",
            options: [
                "lowerdir=\(lowers.map(Mounts.escaped).joined(separator: ":"))", "upperdir=\(upper)", "workdir=\(work)",
            ] + (isRootless ? ["userxattr"] : []))
    }

    /// Puts a whiteout where a folder that must stay hidden lies below one that is shown.
    private func mask() throws(SystemError) {
        Disk.removeTree(layout.mask)
        let folders = hidden + ["/home", "/root", "/tmp", "/run", "/var/tmp"]
        for folder in folders.compactMap(Disk.resolved) {
            for name in HostImage.topLevel where Disk.kind(of: "/\(name)", followingLinks: false) == .directory {
                guard folder != "/\(name)" else {
                    throw SystemError(
                        code: EPERM, attempt: "image host: \(folder) must stay hidden, and is /\(name) itself")
                }
                guard Disk.isInside(folder, "/\(name)") else { continue }
                let whiteout = layout.mask + folder
                try Disk.makeDirectory(Disk.parent(of: whiteout))
                guard mknod(whiteout, S_IFCHR, 0) == 0 || errno == EEXIST else { throw .last("mknod \(whiteout)") }
            }
        }
    }
}

/// A container's root: the folder, what is mounted over it inside the container, and what a read-only root must cover
/// beside the folder itself.
struct RootFilesystem: Sendable {
    var path: String
    var mounts: [RuntimeSpec.Mount]
    var readOnlyPaths: [String]
}
