internal import Reactor

/// Joins a connection in the cluster with one of this machine, so that both ends take each other for their peer.
enum Relay {
    /// Carries bytes both ways until both ends have finished, or one of them is gone: then the other one is reset.
    ///
    /// Both are closed when it returns, which it also does soon after its task is cancelled. Neither end is read faster than
    /// the other one takes.
    static func join(_ remote: LinkSocket, _ local: Stream) async {
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
        if isComplete { return local.close() }
        remote.reset()
        local.reset()
    }

    private enum News {
        case localFinished, remoteFinished, broken
    }

    private static func carry(from local: Stream, to remote: LinkSocket) async -> Bool {
        do {
            while true {
                let bytes = try await local.read()
                if bytes.isEmpty { break }
                try await remote.send(bytes)
            }
            remote.finish()
            return true
        } catch {
            return false
        }
    }

    private static func carry(from remote: LinkSocket, to local: Stream) async -> Bool {
        do {
            while true {
                let bytes = try await remote.receive()
                if bytes.isEmpty { break }
                try await local.write(bytes)
            }
            local.shutdownWrite()
            return true
        } catch {
            return false
        }
    }
}
