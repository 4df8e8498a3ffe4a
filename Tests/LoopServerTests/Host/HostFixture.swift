import Glibc
import Reactor
import TestCluster
import Testing

@testable import LoopServer

/// A program that is kept running in a folder of its own, and what is said of it.
final class HostFixture: Sendable {
    let folder: ScratchTree
    let log = EventLog()
    let process: HostProcess
    private let running: Task<Void, Never>

    /// - Parameter command: is run in the folder; each `PROBE` in it is the test program.
    init(
        _ command: [String], ports: [UInt16] = [], grace: Duration = .seconds(60), input: Bool = false,
        debug: Bool = false, patience: HostReadiness.Patience = HostReadiness.Patience(), terminal: Int32 = 0,
        in folder: ScratchTree? = nil, environment: [String: String] = [:], _ adjust: (inout Host) -> Void = { _ in }
    ) throws {
        let folder = try folder ?? ScratchTree()
        self.folder = folder
        var host = Host(
            command: command.map { $0.replacing("PROBE", with: Built.probe) }, directory: folder.path)
        host.grace = grace
        adjust(&host)
        let log = self.log
        process = HostProcess(
            host, leash: Built.leash, ports: ports, input: input, debug: debug, patience: patience, terminal: terminal,
            environment: { ProcessEnvironment.inherited.merging(environment) { _, own in own } },
            emit: { log.add(LoopEvent($0)) })
        running = Task { [process] in await process.run() }
    }

    /// Ends the program, and returns when nothing of it is left.
    func end() async {
        running.cancel()
        await running.value
    }

    /// Waits until the process is in such a state.
    func until(_ isWanted: @escaping @Sendable (HostProcess.State) -> Bool) async throws {
        let process = process
        try await within(.seconds(120), "a state", state: { "\(process.state), \(self.log.all)" }) {
            for await state in process.states where isWanted(state) { return }
        }
    }

    func untilUp() async throws {
        try await until { if case .up = $0 { true } else { false } }
    }

    func untilEnded() async throws {
        try await until { if case .ended = $0 { true } else { false } }
    }

    /// Waits until something is found among the events.
    func found<Found: Sendable>(_ look: @escaping @Sendable ([LoopEvent.Kind]) -> Found?) async throws -> Found {
        let log = log
        return try await within(.seconds(120), "an event", state: { "\(log.all)" }) {
            while true {
                if let found = look(log.all) { return found }
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    /// Waits for a line that the program prints, or several programs do.
    func printed(_ line: String, times: Int = 1) async throws {
        _ = try await found { events in
            events.count { $0 == LoopEvent.Kind.hostOutput(line: line) } >= times ? true : nil
        }
    }

    var lines: [String] {
        log.all.compactMap { if case .hostOutput(let line) = $0 { line } else { nil } }
    }

    var pids: [Int32] {
        log.all.compactMap { if case .hostStarted(let pid, _, _) = $0 { pid } else { nil } }
    }

    var notices: [String] {
        log.all.compactMap { if case .notice(let text) = $0 { text } else { nil } }
    }

    /// A socket with a port of loopback, which does not listen; 0 is any port.
    static func bound(_ port: UInt16) throws -> (descriptor: Int32, port: UInt16) {
        let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = INADDR_LOOPBACK.bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(made, $0, size) == 0 && getsockname(made, $0, &size) == 0
            }
        }
        try #require(isBound)
        return (made, UInt16(bigEndian: address.sin_port))
    }

    /// What a server says to who connects.
    static func answer(at port: UInt16, address: String = "127.0.0.1") async throws -> String {
        let stream = try await Stream.connect(to: .tcp(host: address, port: port))
        defer { stream.close() }
        var bytes: [UInt8] = []
        while let more = try? await stream.read(), !more.isEmpty { bytes += more }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The live processes that were started with a variable of this value.
    static func processes(with variable: String) -> [Int32] {
        RunningProcess.all().map(\.pid).filter { pid in
            // A dead one that nobody has reaped has no environment any more.
            guard let bytes = ScratchTree.contents("/proc/\(pid)/environ") else { return false }
            return bytes.split(separator: 0).contains { $0.elementsEqual(variable.utf8) }
        }
    }
}
