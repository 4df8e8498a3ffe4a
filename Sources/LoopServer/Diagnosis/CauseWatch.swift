internal import HTTP
internal import JSON
internal import Reactor
internal import Synchronization

/// Tells what keeps a target's pods from being ready: each cause once, while it lasts.
///
/// One task runs it; another one gives it the target's state whenever that changes. The namespace's warnings are watched
/// only while there is something to explain; where they may not be seen, the state alone must do.
final class CauseWatch: Sendable {
    private struct Known {
        var state: WorkloadState?
        var events: [String: ObjectEvent] = [:]
        /// Whether the warnings are there, or known not to come.
        var hasEvents = false
        var isChanged = false
        /// From when on all is well, while there is nothing to explain.
        var wellFrom: ContinuousClock.Instant?
        var present: [Diagnosis] = []

        mutating func note(_ event: JSON) { events[ObjectEvent.name(event)] = ObjectEvent(event) }
    }

    private let client: KubeClient
    private let target: Target
    private let namespace: String
    private let container: String?
    private let clues: RegistryClues.Source
    /// How long a cause may wait for what makes it clearer, a log for example.
    private let patience: Duration
    private let ledger: CauseLedger?
    private let report: @Sendable (LoopEvent.Failure) -> Void
    private let onWell: @Sendable () -> Void
    private let known = Mutex(Known())
    private let news = Gate()
    /// For who waits until something holds.
    private let explanation = Gate()

    /// - Parameters:
    ///   - ledger: what others tell about the same target, which is not told again.
    ///   - onWell: called whenever what was told is over, before what comes after is news.
    ///   - report: called in order, as `onWell` from the task that runs it.
    init(
        _ client: KubeClient, _ target: Target, namespace: String, container: String? = nil,
        clues: @escaping RegistryClues.Source = { RegistryClues() }, ledger: CauseLedger? = nil,
        patience: Duration = .seconds(1),
        onWell: @escaping @Sendable () -> Void = {}, report: @escaping @Sendable (LoopEvent.Failure) -> Void
    ) {
        self.client = client
        self.target = target
        self.namespace = namespace
        self.container = container
        self.clues = clues
        self.ledger = ledger
        self.patience = patience
        self.onWell = onWell
        self.report = report
    }

    /// Takes the newest state; `nil` when there is nothing to explain: what comes after is news then, if it stays so for
    /// as long as `settling`.
    func update(_ state: WorkloadState?, settling: Duration = .zero) {
        known.withLock { known in
            known.state = state
            known.wellFrom = state == nil ? known.wellFrom ?? .now + settling : nil
            known.isChanged = true
        }
        news.signal()
    }

    /// What holds now.
    var present: [Diagnosis] { known.withLock { $0.present } }

    /// Returns when something holds, or after a limit: a state comes before what explains it.
    func untilKnown(within limit: Duration) async {
        _ = await atMost(limit) {
            while self.present.isEmpty, !Task.isCancelled { await self.explanation.pass() }
        }
    }

    /// Tells until the task is cancelled.
    func run() async {
        var told: Set<[String]> = []
        var answers: [Question: Answer] = [:]
        var watches = PodAges()
        var youngestPod = ""
        var events: Task<Void, Never>?
        var timer: Task<Void, Never>?
        while !Task.isCancelled {
            await news.pass()
            timer?.cancel()
            let (now, isChanged) = known.withLock { known in
                defer { known.isChanged = false }
                return (known, known.isChanged)
            }
            guard let state = now.state else {
                known.withLock { $0.present = [] }
                let wait = (now.wellFrom ?? .now) - .now
                if wait > .zero {
                    timer = lookAgain(after: wait)
                    continue
                }
                await stop(&events)
                ledger?.forget(target, in: namespace)
                (told, answers) = ([], [:])
                onWell()
                continue
            }
            watches.note(state.pods)
            if events == nil, needsEvents(state) { events = Task { await self.followEvents() } }
            if isChanged { answers = answers.filter { $0.key.isLasting } }
            guard now.hasEvents || events == nil else { continue }
            let warnings = Array(now.events.values)
            var picture = RolloutPicture(target: target, namespace: namespace, state: state, events: warnings)
            youngestPod = max(youngestPod, state.pods.map(\.created).max() ?? "")
            picture.youngestPod = youngestPod
            (picture.container, picture.clues, picture.ages) = (container, await clues(), watches.ages)
            picture.answers = answers
            var found = picture.examine()
            tell(found.diagnoses, &told)
            if !found.questions.isEmpty {
                let answered = await ask(found.questions, warnings)
                // An answer that the end has cut off is none: whoever goes on watching tells the cause with it.
                guard !Task.isCancelled else { break }
                for (question, answer) in answered { answers[question] = answer }
                picture.answers = answers
                found = picture.examine()
                tell(found.diagnoses, &told)
                // An answer may lead to the next question.
                if found.questions.contains(where: { answers[$0] == nil }) { news.signal() }
            }
            known.withLock { $0.present = found.diagnoses }
            explanation.signal()
            timer = found.recheck.map { lookAgain(after: $0) }
        }
        timer?.cancel()
        await stop(&events)
    }

    private func lookAgain(after wait: Duration) -> Task<Void, Never> {
        Task {
            guard (try? await Task.sleep(for: wait)) != nil else { return }
            self.known.withLock { $0.isChanged = true }
            self.news.signal()
        }
    }

    private func tell(_ diagnoses: [Diagnosis], _ told: inout Set<[String]>) {
        for diagnosis in diagnoses where told.insert(diagnosis.key).inserted {
            if ledger?.claim(diagnosis, of: target, in: namespace) ?? true { report(diagnosis.failure) }
        }
    }

    // MARK: Warnings

    private func needsEvents(_ state: WorkloadState) -> Bool {
        state.pods.contains { !$0.isReady && !$0.isTerminating } || state.pods.count < state.wantedPods ?? 1
    }

    private func followEvents() async {
        let watch = ResourceWatch(client, .init(.events, namespace: namespace, fields: "type=Warning"))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            group.addTask {
                // What the pods themselves say is not held back by a cluster that is slow to list its warnings.
                try? await Task.sleep(for: .seconds(1))
                self.known.withLock { $0.hasEvents = true }
                self.news.signal()
            }
            while let change = await watch.next() {
                known.withLock { known in
                    known.hasEvents = true
                    switch change {
                    case .synced(let events):
                        known.events = [:]
                        for event in events { known.note(event) }
                    case .changed(let event): known.note(event)
                    case .removed(let event): known.events[ObjectEvent.name(event)] = nil
                    case .disconnected: break
                    }
                }
                news.signal()
            }
            group.cancelAll()
        }
    }

    private func stop(_ events: inout Task<Void, Never>?) async {
        guard let task = events else { return }
        events = nil
        task.cancel()
        await task.value
        known.withLock { ($0.events, $0.hasEvents) = ([:], false) }
    }

    // MARK: Questions

    private func ask(_ questions: [Question], _ events: [ObjectEvent]) async -> [(Question, Answer)] {
        await withTaskGroup(of: (Question, Answer).self) { group in
            for question in questions {
                group.addTask {
                    // A diagnosis without its log is worth more than one that comes late.
                    let answer = try? await KubeClient.within(self.patience, "ask for a cause") {
                        try await self.answer(question, events)
                    }
                    return (question, answer ?? .unknown)
                }
            }
            var answers: [(Question, Answer)] = []
            for await answer in group { answers.append(answer) }
            return answers
        }
    }

    private func answer(_ question: Question, _ events: [ObjectEvent]) async throws -> Answer {
        switch question {
        case .log(let pod, let container, _, let isPrevious):
            let body = try await client.log(
                pod: pod, namespace: namespace, container: container, tailLines: DecisiveLines.wanted,
                previous: isPrevious)
            let text = String(decoding: try await body.readAll(limit: 1 << 20), as: UTF8.self)
            return .lines(text.split(whereSeparator: \.isNewline).map(String.init))
        case .claim(let name):
            do {
                return .claim(VolumeClaim(try await client.get(.claims, name, namespace: namespace), events))
            } catch let error as KubeError where error.isNotFound {
                return .claim(VolumeClaim(name: name))
            }
        case .room:
            async let nodes = client.list(.init(.nodes)).items
            async let pods = client.list(.init(.pods)).items
            // Without the other pods it is still known how large the nodes are.
            let others = (try? await pods) ?? []
            return .room(try await nodes.map { NodeRoom($0, pods: others) })
        case .node(let name):
            let ready = try await client.get(.nodes, name)["status"]?.condition("Ready")
            return .node(isReady: ready?["status"]?.string == "True")
        case .templateTime:
            guard let workload = known.withLock({ $0.state?.workload }) else { return .unknown }
            return .time(try await client.templateTime(of: workload))
        }
    }
}

extension Question {
    /// Whether its answer stays true.
    fileprivate var isLasting: Bool {
        switch self {
        case .log, .room, .templateTime: true
        case .claim, .node: false
        }
    }
}

extension VolumeClaim {
    /// From the claim, and the warnings about it.
    init(_ claim: JSON, _ events: [ObjectEvent]) {
        let uid = claim.at("metadata", "uid")?.string
        self.init(
            name: claim.at("metadata", "name")?.string ?? "", phase: claim.at("status", "phase")?.string,
            storageClass: claim.at("spec", "storageClassName")?.string.flatMap { $0.isEmpty ? nil : $0 },
            complaint: events.filter { $0.uid == uid }.max { $0.last < $1.last }?.message)
    }
}

/// For how long the containers of each pod have been in the runs that they are in.
struct PodAges {
    private var since: [String: (runs: [String?], start: ContinuousClock.Instant)] = [:]

    /// Takes the pods as they are now.
    mutating func note(_ pods: [PodState], at now: ContinuousClock.Instant = .now) {
        var next: [String: (runs: [String?], start: ContinuousClock.Instant)] = [:]
        for pod in pods {
            let runs = pod.lastingContainers.map(\.id)
            let known = since[pod.uid]
            next[pod.uid] = (runs, known.map { $0.runs == runs ? $0.start : now } ?? now)
        }
        since = next
    }

    /// By the pods' uids.
    var ages: [String: Duration] { since.mapValues { .now - $0.start } }
}
