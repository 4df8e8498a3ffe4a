internal import Glibc

/// A moment as the API writes it.
struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Seconds since 1970.
    let seconds: Int
    let microseconds: Int

    /// A moment by its seconds since 1970.
    init(seconds: Int, microseconds: Int = 0) {
        self.seconds = seconds
        self.microseconds = microseconds
    }

    /// Now, by the wall clock.
    static var now: Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(seconds: time.tv_sec, microseconds: time.tv_nsec / 1000)
    }

    /// Reads `2026-11-21T00:40:30Z`, with or without a fraction; `nil` for anything else.
    init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == UInt8(ascii: "Z") else { return nil }
        func number(_ range: Range<Int>) -> Int? { Int(String(decoding: bytes[range], as: UTF8.self)) }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19)
        else { return nil }
        var fields = tm()
        fields.tm_year = Int32(year - 1900)
        fields.tm_mon = Int32(month - 1)
        fields.tm_mday = Int32(day)
        fields.tm_hour = Int32(hour)
        fields.tm_min = Int32(minute)
        fields.tm_sec = Int32(second)
        seconds = timegm(&fields)
        let fraction = bytes.count > 21 ? String(decoding: bytes[20..<bytes.count - 1], as: UTF8.self) : ""
        microseconds = Int((fraction + "000000").prefix(6)) ?? 0
    }

    /// `2026-11-21T00:40:30Z`: how most of the API writes a time.
    var description: String { "\(date)Z" }

    /// `2026-11-21T00:40:30.123456Z`: a `MicroTime`.
    var precise: String { "\(date).\(Timestamp.padded(microseconds, 6))Z" }

    private var date: String {
        var fields = tm()
        var time = time_t(seconds)
        gmtime_r(&time, &fields)
        let p = Timestamp.padded
        return "\(p(Int(fields.tm_year) + 1900, 4))-\(p(Int(fields.tm_mon) + 1, 2))-\(p(Int(fields.tm_mday), 2))"
            + "T\(p(Int(fields.tm_hour), 2)):\(p(Int(fields.tm_min), 2)):\(p(Int(fields.tm_sec), 2))"
    }

    private static func padded(_ number: Int, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    static func < (left: Timestamp, right: Timestamp) -> Bool {
        (left.seconds, left.microseconds) < (right.seconds, right.microseconds)
    }
}
