internal import Glibc
internal import Reactor

/// How pods reach the world beyond the cluster: the program `pasta` carries their connections, as its own, into the
/// machine's network.
///
/// It lives as long as the pods do: a playground that is started again finds it at work, and teardown ends it.
enum WayOut {
    /// The address that pods reach the machine's own loopback interface by, and the end of the way that is in the node's
    /// network.
    static let host = IPv4(10, 244, 255, 1)
    private static let end = IPv4(10, 244, 255, 2)
    private static let interface = "out"

    /// Opens the way; returns why there is none, in one line, where it cannot.
    static func open(for network: ClusterNetwork, _ layout: NodeLayout) async -> String? {
        let programs = ["pasta": "passt", "iptables": "iptables"]
        for (program, package) in programs.sorted(by: { $0.key > $1.key }) where Preflight.program(program) == nil {
            return
                "pods cannot reach anything outside of the cluster: the program \(program) is missing (apt-get install "
                + "\(package)); pods with hostNetwork: true can"
        }
        do {
            if processes(of: layout).isEmpty {
                // It goes into the background when the way is open. No port of the machine leads to a pod by it, or back.
                try await run([
                    Preflight.program("pasta") ?? "pasta", "--config-net", "--quiet", "--runas", "0:0", "-4", "-I",
                    interface, "-a", end.description, "-n", "255.255.255.252", "-g", host.description, "-t", "none",
                    "-u", "none", "-T", "none", "-U", "none", "--no-dhcp", "--no-ndp", "--no-ra", "--no-dhcpv6",
                    "--netns", file(layout),
                ])
            }
            // Older versions of it answer to the address that they saw last: it must be one for all pods.
            let rule = ["POSTROUTING", "-o", interface, "-j", "MASQUERADE"]
            let tables = [Preflight.program("iptables") ?? "iptables", "-w", "-t", "nat"]
            if (try? await run(tables + ["-C"] + rule, in: network.node)) == nil {
                try await run(tables + ["-A"] + rule, in: network.node)
            }
            return nil
        } catch {
            close(layout)
            return "pods cannot reach anything outside of the cluster: \(error); pods with hostNetwork: true can"
        }
    }

    /// Opens the way again whenever the program has ended, until the task is cancelled.
    static func keepOpen(for network: ClusterNetwork, _ layout: NodeLayout) async {
        while !Task.isCancelled {
            if let pid = processes(of: layout).first, let process = ContainerProcess(pid: pid) {
                guard await process.exit() != nil else { return }
            }
            // Where it cannot be opened now, it may be later: the programs are installed, the machine has a network.
            try? await Task.sleep(for: .seconds(10))
            if !Task.isCancelled { _ = await open(for: network, layout) }
        }
    }

    /// Ends the program.
    static func close(_ layout: NodeLayout) {
        for pid in processes(of: layout) { _ = kill(pid, SIGKILL) }
    }

    /// The program's processes for this state directory, found by the file of the network that it serves.
    static func processes(of layout: NodeLayout) -> Set<Int32> {
        let file = file(layout)
        return Set(
            Disk.names(in: "/proc").compactMap { name in
                guard let pid = Int32(name), let line = Disk.text("/proc/\(name)/cmdline") else { return nil }
                let arguments = line.split(separator: "\0")
                guard arguments.first?.hasSuffix("pasta") == true, arguments.contains(file[...]) else { return nil }
                return pid
            })
    }

    private static func file(_ layout: NodeLayout) -> String { "\(layout.network)/node" }

    /// Runs a program to its end; throws what it said where it fails.
    private static func run(_ arguments: [String], in network: NetworkNamespace? = nil) async throws {
        var launch = Launch(arguments)
        launch.network = network
        let output = try await Child.run(launch)
        guard output.status.isSuccess else {
            let said = (output.errorText + output.text).split(separator: "\n").last { !$0.hasPrefix("Failed to send") }
            let name = arguments[0].split(separator: "/").last ?? ""
            throw RuncError(message: "\(name) ended with \(output.status)\(said.map { ": \($0)" } ?? "")")
        }
    }
}
