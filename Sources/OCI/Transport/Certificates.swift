internal import Glibc

/// Where docker and podman look for a registry's own certificate authority.
enum Certificates {
    /// The file for a host and port, in the folders' order; `nil` where there is none.
    static func file(for authority: String, home: String?) -> String? {
        let folders =
            (home.map { ["\($0)/.config/containers/certs.d", "\($0)/.docker/certs.d"] } ?? []) + [
                "/etc/containers/certs.d", "/etc/docker/certs.d",
            ]
        for folder in folders {
            guard let listing = opendir("\(folder)/\(authority)") else { continue }
            defer { closedir(listing) }
            var names: [String] = []
            while let entry = readdir(listing) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name.hasSuffix(".crt") { names.append(name) }
            }
            if let first = names.min() { return "\(folder)/\(authority)/\(first)" }
        }
        return nil
    }
}
