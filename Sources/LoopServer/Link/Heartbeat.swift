/// Whether the other end still lives: pings go out at every beat, and anything that comes back counts as an answer.
struct Heartbeat {
    /// Beats since anything was heard.
    private var silentBeats = 0

    /// Notes a beat; false when the two pings before it had no answer.
    mutating func beat() -> Bool {
        silentBeats += 1
        return silentBeats <= 2
    }

    /// Notes a sign of life.
    mutating func hear() { silentBeats = 0 }
}
