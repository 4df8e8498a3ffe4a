import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("The program of a service on this machine", .turn) struct HostProgramTests {
    @Test("a run ends with a program that nothing would start again: 0 for 0, else 1", arguments: [0, 7])
    func endsWithProgram(code: Int32) async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            let loopd = try await hosts.scene.loopd("run", "web", "--", "sh", "-c", "exit \(code)")
            #expect(try await loopd.end(limit: .seconds(60)) == .exited(code == 0 ? 0 : 1), "\(loopd.transcript)")
            let ended = try await loopd.event("hostEnded")
            #expect(ended["success"]?.bool == (code == 0))
            try await hosts.expectUntouched()
            try await hosts.untilAnswered("pod", loopd)
        }
    }

    @Test(
        "--debug says which process a debugger attaches to; while it stands still, connections wait and no pod restarts"
    )
    func debug() async throws {
        try await HostScene.run(container: HostScene.liveness) { hosts in
            try hosts.configure()
            let loopd = try await hosts.running("--debug")
            let pid = try #require(try await loopd.event("hostStarted")["pid"]?.integer)
            let notice = try await loopd.event("notice") { $0["text"]?.string?.contains("\(pid)") == true }
            #expect(notice["text"]?.string?.contains("attach") == true, "\(notice.text)")
            #expect(try await hosts.ask() == "host \(pid)")
            kill(Int32(pid), SIGSTOP)
            async let waiting = hosts.ask()
            // Time for more probes to fail than may; nothing is to happen meanwhile.
            try await Task.sleep(for: .seconds(25))
            kill(Int32(pid), SIGCONT)
            #expect(try await waiting == "host \(pid)", "\(loopd.transcript)")
            try await hosts.expectNoRestart()
            try await loopd.stop()
        }
    }

    @Test("what is typed at the terminal reaches the program")
    func input() async throws {
        try await HostScene.run { hosts in
            try hosts.configure()
            // A pseudo terminal, as a terminal emulator has one; what comes from it is copied out.
            let script = """
                import os, pty, sys, signal
                signal.alarm(300)
                pid, terminal = pty.fork()
                if pid == 0: os.execv(sys.argv[1], sys.argv[1:])
                seen, typed = b'', False
                while True:
                    try: data = os.read(terminal, 65536)
                    except OSError: break
                    if not data: break
                    seen += data
                    if not typed and b'come here' in seen:
                        typed = True
                        os.write(terminal, b'good morning\\n')
                    if b'typed: good morning' in seen: os.write(terminal, b'\\x03'); seen = b''
                    os.write(1, data)
                print('status', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                """
            let launch = Launch(
                ["python3", "-c", script, Built.loopd, "run", "web"],
                environment: environment(with: ["LOOPD_STATE_DIR": hosts.scene.stateDirectory]),
                directory: hosts.scene.project.path)
            let output = try await within(.seconds(330), "the end of loopd") { try await Child.run(launch) }
            #expect(output.text.contains("typed: good morning"), "\(output.text)\(output.errorText)")
            #expect(output.text.contains("status 130"), "\(output.text)\(output.errorText)")
            try await hosts.untilAnswered("pod", try await hosts.scene.loopd("version"))
        }
    }

    @Test("runs beside a synced service; without a workload it patches nothing, and reaches a Service both ways")
    func withoutWorkload() async throws {
        try await HostScene.run { hosts in
            let scene = hosts.scene
            let script = """
                curl -sS -m 60 http://web/ -o by-proxy; curl -sS --noproxy '*' -m 60 "http://$WEB_SERVICE_HOST:\
                $WEB_SERVICE_PORT/" -o by-need; touch asked; exec sleep 1000
                """
            try hosts.configure(
                service: [
                    "host": nil, "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
                ],
                services: [
                    "gateway": ["host": ["command": ["sh", "-c", .string(script)], "needs": ["web:80"]]]
                ])
            try scene.project.write("app/a", "1")
            let loopd = try await scene.loopd("watch", "--host", "gateway")
            _ = try await loopd.event("connected", limit: .seconds(60))
            let pod = try #require(try await scene.running(2).first { $0.name.hasPrefix("web-") })
            try await scene.untilEqual("app", "/srv/app", in: pod.name)
            // No event tells what a program writes to its files.
            try await within(.seconds(60), "the program has asked", state: { loopd.transcript }) {
                while access("\(scene.project.path)/asked", F_OK) != 0 {
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            for file in ["by-proxy", "by-need"] {
                let text = try? TestCluster.Disk.read("\(scene.project.path)/\(file)")
                #expect(text.map { String(decoding: $0, as: UTF8.self) }?.hasPrefix("pod ") == true, "\(file)")
            }
            for reference in ["deployment/web", "deployment/client"] {
                let annotations = try await scene.object(reference).at("metadata", "annotations")?.object?.keys ?? []
                #expect(!annotations.contains { $0.contains("dev") && $0 != "loopd.dev/lease" }, "\(annotations)")
            }
            #expect(try await scene.object("deployment/web")["spec"] == hosts.before["spec"])
            try scene.project.write("app/a", "2")
            try await scene.untilEqual("app", "/srv/app", in: pod.name)
            #expect(try await loopd.stop().status == .exited(130))
        }
    }
}
