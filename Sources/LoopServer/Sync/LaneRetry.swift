internal import Glibc
internal import Reactor

/// What found no room in a container: tried again by itself, because room comes without a save.
extension ServiceLane {
    /// Sees to it that what was left out for lack of room is tried again after a while, each time after a longer one.
    func retryLater(_ replica: Replica) {
        guard replica.lacksRoom else { return replica.retryBackoff.reset() }
        guard replica.retrying == nil, replicas[replica.instance.id] === replica else { return }
        let (wait, id) = (replica.retryBackoff.next(), replica.instance.id)
        replica.retrying = Task {
            guard (try? await Task.sleep(for: wait)) != nil else { return }
            tryAgain(id)
        }
    }

    private func tryAgain(_ id: ContainerInstance.ID) {
        guard let replica = replicas[id] else { return }
        replica.retrying = nil
        // A batch that came meanwhile has tried it.
        guard !replica.owed.isEmpty else { return }
        let now = monotonicNow()
        replica.work.tickets.append(
            Ticket(firstEvent: now, settled: now, rules: [], waiting: [id], isInitial: false))
        replica.isRetryDue = true
        replica.gate.signal()
    }

    /// Whether an error number says that there is no room.
    static func meansNoRoom(_ code: Int32) -> Bool { code == ENOSPC || code == EDQUOT }
}
