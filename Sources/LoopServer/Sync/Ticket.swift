internal import Watcher

/// One batch on its way into several containers: when the last of them has it, it has landed.
final class Ticket {
    let firstEvent: UInt64
    let settled: UInt64
    let isInitial: Bool
    private(set) var rules: Set<Int>
    /// Containers that still have to acknowledge.
    private(set) var waiting: Set<ContainerInstance.ID>
    private(set) var files = 0
    private(set) var deleted = 0
    private(set) var paths: [String] = []
    private(set) var pods: Set<String> = []
    private(set) var bytes: Int64 = 0
    private(set) var bytesSent: Int64 = 0
    private(set) var staged: UInt64
    private var acknowledged: UInt64

    /// A batch for some containers; times are nanoseconds of `CLOCK_MONOTONIC`.
    init(firstEvent: UInt64, settled: UInt64, rules: Set<Int>, waiting: Set<ContainerInstance.ID>, isInitial: Bool) {
        self.firstEvent = firstEvent
        self.settled = settled
        self.rules = rules
        self.waiting = waiting
        self.isInitial = isInitial
        staged = settled
        acknowledged = settled
    }

    /// What one container got.
    struct Receipt {
        var files = 0
        var deleted = 0
        var bytes: Int64 = 0
        var bytesSent: Int64 = 0
        var paths: [String] = []
        var staged: UInt64
        var acknowledged: UInt64
    }

    /// Notes that a container has the batch.
    ///
    /// The largest receipt speaks for all: the same files went everywhere.
    func land(in instance: ContainerInstance, _ receipt: Receipt) {
        waiting.remove(instance.id)
        pods.insert(instance.pod)
        files = max(files, receipt.files)
        deleted = max(deleted, receipt.deleted)
        bytes = max(bytes, receipt.bytes)
        bytesSent = max(bytesSent, receipt.bytesSent)
        if receipt.paths.count > paths.count { paths = receipt.paths }
        staged = max(staged, receipt.staged)
        acknowledged = max(acknowledged, receipt.acknowledged)
    }

    /// Notes that a container is gone; it will be compared wholly when it is back.
    func drop(_ id: ContainerInstance.ID) { waiting.remove(id) }

    /// The line for people, once nobody is waited for; `nil` when nothing changed anywhere.
    var landed: LoopEvent.Landed? {
        guard waiting.isEmpty, !pods.isEmpty, files + deleted > 0 else { return nil }
        let milliseconds = { (from: UInt64, to: UInt64) in Double(to >= from ? to - from : 0) / 1e6 }
        return LoopEvent.Landed(
            files: files, deleted: deleted, bytes: bytes, bytesSent: bytesSent, pods: pods.count, paths: paths,
            milliseconds: milliseconds(firstEvent, acknowledged),
            legs: LoopEvent.Legs(
                detect: milliseconds(firstEvent, settled), stage: milliseconds(settled, staged),
                commit: milliseconds(staged, acknowledged)),
            isInitial: isInitial)
    }
}
