import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("A service on this machine under load", .alone) struct HostLoadTests {
    /// What a process has: its open descriptors, and the bytes that are resident.
    private struct Usage: CustomStringConvertible {
        var descriptors: Int
        var resident: Int

        var description: String { "\(descriptors) descriptors, \(resident >> 10) KiB" }
    }

    @Test("500 connections at once lose and mix no byte, and leave nothing behind in loopd and in the helper")
    func connections() async throws {
        let seconds = variable("LOOPD_E2E_LONG") == nil ? 8 : 60
        let seed = UInt32.random(in: .min ... .max)
        print("seed \(seed)")
        try await HostScene.run { hosts in
            try hosts.configure()
            let loopd = try await hosts.running()
            let program = try #require(try await loopd.event("hostStarted")["pid"]?.integer)
            let pod = try #require(try await hosts.scene.running(2).first { $0.name.hasPrefix("web-") }).name
            func load(_ seconds: Int, _ seed: UInt32) async throws {
                let command = ["/probe", "load", hosts.address, "80", "\(seed)", "\(seconds)", "500"]
                let said = try await hosts.scene.exec(hosts.client, command, codes: [0, 1])
                print(said.text)
                #expect(said.status.isSuccess, "\(said.text)\(said.errorText)\(loopd.transcript)")
            }
            // Tables and pools grow to their size first.
            try await load(max(3, seconds / 3), seed)
            let (ownBefore, helperBefore) = (here(loopd), try await there(hosts, pod))
            try await load(seconds, seed &+ 1)
            // What a connection leaves is given up a moment after its end.
            try await within(.seconds(20), "no descriptor is left", state: { "\(here(loopd)), \(ownBefore) before" }) {
                while here(loopd).descriptors > ownBefore.descriptors + 4 {
                    try await Task.sleep(for: .milliseconds(100))
                }
            }
            let (own, helper) = (here(loopd), try await there(hosts, pod))
            print("loopd: \(ownBefore), then \(own)")
            print("helper: \(helperBefore), then \(helper)")
            #expect(helper.descriptors <= helperBefore.descriptors + 4)
            #expect(own.resident < ownBefore.resident + 24 << 20)
            #expect(helper.resident < helperBefore.resident + 4 << 20)
            #expect(try await hosts.ask() == "host \(program)")
            #expect(try await loopd.stop().status == .exited(130))
        }
    }

    private func here(_ loopd: Loopd) -> Usage {
        let pid = loopd.child.pid
        let descriptors = (0..<8192).count { isThere("/proc/\(pid)/fd/\($0)") }
        return Usage(descriptors: descriptors, resident: ProcessTable.memory(of: pid).now)
    }

    private func isThere(_ path: String) -> Bool {
        // A descriptor's link may lead to what is no file.
        var about = stat()
        return lstat(path, &about) == 0
    }

    /// The helper is process 1 of its container, and serves links in processes of its own.
    private func there(_ hosts: HostScene, _ pod: String) async throws -> Usage {
        let script = """
            for process in /proc/[0-9]*; do case $(cat $process/cmdline 2>/dev/null | tr '\\0' ' ') in \
            *helper*) ls $process/fd | wc -l; grep VmRSS: $process/status;; esac; done
            """
        let text = try await hosts.scene.exec(pod, ["/bin/busybox", "sh", "-c", script]).text
        var usage = Usage(descriptors: 0, resident: 0)
        for line in text.split(separator: "\n") {
            let number = Int(line.filter(\.isNumber)) ?? 0
            if line.hasPrefix("VmRSS") { usage.resident += number << 10 } else { usage.descriptors += number }
        }
        return usage
    }
}
