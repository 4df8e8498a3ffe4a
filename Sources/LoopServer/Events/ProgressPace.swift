internal import Synchronization

/// Lets through what is told of a transfer at most five times in a second, and nothing of one that is over sooner.
final class ProgressPace: Sendable {
    private let last = Mutex(ContinuousClock.now)

    /// Whether it is time to tell again.
    var isDue: Bool {
        last.withLock { last in
            guard ContinuousClock.now - last > .milliseconds(200) else { return false }
            last = .now
            return true
        }
    }
}
