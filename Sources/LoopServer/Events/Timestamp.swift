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
