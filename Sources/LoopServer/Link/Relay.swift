/// Joins two connections, one in the cluster and one of this machine as a rule, so that both ends take each other for their
/// peer.
enum Relay {
    /// Carries bytes both ways until both ends have finished, or one of them is gone: then the other one is reset.
    ///
    /// Both are closed when it returns, which it also does soon after its task is cancelled. Neither end is read faster than
    /// the other one takes.
    static func join(_ remote: some RelayEnd, _ local: some RelayEnd) async {
        let isComplete = await withTaskGroup(of: News.self) { group in
            group.addTask { await carry(from: local, to: remote) ? .localFinished : .broken }
            group.addTask { await carry(from: remote, to: local) ? .remoteFinished : .broken }
            defer { group.cancelAll() }
            var finished: Set<News> = []
            while finished.count < 2 {
                guard let news = await group.next(), news != .broken else { return false }
                finished.insert(news)
                // Nobody reads there any more who would see a reset.
                group.addTask {
                    try? await news == .localFinished ? local.untilBroken() : remote.untilBroken()
                    return .broken
                }
            }
            return true
        }
        if isComplete {
            remote.close()
            local.close()
        } else {
            remote.reset()
            local.reset()
        }
    }

    private enum News {
        case localFinished, remoteFinished, broken
    }

    private static func carry(from source: some RelayEnd, to target: some RelayEnd) async -> Bool {
        do {
            while true {
                let bytes = try await source.receive()
                if bytes.isEmpty { break }
                try await target.send(bytes)
            }
            target.finish()
            return true
        } catch {
            return false
        }
    }
}
