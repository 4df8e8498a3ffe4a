import Glibc
import Testing

@testable import LoopServer

@Suite("A program that waits for a debugger", .turn)
struct HostDebugTests {
    private func apply(
        _ command: [String], _ environment: [String: String] = [:], override: [String]? = nil, debugpy: Bool = true
    ) async -> HostDebug {
        await HostDebug.apply(command, environment, override: override) { _ in debugpy }
    }

    private let inspect = "--inspect-brk=127.0.0.1:9229"
    private let agent = "-agentlib:jdwp=transport=dt_socket,server=y,suspend=y,address=127.0.0.1:5005"
    private let debugpy = ["-m", "debugpy", "--listen", "127.0.0.1:5678", "--wait-for-client"]

    @Test("known runtimes are told by an argument, so that their children do not want the same port")
    func arguments() async {
        for (command, told, port) in [
            (["node", "app.js", "-x"], ["node", inspect, "app.js", "-x"], 9229),
            (["/opt/node/bin/node", "app.js"], ["/opt/node/bin/node", inspect, "app.js"], 9229),
            (["tsx", "watch", "app.ts"], ["tsx", inspect, "watch", "app.ts"], 9229),
            (["java", "-jar", "a.jar"], ["java", agent, "-jar", "a.jar"], 5005),
            (["./gradlew", "bootRun"], ["./gradlew", "bootRun", "--debug-jvm"], 5005),
            (["mvn", "spring-boot:run"], ["mvn", "spring-boot:run", "-Dspring-boot.run.jvmArguments=\(agent)"], 5005),
            (["python3", "-u", "-X", "dev", "app.py"], ["python3", "-u", "-X", "dev"] + debugpy + ["app.py"], 5678),
            (["python3.12", "-m", "web", "-p"], ["python3.12"] + debugpy + ["-m", "web", "-p"], 5678),
        ] as [([String], [String], UInt16)] {
            let debug = await apply(command)
            #expect(debug.command == told)
            #expect(debug.port == port && debug.environment.isEmpty && !debug.isAttached)
            #expect(debug.lines == ["--debug: the program waits for a debugger at 127.0.0.1:\(port)"])
        }
    }

    @Test("starters of programs pass it on, with what is there already")
    func starters() async {
        #expect(await apply(["npm", "run", "dev"]).environment == ["npm_config_node_options": inspect])
        let kept = await apply(["npx", "vite"], ["NODE_OPTIONS": "--no-warnings"])
        #expect(kept.environment["npm_config_node_options"] == "--no-warnings \(inspect)")
        #expect(kept.command == ["npx", "vite"])
        #expect(
            await apply(["mvn", "exec:java"], ["MAVEN_OPTS": "-Xmx1g"]).environment == ["MAVEN_OPTS": "-Xmx1g \(agent)"]
        )
    }

    @Test("the configuration's own command wins, and what is not known is attached to")
    func others() async {
        let own = await apply(["node", "app.js"], ["A": "b"], override: ["node", "--inspect", "app.js"])
        #expect(own == HostDebug(command: ["node", "--inspect", "app.js"], environment: ["A": "b"]))
        let native = await apply(["./gateway", "-v"])
        #expect(native.command == ["./gateway", "-v"] && native.isAttached && native.port == nil)
        #expect(HostDebug.attachment(to: 7, path: "/no/such").hasPrefix("--debug: attach with gdb -p 7 or lldb -p 7;"))
        let without = await apply(["python3", "app.py"], debugpy: false)
        #expect(without.command == ["python3", "app.py"])
        #expect(without.lines == ["--debug: python3 has no debugpy: python3 -m pip install debugpy"])
    }

    @Test("a program of node's really waits", .enabled(if: access("/usr/bin/node", X_OK) == 0))
    func node() async throws {
        let host = try HostFixture(["/usr/bin/node", "app.js"], grace: .seconds(1), debug: true)
        try host.folder.write("app.js", "console.log('ran')")
        host.process.start()
        _ = try await host.found { events in
            events.first {
                if case .hostOutput(let line) = $0 { line.hasPrefix("Debugger listening on") } else { false }
            }
        }
        #expect(host.notices == ["--debug: the program waits for a debugger at 127.0.0.1:9229"])
        await host.process.stop()
        #expect(!host.lines.contains("ran"))
        await host.end()
    }
}
