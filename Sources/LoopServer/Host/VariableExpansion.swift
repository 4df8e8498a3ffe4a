/// References to variables within a value, as the kubelet reads them.
enum VariableExpansion {
    /// Replaces each `$(NAME)` by its value; a name without one stays as it is written, and `$$` is one dollar.
    static func expand(_ text: String, _ value: (String) -> String?) -> String {
        let (dollar, opener, closer) = (UInt8(ascii: "$"), UInt8(ascii: "("), UInt8(ascii: ")"))
        var result: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == dollar, let next = rest.first else {
                result.append(byte)
                continue
            }
            if next == dollar {
                result.append(dollar)
                rest.removeFirst()
            } else if next == opener, let end = rest.firstIndex(of: closer) {
                let name = String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self)
                result += (value(name) ?? "$(\(name))").utf8
                rest = rest[(end + 1)...]
            } else {
                result.append(dollar)
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
