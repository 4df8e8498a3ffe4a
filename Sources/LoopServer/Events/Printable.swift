/// Text from outside on its way to a terminal.
enum Printable {
    /// The text on one line with every character visible: control characters and those that turn the direction of text
    /// around appear as `\u{1B}`, so that a file's name can neither hide nor write to the terminal.
    static func text(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isHidden) else { return text }
        return text.unicodeScalars.reduce(into: "") { shown, scalar in
            switch scalar {
            case "\n": shown += "\\n"
            case "\t": shown += "\\t"
            case _ where isHidden(scalar): shown += "\\u{\(String(scalar.value, radix: 16, uppercase: true))}"
            default: shown.unicodeScalars.append(scalar)
            }
        }
    }

    private static func isHidden(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}

/// Numbers as a person reads them.
enum Figures {
    /// A duration: `0.4 ms`, `6.4 ms`, `123 ms`, `1.2 s`, `2 min 5 s`.
    static func duration(milliseconds: Double) -> String {
        switch milliseconds {
        case ..<9.95: return "\(oneDigit(milliseconds)) ms"
        case ..<999.5: return "\(Int(milliseconds.rounded())) ms"
        case ..<59_950: return "\(oneDigit(milliseconds / 1000)) s"
        default:
            let seconds = Int((milliseconds / 1000).rounded())
            return "\(seconds / 60) min \(seconds % 60) s"
        }
    }

    /// A size: `12 B`, `4.0 KB`, `50.0 MB`, in powers of 1000 as disks and `ls --si` count.
    static func bytes(_ bytes: Int64) -> String {
        var value = Double(bytes)
        var unit = "B"
        for next in ["KB", "MB", "GB", "TB"] where value >= 999.95 {
            value /= 1000
            unit = next
        }
        return unit == "B" ? "\(bytes) B" : "\(oneDigit(value)) \(unit)"
    }

    /// A number with its noun: `1 file`, `3 files`.
    static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    private static func oneDigit(_ value: Double) -> String {
        let tenths = Int((max(0, value) * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
