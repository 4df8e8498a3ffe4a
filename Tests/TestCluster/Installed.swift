internal import Glibc

/// What is installed on this machine.
package enum Installed {
    /// Where a program is, in `PATH` or among what only root uses.
    package static func program(_ name: String) -> String? {
        let folders = (variable("PATH") ?? "").split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
        return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
