internal import Glibc

/// A Nix store of a test's own, which real Nix builds into without a network, and which goes away with this object.
package final class PrivateStore: Sendable {
    /// The folder that its paths begin in.
    package let root: String

    package init() throws {
        root = try temporaryFolder("loopd-nix")
        // A store that has been used before has them; of two programs that begin a new one at once Nix lets one fail.
        let state = "\(root)/nix/var/nix"
        try Disk.folder(Array("\(state)/profiles".utf8))
        try Disk.folder(Array("\(state)/gcroots".utf8))
        guard symlink("\(state)/profiles", "\(state)/gcroots/profiles") == 0 else {
            throw Trouble("no link in \(state): \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        // Nix takes away everybody's right to write.
        _ = try? Self.makeWritable(root)
        Disk.remove(root)
    }

    private static func makeWritable(_ folder: String) throws {
        guard chmod(folder, 0o755) == 0, let entries = opendir(folder) else { return }
        defer { closedir(entries) }
        while let entry = readdir(entries) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if entry.pointee.d_type == UInt8(DT_DIR), name != ".", name != ".." {
                try makeWritable("\(folder)/\(name)")
            }
        }
    }

    /// What Nix is led to the store with: a shell for builders is all that their sandbox has.
    package var environment: [String: String] {
        [
            "NIX_REMOTE": "local?root=\(root)",
            "NIX_CONFIG": """
            sandbox = false
            substitute = false
            build-users-group =
            sandbox-paths = /bin/sh=/bin/busybox
            connect-timeout = 1
            download-attempts = 1
            """,
            // Its caches are no user's.
            "XDG_CACHE_HOME": "\(root)/cache", "HOME": root,
        ]
    }

    /// The start of a `flake.nix` that builds text files with nothing but a shell.
    package static let write = """
        write = name: text: derivation {
          inherit name text;
          system = "\(system)";
          builder = "/bin/sh";
          args = [ "-c" "printf '%s' \\"$text\\" >\\"$out\\"" ];
        };
        """

    /// This machine in Nix's words.
    package static var system: String {
        #if arch(arm64)
            "aarch64-linux"
        #else
            "x86_64-linux"
        #endif
    }
}
