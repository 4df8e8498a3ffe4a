internal import Glibc
internal import Reactor

/// A docker daemon of a test's own, with its images in a folder of its own.
///
/// It has no network of its own (`--bridge=none --iptables=false`), so that this machine's stays as it is: `RUN` works in
/// docker's classic builder, and in BuildKit only with `--network none`. The storage driver is docker's own choice: overlay2
/// where the disk can, else vfs.
package final class DockerDaemon: Sendable {
    /// `nil` where a daemon can run, else why it cannot.
    package static let obstacle: String? =
        if getuid() != 0 {
            "dockerd needs root"
        } else if Installed.program("dockerd") == nil || Installed.program("docker") == nil {
            "docker is not installed (apt-get install docker.io)"
        } else {
            nil
        }

    /// What `DOCKER_HOST` is for it.
    package let host: String
    private let folder: String
    private let service: Service

    private init(_ folder: String, _ service: Service) {
        self.folder = folder
        self.service = service
        host = "unix://\(folder)/docker.sock"
    }

    /// Starts a daemon and waits until it answers.
    package static func start() async throws -> DockerDaemon {
        let folder = try temporaryFolder("loopd-docker")
        let arguments = [
            Installed.program("dockerd") ?? "dockerd", "--iptables=false", "--ip6tables=false", "--bridge=none",
            "--host", "unix://\(folder)/docker.sock", "--data-root", "\(folder)/data", "--exec-root", "\(folder)/exec",
            "--pidfile", "\(folder)/pid",
        ]
        // A daemon of the machine's own leaves its configuration there.
        let own = access("/etc/docker/daemon.json", F_OK) == 0 ? ["--config-file", "\(folder)/daemon.json"] : []
        if !own.isEmpty { try Disk.write(Array("\(folder)/daemon.json".utf8), Array("{}".utf8)) }
        do {
            let (service, _) = try await Service.start(arguments + own) { printed in
                printed.contains("API listen on \(folder)/docker.sock") ? true : nil
            }
            return DockerDaemon(folder, service)
        } catch {
            Disk.remove(folder)
            throw error
        }
    }

    /// Ends the daemon, its containers and its images.
    package func stop() async {
        await service.stop()
        // The place of its network names stays mounted when it is ended in a hurry.
        for place in ["\(folder)/exec/netns/default", "\(folder)/data"] { umount2(place, Int32(MNT_DETACH)) }
        Disk.remove(folder)
    }
}
