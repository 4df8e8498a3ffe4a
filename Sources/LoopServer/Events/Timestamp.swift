internal import Glibc

/// A moment of the wall clock, for people; durations are measured with `ContinuousClock`.
public struct Timestamp: Equatable, Sendable {
    /// Seconds since 1970 in UTC.
    public var seconds: Int64
    /// Nanoseconds on top, below a thousand million.
    public var nanoseconds: Int64

    /// A moment by its numbers.
    public init(seconds: Int64, nanoseconds: Int64 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// The present moment.
    public static func now() -> Timestamp {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return Timestamp(seconds: Int64(now.tv_sec), nanoseconds: Int64(now.tv_nsec))
    }

    /// A moment in RFC 3339, in whatever time zone: `2026-01-31T12:03:04.567+01:00`; `nil` for any other text.
    init?(rfc3339 text: String) {
        let digits = text.split { !$0.isASCII || !$0.isNumber }.map(String.init)
        guard text.utf8.count >= 20, digits.count >= 6 else { return nil }
        let numbers = digits.prefix(6).compactMap { Int32($0) }
        guard numbers.count == 6, Array(text.utf8)[10] == UInt8(ascii: "T") else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (numbers[0] - 1900, numbers[1] - 1, numbers[2])
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (numbers[3], numbers[4], numbers[5])
        let rest = text.dropFirst(19)
        let fraction = rest.first == "." ? rest.dropFirst().prefix { $0.isNumber } : ""
        let zone = rest.drop { $0 == "." || $0.isNumber }
        var offset: Int64 = 0
        if zone != "Z" {
            let hands = zone.dropFirst().split(separator: ":").compactMap { Int64($0) }
            guard hands.count == 2, zone.first == "+" || zone.first == "-" else { return nil }
            offset = (hands[0] * 60 + hands[1]) * (zone.first == "-" ? -60 : 60)
        }
        self.init(
            seconds: Int64(timegm(&parts)) - offset,
            nanoseconds: Int64((fraction + "000000000").prefix(9)) ?? 0)
    }

    /// RFC 3339 in UTC with milliseconds: `2026-01-31T12:03:04.567Z`.
    public var rfc3339: String {
        var seconds = time_t(seconds)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
        let milliseconds = Int(nanoseconds / 1_000_000)
        return "\(date)T\(clock(parts)).\(String(milliseconds + 1000).dropFirst())Z"
    }

    /// The time of day in the machine's time zone: `12:03:04`.
    public var timeOfDay: String {
        var seconds = time_t(seconds)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return clock(parts)
    }

    private func clock(_ parts: tm) -> String {
        "\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))"
    }

    private func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
}
