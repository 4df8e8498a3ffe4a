/// Durations as people write them in `loop.json`: `5ms`, `1.5s`, `2m`.
enum DurationText {
    /// The duration, or `nil` where the text is none.
    static func parse(_ text: String) -> Duration? {
        let number = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let value = Double(number), number.first != ".", number.last != ".", number.utf8.count <= 9 else {
            return nil
        }
        switch text.dropFirst(number.count) {
        case "ms": return .microseconds(Int64((value * 1000).rounded()))
        case "s": return .milliseconds(Int64((value * 1000).rounded()))
        case "m": return .milliseconds(Int64((value * 60_000).rounded()))
        default: return nil
        }
    }

    /// The duration as text: `250ms`, `2s`.
    static func text(_ duration: Duration) -> String {
        let (seconds, attoseconds) = duration.components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        return milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms"
    }
}
