internal import Watcher

/// Hands what the watcher sees to every lane, in order.
struct WatchLoop: Sendable {
    let watcher: Watcher
    let lanes: [ServiceLane]
    var builds: SessionBuilds?
    /// What is read only when loopd starts.
    let startFiles: StartFiles
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
                await builds?.buildAll()
                report(.watching(folders: folders, milliseconds: Double(monotonicNow() - started) / 1e6))
                await onReady()
            case .settled(var changes):
                tellStartFiles(&changes)
                for lane in lanes { await lane.settle(changes) }
                await builds?.settle(changes)
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

    /// Says of files that are read only at the start that they changed, and takes them out for lanes that do not sync them.
    private func tellStartFiles(_ changes: inout ChangeSet) {
        let found = changes.paths.compactMap { path in startFiles.words(on: path).map { (path, $0) } }
        for (path, words) in found.sorted(by: { $0.0 < $1.0 }) {
            guard !lanes.contains(where: { $0.plan.placement(of: path) != nil }) else { continue }
            changes.paths.remove(path)
            report(.notice(words))
        }
    }

    private func report(_ kind: LoopEvent.Kind) { emit(LoopEvent(kind)) }
}
