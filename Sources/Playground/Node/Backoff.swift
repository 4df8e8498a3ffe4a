/// How long a failing container waits before it is started again: not at all the first time, then 10 s, doubling up to
/// five minutes; ten minutes of running forgive everything.
///
/// A pure value: the caller tells it the time in seconds.
struct Backoff: Equatable, Sendable {
    static let initial = 10
    static let longest = 300
    static let forgiveness = 600

    /// The delay that applied to the latest restart; `nil` before the first.
    private(set) var delay: Int?

    /// Tells that a run has ended, and returns how many seconds to wait before the next one.
    mutating func next(ranFor seconds: Int) -> Int {
        guard let last = delay, seconds < Backoff.forgiveness else {
            delay = 0
            return 0
        }
        let delay = last == 0 ? Backoff.initial : min(last * 2, Backoff.longest)
        self.delay = delay
        return delay
    }
}
