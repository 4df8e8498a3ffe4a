internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// How long nobody answers when something between a pod and this machine is lost.
enum HostLossRows {
    private static let rounds = 10

    static func lost() async throws -> [Row] {
        var (killed, silent, replaced): ([Double], [Double], [Double]) = ([], [], [])
        try await HybridScene.run { hybrid in
            let words = try await Reader(hybrid.scene, pod: hybrid.client, words: hybrid.address, "80")
            for _ in 1...rounds {
                let loopd = try await hybrid.running()
                try await words.untilLast("here")
                let began = now()
                loopd.child.signal(SIGKILL)
                killed.append(Double(try await words.untilLast("pod") - began) / 1e6)
                _ = try await loopd.end()
            }
            let loopd = try await hybrid.running()
            try await words.untilLast("here")
            for _ in 1...rounds {
                let found = ProcessTable.now().descendants(of: loopd.child.pid).filter {
                    $0.command.contains(" proxy ") && !$0.command.contains("leash")
                }
                guard let proxy = found.first else { throw Trouble("loopd has no kubectl proxy") }
                let began = now()
                proxy.signal(SIGSTOP)
                defer { proxy.signal(SIGCONT) }
                silent.append(Double(try await words.untilLast("pod") - began) / 1e6)
                proxy.signal(SIGCONT)
                try await words.untilLast("here")
            }
            for _ in 1...rounds {
                let old = try await hybrid.pod().name
                let place = loopd.log.count
                try await hybrid.scene.kubectl(["delete", "pod", old, "--wait=false"])
                try await hybrid.scene.pods().until("the new pod is ready") { pods in
                    pods.contains { $0.name.hasPrefix("app-") && $0.succeeds(old) }
                }
                let ready = now()
                _ = try await loopd.event("intercepting", from: place, limit: .seconds(60)) {
                    $0["pods"]?.array?.contains { $0.string.map { !$0.isEmpty && $0 != old } ?? false } == true
                }
                let answered = try await words.untilLast("here")
                // It may have been taken over before it was ready.
                replaced.append(answered > ready ? Double(answered - ready) / 1e6 : 0)
                _ = try await hybrid.pod()
            }
            await words.stop()
            try await loopd.stop()
        }
        return [
            ("loopd killed (SIGKILL) to the pod's own service answering", killed, "≤ 2 s"),
            ("the way silent (its kubectl proxy stopped) to the pod's own service answering", silent, "≤ 3 s"),
            ("pod deleted: the new one ready to the program on this machine answering", replaced, "≤ 2 s"),
        ].map {
            Row(
                what: "\($0), p50 / most of \(rounds)",
                loopd: "\(Figures.time($1.median)) / \(Figures.time($1.percentile(1)))", target: $2,
                beside: HybridScene.load, ratio: "")
        }
    }
}

extension Reader {
    /// Waits until the newest word is this one; returns since when.
    @discardableResult
    func untilLast(_ word: String) async throws -> UInt64 {
        while true {
            let place = count
            if let last, last.text == word { return last.at }
            _ = try await line(from: place) { $0 == word }
        }
    }
}

extension HybridScene {
    /// Waits until the Service's connections come to this machine.
    func untilHere() async throws {
        try await scene.exec(client, ["/probe", "words", address, "80", "here"])
    }
}
