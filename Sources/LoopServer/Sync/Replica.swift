internal import Reactor
internal import Watcher
internal import Wire

/// What a lane knows about one container.
///
/// Confined to its lane.
final class Replica {
    /// Content that travels before its batch is complete.
    final class Early {
        let entry: LocalEntry
        let stage: UInt32
        let content: Task<ReadContent, any Error>
        /// Whether the transfer has ended, well or not.
        var isDone = false

        init(entry: LocalEntry, stage: UInt32, content: Task<ReadContent, any Error>) {
            self.entry = entry
            self.stage = stage
            self.content = content
        }
    }

    /// Everything that the container does not have yet.
    struct Work {
        var needs: [Place: Need] = [:]
        var replaced: Set<Place> = []
        var tickets: [Ticket] = []
        /// Those of `needs` that are here only because an earlier try failed.
        var retried: Set<Place> = []

        var isEmpty: Bool { needs.isEmpty }

        /// Adds a later piece of work.
        mutating func merge(_ later: Work) {
            merge(later.needs, later.replaced)
            tickets += later.tickets
            retried.formUnion(later.retried)
        }

        /// Whether either concerns a place of the other, or what is above or below one: then their order matters.
        func touches(_ other: Work) -> Bool {
            let (ours, theirs) = (withAbove, other.withAbove)
            return needs.keys.contains(where: theirs.contains) || other.needs.keys.contains(where: ours.contains)
        }

        /// The places with every folder above them.
        private var withAbove: Set<Place> {
            var places: Set<Place> = []
            for place in needs.keys {
                var next: RelativePath? = place.path
                while let path = next, places.insert(Place(destination: place.destination, path: path)).inserted {
                    next = path.parent
                }
            }
            return places
        }

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
    /// A batch that waits for a large transfer; others pass it.
    var held: Work?
    /// Places that could not be written or read: tried again with every batch.
    var owed: [Place: Need] = [:]
    /// Whether something of the last batch found no room.
    var lacksRoom = false
    /// What waits to try that again.
    var retrying: Task<Void, Never>?
    var retryBackoff = Backoff(first: .seconds(1), limit: .seconds(30))
    /// Whether what is owed is to be tried without a batch.
    var isRetryDue = false
    /// What was last said of a place that could not be brought over.
    var reasons: [Place: String] = [:]
    /// Places whose staged content was found missing once, so that they are not compared for ever.
    var lost: Set<Place> = []
    /// Whether its files have never been as they should be, so that they differ because it is new.
    var isNew: Bool
    /// Rules whose files have landed and whose steps have not begun since: a lost way does not make up for them.
    var owedSteps: [Int: Occasion] = [:]
    /// Rules with files in the batch that is being committed: whether they have landed, only its answer tells.
    var doubtfulSteps: [Int: Occasion] = [:]
    /// The rules whose steps have begun.
    var runningSteps: [Int: Occasion] = [:]
    /// What runs them: files do not wait for it.
    var stepping: Task<Void, Never>?
    /// Whether its pod was deleted for a step.
    var isLeaving = false
    /// What hears how its service is, in dev mode.
    var following: Task<Void, Never>?
    var serviceEnds = ServiceEnds()
    /// Why the way is lost, where something beside the deliveries has found out.
    var lostWay: (any Error)?
    /// Whether a step has failed since the way stands.
    var hasFailedStep = false
    /// The content of what builds made, as the container has it.
    var landed: [Place: Landed] = [:]
    /// What the programs need that builds made and that were found to run there.
    var programs: [Place: ProgramNeeds] = [:]
    /// What builds made and would not run there.
    var refused: Set<Place> = []
    /// Places of outputs that were looked at since the way stands.
    var looked: Set<Place> = []
    var early: [Place: Early] = [:]
    /// Up to which deletion the container has been told.
    var toldSerial: UInt64 = 0
    var task: Task<Void, Never>?
    private var lastStage: UInt32 = 0

    /// What is known of a container at first; `isNew` says that no earlier run has brought its files there.
    init(_ instance: ContainerInstance, isNew: Bool = true) {
        self.instance = instance
        self.isNew = isNew
    }

    /// A number for content that is staged next.
    func nextStage() -> UInt32 {
        lastStage &+= 1
        return lastStage
    }

    /// Takes everything there is to do, with what failed before.
    func takeWork() -> Work {
        defer {
            work = Work()
            owed = [:]
            isRetryDue = false
        }
        for place in work.needs.keys { reasons[place] = nil }
        work.retried = Set(owed.keys.filter { work.needs[$0] == nil })
        work.needs.merge(owed) { $0.joined($1) }
        return work
    }

    /// Whether there is work that can be taken.
    var hasWork: Bool { !work.isEmpty || isRetryDue }

    /// Whether the container has every file that it can have.
    var isQuiet: Bool { isConverged && !isDelivering && work.isEmpty && held == nil }

    /// Whether nothing is under way, steps included.
    var isSettled: Bool { isQuiet && owedSteps.isEmpty && runningSteps.isEmpty }

    /// Whether everything is there that should be: nothing was passed over, and every step went well.
    var isWhole: Bool { isSettled && blocked.isEmpty && owed.isEmpty && refused.isEmpty && !hasFailedStep }

    /// Forgets the way; what was under way has to be found again by comparison.
    ///
    /// Returns the tickets that do not wait for this container any more.
    func disconnect() -> [Ticket] {
        access?.drop()
        access = nil
        isListening = false
        isConverged = false
        blocked = []
        for early in early.values { early.content.cancel() }
        early = [:]
        owed = [:]
        landed = [:]
        refused = []
        looked = []
        hasFailedStep = false
        stopTasks()
        let tickets = work.tickets + (held?.tickets ?? [])
        for ticket in tickets { ticket.drop(instance.id) }
        work = Work()
        held = nil
        return tickets
    }

    /// Notes that rules' steps are due; a change counts for more than the first comparison.
    func owe(_ steps: [Int: Occasion]) {
        owedSteps.merge(steps) { $0 == .change ? .change : $1 }
    }

    /// Notes that rules' steps begin, as far as they are owed on this occasion.
    func beginSteps(of rules: Set<Int>, _ owed: [Int: Occasion]) {
        for rule in rules where runningSteps[rule] == nil {
            runningSteps[rule] = owed[rule]
            if owedSteps[rule] == owed[rule] { owedSteps[rule] = nil }
        }
    }

    /// Ends what goes on beside the deliveries; the step that runs and those that may be due begin again on the next way.
    func stopTasks() {
        stepping?.cancel()
        stepping = nil
        following?.cancel()
        following = nil
        retrying?.cancel()
        retrying = nil
        isRetryDue = false
        lostWay = nil
        owe(doubtfulSteps)
        owe(runningSteps)
        doubtfulSteps = [:]
        runningSteps = [:]
    }
}
