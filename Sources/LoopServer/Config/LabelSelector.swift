/// Label selectors in the syntax of the Kubernetes API.
enum LabelSelector {
    /// The selector in one spelling (`a=b,!c,d in (e,f)`), or `nil` where the text is none.
    static func parse(_ text: String) -> String? {
        guard let terms = terms(of: text) else { return nil }
        let written = terms.compactMap(term)
        return written.count == terms.count && !written.isEmpty ? written.joined(separator: ",") : nil
    }

    /// Splits at commas outside parentheses.
    private static func terms(of text: String) -> [String]? {
        var terms = [""]
        var isInside = false
        for character in text {
            switch character {
            case "(" where isInside, ")" where !isInside: return nil
            case "," where !isInside: terms.append("")
            default:
                if character == "(" { isInside = true }
                if character == ")" { isInside = false }
                terms[terms.count - 1].append(character)
            }
        }
        return isInside ? nil : terms
    }

    private static func term(_ text: String) -> String? {
        let text = trimmed(text)
        if text.hasPrefix("!") {
            let key = trimmed(text.dropFirst())
            return KubernetesName.isLabelKey(key) ? "!\(key)" : nil
        }
        if text.hasSuffix(")") { return setTerm(text) }
        guard let sign = text.firstIndex(where: { $0 == "=" || $0 == "!" }) else {
            return KubernetesName.isLabelKey(text) ? text : nil
        }
        let key = trimmed(text[..<sign])
        let rest = text[sign...]
        guard let operation = ["!=", "==", "="].first(where: { rest.hasPrefix($0) }) else { return nil }
        let value = trimmed(rest.dropFirst(operation.count))
        guard KubernetesName.isLabelKey(key), KubernetesName.isLabelValue(value) else { return nil }
        return key + (operation == "!=" ? "!=" : "=") + value
    }

    private static func setTerm(_ text: String) -> String? {
        guard let open = text.firstIndex(of: "(") else { return nil }
        let head = text[..<open].split(separator: " ")
        let values = text[text.index(after: open)...].dropLast().split(separator: ",").map { trimmed($0) }
        guard head.count == 2, head[1] == "in" || head[1] == "notin", KubernetesName.isLabelKey(String(head[0])),
            !values.isEmpty, values.allSatisfy(KubernetesName.isLabelValue)
        else { return nil }
        return "\(head[0]) \(head[1]) (\(values.joined(separator: ",")))"
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        let end = text.lastIndex { $0 != " " }
        guard let start = text.firstIndex(where: { $0 != " " }), let end else { return "" }
        return String(text[start...end])
    }
}
