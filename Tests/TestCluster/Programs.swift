internal import Glibc

/// The programs of this machine.
package enum Programs {
    /// Where a program is, in `PATH` or among what only root uses.
    package static func find(_ name: String) -> String? {
        let folders = (variable("PATH") ?? "").split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
        return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
