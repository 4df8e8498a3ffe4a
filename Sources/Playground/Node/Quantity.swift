/// A Kubernetes quantity (`500m`, `24Mi`, `1e3`) as thousandths of its unit.
struct Quantity: Sendable {
    let thousandths: Double
    /// Whether it is written in powers of 1024.
    private let isBinary: Bool

    static let zero = Quantity(thousandths: 0, isBinary: false)

    private init(thousandths: Double, isBinary: Bool) {
        self.thousandths = thousandths
        self.isBinary = isBinary
    }

    init?(_ text: String) {
        let suffixes: [(String, Double)] = [
            ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("Ti", 1_099_511_627_776),
            ("Pi", 1_125_899_906_842_624), ("Ei", 1_152_921_504_606_846_976), ("n", 1e-9), ("u", 1e-6), ("m", 1e-3),
            ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18),
        ]
        let (suffix, factor) = suffixes.first { text.hasSuffix($0.0) } ?? ("", 1)
        guard let number = Double(text.dropLast(suffix.count)), number.isFinite, number >= 0 else { return nil }
        self.init(thousandths: number * factor * 1000, isBinary: suffix.hasSuffix("i"))
    }

    /// Rounded up to whole units.
    var units: Int64 { Int64(exactly: (thousandths / 1000).rounded(.up)) ?? .max }
    /// Rounded up to whole thousandths.
    var milli: Int64 { Int64(exactly: thousandths.rounded(.up)) ?? .max }
}

extension Quantity: Comparable {
    static func == (left: Quantity, right: Quantity) -> Bool { left.thousandths == right.thousandths }

    static func < (left: Quantity, right: Quantity) -> Bool { left.thousandths < right.thousandths }

    /// The sum, written as the first part that is something.
    static func + (left: Quantity, right: Quantity) -> Quantity {
        Quantity(
            thousandths: left.thousandths + right.thousandths,
            isBinary: left == .zero ? right.isBinary : left.isBinary)
    }
}

extension Quantity: CustomStringConvertible {
    /// The shortest text with a whole number, as Kubernetes writes it.
    var description: String {
        guard milli % 1000 == 0 else { return "\(milli)m" }
        let (base, suffixes) =
            isBinary ? (1024, ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]) : (1000, ["", "k", "M", "G", "T", "P", "E"])
        var number = milli / 1000
        var power = 0
        while number != 0, number % Int64(base) == 0, power < suffixes.count - 1 {
            number /= Int64(base)
            power += 1
        }
        return "\(number)\(suffixes[power])"
    }
}
