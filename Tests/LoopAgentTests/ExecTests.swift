import Glibc
import Reactor
import Testing
import Wire

@Suite("Programs that the helper runs")
struct ExecTests {
    private func exec(_ arguments: String..., directory: String = "", environment: [String] = []) -> Exec {
        Exec(
            arguments: arguments.map { [UInt8]($0) }, directory: [UInt8](directory),
            environment: environment.map { [UInt8]($0) })
    }

    @Test("output, error, folder, environment and exit code come through")
    func everything() async throws {
        let client = try await HelperClient.connect()
        let result = try await client.exec(
            exec(
                "sh", "-c", "pwd; echo \"$A $PATH\"; cat; echo oops >&2; exit 3", directory: "/usr",
                environment: ["A=b c", "PATH=/bin:/usr/bin"]))
        #expect(result.output.text == "/usr\nb c /bin:/usr/bin\n")
        #expect(result.error.text == "oops\n")
        #expect(result.exit == .code(3))
        try await client.end()
    }

    @Test(
        "a program that cannot be started is a failure that names it",
        arguments: ["/no/such/program", "no-such-program"])
    func missing(_ name: String) async throws {
        let client = try await HelperClient.connect()
        guard case .failure(let failure)? = try await client.ask(.exec(exec(name))) else {
            Issue.record("started")
            return
        }
        #expect(failure.code == ENOENT)
        #expect(failure.path.text == name)
        try await client.end()
    }

    @Test("output far beyond the window comes whole, as it is granted")
    func large() async throws {
        let client = try await HelperClient.connect()
        let result = try await client.exec(exec("head", "-c", "5000000", "/dev/zero"))
        #expect(result.output.count == 5_000_000)
        #expect(result.exit == .code(0))
        try await client.end()
    }

    @Test("a signal reaches the whole group")
    func signal() async throws {
        let client = try await HelperClient.connect()
        let stream = await client.newStream()
        try await client.send(.exec(exec("sh", "-c", "echo ready; sleep 1000; :")), on: stream)
        guard case .output? = await client.receive(on: stream) else {
            Issue.record("no output")
            return
        }
        try await client.send(.signal(SIGTERM), on: stream)
        #expect(await client.receive(on: stream) == .exited(.signal(SIGTERM)))
        try await client.end()
    }

    @Test("a grandchild that keeps the pipes open does not hold the end back")
    func daemon() async throws {
        let client = try await HelperClient.connect()
        let result = try await client.exec(exec("sh", "-c", "sleep 1000 & echo $!; exit 0"))
        #expect(result.exit == .code(0))
        let pid = try #require(Int32(result.output.text.dropLast()))
        #expect(kill(pid, SIGKILL) == 0)
        try await client.end()
    }

    @Test("the end of the session kills what still runs, even what ignores SIGTERM")
    func killed() async throws {
        let client = try await HelperClient.connect()
        let stream = await client.newStream()
        try await client.send(
            .exec(exec("sh", "-c", "trap '' TERM; sleep 1000 & echo $$ $!; while :; do wait; done")), on: stream)
        guard case .output(let output)? = await client.receive(on: stream) else {
            Issue.record("no output")
            return
        }
        let pids = output.bytes.text.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
        #expect(pids.count == 2)
        await client.hangUp()
        #expect(await client.child.wait() == .exited(0))
        for pid in pids { #expect(await eventually { !isAlive(pid) }) }
    }
}

/// Whether a process runs; a zombie does not.
func isAlive(_ pid: Int32) -> Bool {
    guard let stat = Disk.text("/proc/\(pid)/stat"), let name = stat.lastIndex(of: ")") else { return false }
    let state = stat[name...].dropFirst(2).first
    return state != "Z" && state != "X"
}
