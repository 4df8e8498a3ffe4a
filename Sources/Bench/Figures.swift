internal import Glibc

/// Nanoseconds of `CLOCK_MONOTONIC`.
func now() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Milliseconds since a moment.
func milliseconds(since moment: UInt64) -> Double { Double(now() - moment) / 1e6 }

extension [Double] {
    /// The value that a share of all values does not exceed.
    func percentile(_ share: Double) -> Double {
        guard !isEmpty else { return .nan }
        let sorted = self.sorted()
        return sorted[Swift.min(sorted.count - 1, Int((Double(sorted.count) * share).rounded(.up)) - 1)]
    }

    var median: Double { percentile(0.5) }
}

/// Numbers as the table shows them.
enum Figures {
    static func time(_ milliseconds: Double) -> String {
        milliseconds < 1000
            ? "\(rounded(milliseconds, milliseconds < 100 ? 1 : 0)) ms" : "\(rounded(milliseconds / 1000, 2)) s"
    }

    static func rate(_ bytesPerSecond: Double) -> String { "\(rounded(bytesPerSecond / 1e6, 0)) MB/s" }

    static func memory(_ bytes: Int) -> String { "\(rounded(Double(bytes) / 1e6, 1)) MB" }

    static func ratio(_ slow: Double, _ fast: Double) -> String {
        "\(rounded(slow / fast, slow / fast < 10 ? 1 : 0)) ×"
    }

    static func rounded(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "–" }
        let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
        let whole = Int((value * scale).rounded())
        guard digits > 0 else { return "\(whole)" }
        let fraction = "\(whole % Int(scale))"
        return "\(whole / Int(scale)).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
    }
}

/// One line of the table.
struct Row {
    let what: String
    let loopd: String
    let target: String
    let beside: String
    let ratio: String

    var cells: [String] { [what, loopd, target, beside, ratio] }

    /// A Markdown table in aligned columns.
    static func table(_ rows: [Row]) -> String {
        let all = [["what", "loopd", "to reach", "beside it", "ratio"]] + rows.map(\.cells)
        let widths = all[0].indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        func line(_ cells: [String]) -> String {
            let padded = zip(cells, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return "| \(padded.joined(separator: " | ")) |"
        }
        let rule = "| \(widths.map { String(repeating: "-", count: $0) }.joined(separator: " | ")) |"
        return ([line(all[0]), rule] + all.dropFirst().map(line)).joined(separator: "\n")
    }
}
