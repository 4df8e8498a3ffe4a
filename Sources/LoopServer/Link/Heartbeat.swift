/// Whether the other end still lives: pings go out at every beat, and anything that comes back counts as an answer.
struct Heartbeat {
    private let interval: Duration
    /// Beats since anything was heard.
    private var silentBeats = 0
    /// This machine has slept, and nothing was heard since.
    private var isHasty = false

    init(every interval: Duration) { self.interval = interval }

    /// How long it is to the next beat.
    var pause: Duration { isHasty ? min(interval, .seconds(3)) : interval }

    /// Notes a beat, `elapsed` after the last one; false when the two pings before it had no answer.
    mutating func beat(after elapsed: Duration) -> Bool {
        if elapsed > pause + .seconds(10) {
            // A laptop that was closed: the far end may have given up long ago, and nothing tells. A save waits for it.
            isHasty = true
            silentBeats = 0
        }
        silentBeats += 1
        return silentBeats <= 2
    }

    /// Notes a sign of life.
    mutating func hear() {
        silentBeats = 0
        isHasty = false
    }
}
