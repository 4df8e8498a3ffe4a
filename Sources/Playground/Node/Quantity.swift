/// A Kubernetes quantity (`500m`, `24Mi`, `1e3`) as thousandths of its unit.
struct Quantity: Equatable, Sendable {
    let thousandths: Double

    init?(_ text: String) {
        let suffixes: [(String, Double)] = [
            ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("Ti", 1_099_511_627_776),
            ("Pi", 1_125_899_906_842_624), ("Ei", 1_152_921_504_606_846_976), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3),
            ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18),
        ]
        let (suffix, factor) = suffixes.first { text.hasSuffix($0.0) } ?? ("", 1)
        guard let number = Double(text.dropLast(suffix.count)), number.isFinite, number >= 0 else { return nil }
        thousandths = number * factor * 1000
    }

    /// Rounded up to whole units.
    var units: Int64 { Int64(exactly: (thousandths / 1000).rounded(.up)) ?? .max }
    /// Rounded up to whole thousandths.
    var milli: Int64 { Int64(exactly: thousandths.rounded(.up)) ?? .max }
}
