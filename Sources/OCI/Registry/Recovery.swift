internal import HTTP
internal import Synchronization

/// When the last bytes went.
final class Movement: Sendable {
    private let moment = Mutex<ContinuousClock.Instant?>(nil)

    var last: ContinuousClock.Instant? { moment.withLock(\.self) }

    func note(at now: ContinuousClock.Instant = .now) { moment.withLock { $0 = now } }
}

/// Decides how long to go on with a registry that fails: pauses that grow, up to a time without any progress.
struct Recovery {
    /// What may be over a moment later.
    enum Trouble: Error {
        case transport(TransportFailure)
        case answer(Answer)

        init(_ failure: TransportFailure) { self = .transport(failure) }

        /// `nil` for an answer that is final.
        init?(_ answer: Answer) {
            guard [408, 425, 429, 500, 502, 503, 504].contains(answer.status) else { return nil }
            self = .answer(answer)
        }

        /// How long the registry asks to be left alone.
        var asksFor: Duration? {
            guard case .answer(let answer) = self, let text = answer.headers["Retry-After"], let seconds = Int64(text),
                seconds >= 0
            else { return nil }
            return .seconds(min(seconds, 1 << 32))
        }
    }

    private let patience: Patience
    private var since: ContinuousClock.Instant?
    private var next: Duration
    private var movements = 0
    /// How often it counts that bytes went, where nothing came of them.
    private static let fruitless = 16

    init(_ patience: Patience) {
        self.patience = patience
        next = patience.pause
    }

    /// Something went well.
    mutating func noteProgress() {
        since = nil
        next = patience.pause
        movements = 0
    }

    /// Bytes went, even if what they were part of failed: a slow link that breaks is there all the same.
    ///
    /// That counts only so often: something may cut off the same bytes for ever.
    mutating func noteMovement(_ movement: Movement) {
        guard let began = since, let moment = movement.last, moment > began, movements < Recovery.fruitless else {
            return
        }
        since = moment
        movements += 1
    }

    /// Waits before the next attempt; `false` where there is none any more.
    mutating func pause(after trouble: Trouble, at now: ContinuousClock.Instant = .now) async throws -> Bool {
        let began = since ?? now
        since = began
        // Several clients that lost the same registry do not come back at the same moment.
        var pause = next * Double.random(in: 0.75...1.25)
        if let asked = trouble.asksFor, asked > pause { pause = asked }
        guard now + pause <= began + patience.recovery else { return false }
        next = min(next * 2, .seconds(2))
        try await Task.sleep(for: pause)
        return true
    }
}
