internal import Watcher

/// Hands what the watcher sees to every lane, in order.
struct WatchLoop: Sendable {
    let watcher: Watcher
    let lanes: [ServiceLane]
    let emit: @Sendable (LoopEvent) -> Void
    /// Called once, when every folder is watched and every lane has looked at the tree for the first time.
    let onReady: @Sendable () async -> Void

    /// Runs until the watcher stops or the task is cancelled.
    ///
    /// Throws when watching cannot begin.
    func run() async throws {
        let started = monotonicNow()
        try watcher.start()
        for await event in watcher.events {
            switch event {
            case .ready(let folders):
                for lane in lanes { await lane.survey() }
                report(.watching(folders: folders, milliseconds: Double(monotonicNow() - started) / 1e6))
                await onReady()
            case .settled(let changes):
                for lane in lanes { await lane.settle(changes) }
            case .finished(let path):
                for lane in lanes { await lane.prepare(path) }
            case .rootVanished:
                report(
                    .notice("the project's folder is gone; waiting for it to come back, nothing is deleted meanwhile"))
            case .rootRestored:
                report(.notice("the project's folder is back; comparing"))
            case .limitReached(let limit):
                report(.failed(LoopEvent.Failure("not every folder is watched: \(limit)")))
            case .limitLifted:
                report(.notice("every folder is watched now"))
            case .unreadable(let folder):
                report(.notice("\(folder)"))
            }
        }
    }

    private func report(_ kind: LoopEvent.Kind) { emit(LoopEvent(kind)) }
}
