import Glibc
import Reactor
import TestCluster

/// The way from a loopd to its cluster, made silent without an end.
struct SilentLink {
    /// How.
    enum Way: CaseIterable {
        /// What its kubectl sends by its present connections, and what is sent to them, is lost.
        case drop
        /// Its kubectl is stopped.
        case stopKubectl
        /// It is stopped itself, as by Ctrl-Z.
        case stopLoopd

        /// What can be done here.
        static var allCases: [Way] { canDrop ? [.drop, .stopKubectl, .stopLoopd] : [.stopKubectl, .stopLoopd] }

        private static let canDrop = geteuid() == 0 && Installed.program("iptables") != nil
    }

    private let pid: Int32
    private let ports: [String]

    /// Makes it silent.
    static func begin(_ way: Way, of loopd: Loopd) async throws -> SilentLink {
        let children = ProcessTable.now().descendants(of: loopd.child.pid)
        let kubectls = children.filter { $0.command.contains("kubectl") && $0.command.contains(" proxy ") }
        // Its leash names it, too.
        let kubectl = kubectls.first { entry in !kubectls.contains { $0.parent == entry.pid } }
        guard let kubectl else { throw Trouble("no kubectl proxy among \(children)") }
        let pid = way == .stopLoopd ? loopd.child.pid : kubectl.pid
        guard way == .drop else {
            kill(pid, SIGSTOP)
            return SilentLink(pid: pid, ports: [])
        }
        let link = SilentLink(pid: pid, ports: try localPorts(of: pid))
        do {
            try await link.change("-I")
        } catch {
            await link.end()
            throw error
        }
        return link
    }

    /// Lets it speak again, or what is left of it.
    func end() async {
        if ports.isEmpty { kill(pid, SIGCONT) } else { try? await change("-D") }
    }

    private func change(_ way: String) async throws {
        let iptables = Installed.program("iptables") ?? "iptables"
        for port in ports {
            for rule in [["OUTPUT", "-p", "tcp", "--sport", port], ["INPUT", "-p", "tcp", "--dport", port]] {
                let output = try await Child.run(Launch([iptables, "-w", way] + rule + ["-j", "DROP"]))
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
