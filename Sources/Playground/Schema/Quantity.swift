internal import Glibc

/// An amount of CPU, memory or storage: `500m`, `64Mi`, `2`, `1e3`.
struct Quantity: Equatable, Comparable {
    let value: Double

    /// Reads the API's notation; `nil` where it is none.
    init?(_ text: String) {
        let number = text.prefix { $0.isNumber || $0 == "." || $0 == "-" || $0 == "+" }
        guard let base = Double(number) else { return nil }
        switch text.dropFirst(number.count) {
        case "": value = base
        case "n": value = base / 1e9
        case "u": value = base / 1e6
        case "m": value = base / 1e3
        case "k": value = base * 1e3
        case "M": value = base * 1e6
        case "G": value = base * 1e9
        case "T": value = base * 1e12
        case "P": value = base * 1e15
        case "E": value = base * 1e18
        case "Ki": value = base * 1024
        case "Mi": value = base * 1_048_576
        case "Gi": value = base * 1_073_741_824
        case "Ti": value = base * 1_099_511_627_776
        case "Pi": value = base * 1_125_899_906_842_624
        case let suffix where suffix.first == "e" || suffix.first == "E":
            guard let exponent = Int(suffix.dropFirst()) else { return nil }
            value = base * pow(10, Double(exponent))
        default: return nil
        }
    }

    init(value: Double) {
        self.value = value
    }

    static func < (left: Quantity, right: Quantity) -> Bool { left.value < right.value }
}
