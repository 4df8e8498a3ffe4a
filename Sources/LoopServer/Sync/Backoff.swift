/// How long to wait before the next try: doubling up to a limit, spread so that many do not try at once.
struct Backoff {
    private let first: Duration
    private let limit: Duration
    private var current: Duration

    /// Begins at `first` and never waits longer than `limit`.
    init(first: Duration = .milliseconds(50), limit: Duration = .seconds(1)) {
        self.first = first
        self.limit = limit
        current = first
    }

    /// The next wait: between half and all of the present step.
    mutating func next() -> Duration {
        let wait = current * Double.random(in: 0.5...1)
        current = min(current * 2, limit)
        return wait
    }

    /// Notes that a try worked.
    mutating func reset() { current = first }
}
