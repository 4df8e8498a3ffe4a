import Glibc
import Reactor
import TestCluster

/// The connections of one process, made silent without an end: what it sends and what is sent to it is dropped.
///
/// Where iptables may not be used, the process is stopped instead, which nobody hears anything from either.
struct SilentLink {
    private let pid: Int32
    private let ports: [String]
    let means: String

    /// Makes the present TCP connections of a process silent.
    static func begin(_ pid: Int32) async throws -> SilentLink {
        let ports = try localPorts(of: pid)
        if !ports.isEmpty, let program = Installed.program("iptables"), geteuid() == 0 {
            let link = SilentLink(pid: pid, ports: ports, means: program)
            do {
                try await link.change("-I")
                return link
            } catch {
                try? await link.change("-D")
            }
        }
        kill(pid, SIGSTOP)
        return SilentLink(pid: pid, ports: [], means: "SIGSTOP")
    }

    /// Lets the connections speak again, or what is left of them.
    func end() async {
        if ports.isEmpty { kill(pid, SIGCONT) } else { try? await change("-D") }
    }

    private func change(_ way: String) async throws {
        for port in ports {
            for rule in [["OUTPUT", "-p", "tcp", "--sport", port], ["INPUT", "-p", "tcp", "--dport", port]] {
                let output = try await Child.run(Launch([means, "-w", way] + rule + ["-j", "DROP"]))
                guard output.status.isSuccess || way == "-D" else { throw Trouble("iptables: \(output.errorText)") }
            }
        }
    }

    /// The ports of this machine that the connections of a process have.
    private static func localPorts(of pid: Int32) throws -> [String] {
        var sockets: Set<String> = []
        for number in 0..<1024 {
            var target = [CChar](repeating: 0, count: 64)
            guard readlink("/proc/\(pid)/fd/\(number)", &target, 63) > 0 else { continue }
            let text = target.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if text.hasPrefix("socket:[") { sockets.insert(String(text.dropFirst(8).dropLast())) }
        }
        var ports: Set<String> = []
        for table in ["tcp", "tcp6"] {
            let text = String(decoding: try Disk.read("/proc/\(pid)/net/\(table)"), as: UTF8.self)
            for line in text.split(separator: "\n").dropFirst() {
                let words = line.split(separator: " ", omittingEmptySubsequences: true)
                // The local address, the state, which is 1 for a connection, and the socket's number.
                guard words.count > 9, words[3] == "01", sockets.contains(String(words[9])),
                    let port = words[1].split(separator: ":").last.flatMap({ Int($0, radix: 16) })
                else { continue }
                ports.insert("\(port)")
            }
        }
        return ports.sorted()
    }
}
