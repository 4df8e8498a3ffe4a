internal import Reactor
internal import Watcher
internal import Wire

/// What a lane knows about one container.
///
/// Confined to its lane.
final class Replica {
    /// Content that travels before its batch is complete.
    struct Early {
        let entry: LocalEntry
        let stage: UInt32
        let content: Task<SHA256Digest, any Error>
    }

    /// Everything that the container does not have yet.
    struct Work {
        var needs: [Place: Need] = [:]
        var replaced: Set<Place> = []
        var tickets: [Ticket] = []

        /// Adds what another change asks for.
        mutating func merge(_ needs: [Place: Need], _ replaced: Set<Place>) {
            self.needs.merge(needs) { $0.joined($1) }
            self.replaced.formUnion(replaced)
        }
    }

    let instance: ContainerInstance
    /// Signalled when there is something to do: work, or a lost way.
    let gate = Gate()
    var access: (any ContainerAccess)?
    /// Whether changes are collected as work: from the beginning of the comparison on.
    var isListening = false
    /// Whether the trees were compared over the present way.
    var isConverged = false
    /// Whether a batch is on its way.
    var isDelivering = false
    /// Places that a warning was given for.
    var warned: Set<Place> = []
    /// What the container said of each destination when it was opened.
    var opened: [Int: Opened] = [:]
    /// Destinations that cannot be written, so that they are reported once and left out.
    var blocked: Set<Int> = []
    var work = Work()
    var early: [Place: Early] = [:]
    /// Up to which deletion the container has been told.
    var toldSerial: UInt64 = 0
    var task: Task<Void, Never>?
    private var lastStage: UInt32 = 0

    init(_ instance: ContainerInstance) {
        self.instance = instance
    }

    /// A number for content that is staged next.
    func nextStage() -> UInt32 {
        lastStage &+= 1
        return lastStage
    }

    /// Takes everything there is to do.
    func takeWork() -> Work {
        defer { work = Work() }
        return work
    }

    /// Forgets the way; what was under way has to be found again by comparison.
    func disconnect() {
        access?.drop()
        access = nil
        isListening = false
        isConverged = false
        blocked = []
        for early in early.values { early.content.cancel() }
        early = [:]
        for ticket in work.tickets { ticket.drop(instance.id) }
        work = Work()
    }
}
