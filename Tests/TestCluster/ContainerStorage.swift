internal import Glibc

/// A place of a test's own for the images of podman and buildah.
///
/// They work without mounts and namespaces there (storage driver `vfs`, isolation `chroot`), so that they run wherever root
/// does.
package final class ContainerStorage: Sendable {
    /// `nil` where a program can build, else why it cannot.
    package static func obstacle(_ program: String) -> String? {
        if getuid() != 0 { return "\(program) is tried as root only: as a user it needs subordinate ids" }
        return Installed.program(program) == nil ? "\(program) is not installed (apt-get install \(program))" : nil
    }

    /// What the programs need in their environment.
    package let environment: [String: String]
    private let folder: String

    package init() throws {
        folder = try temporaryFolder("loopd-storage")
        let storage = "[storage]\ndriver = \"vfs\"\ngraphroot = \"\(folder)/graph\"\nrunroot = \"\(folder)/run\"\n"
        let engine = "[engine]\ntmp_dir = \"\(folder)/tmp\"\n"
        try Disk.write(Array("\(folder)/storage.conf".utf8), Array(storage.utf8))
        try Disk.write(Array("\(folder)/containers.conf".utf8), Array(engine.utf8))
        environment = [
            "CONTAINERS_STORAGE_CONF": "\(folder)/storage.conf", "CONTAINERS_CONF": "\(folder)/containers.conf",
            "BUILDAH_ISOLATION": "chroot",
        ]
    }

    /// Removes all images.
    package func remove() { Disk.remove(folder) }
}
