/// A connection string of keywords: `host=postgres port=5432 user=app`, or with `;` between them.
struct KeywordString {
    private struct Pair {
        let key: String
        let value: Range<Int>
        let end: Int
    }

    private static let hostKeys: Set<String> = ["host", "hostname", "server", "hostaddr"]
    private let text: [UInt8]
    private var pairs: [Pair] = []

    init(_ text: [UInt8]) {
        self.text = text
        var index = 0
        while index < text.count {
            guard text[index] == 0x3D else {
                index += 1
                continue
            }
            var begin = index
            while begin > 0, Rewriting.isAlphanumeric(text[begin - 1]) || text[begin - 1] == 0x5F { begin -= 1 }
            let key = String(decoding: text[begin..<index], as: UTF8.self).lowercased()
            let isFree = begin == 0 || KeywordString.separates(text[begin - 1]) || text[begin - 1] == 0x3F
            var start = index + 1
            var end = start
            if start < text.count, text[start] == 0x27 || text[start] == 0x22 {
                // Within quotes, to the quote.
                let quote = text[start]
                start += 1
                end = start
                while end < text.count, text[end] != quote { end += text[end] == 0x5C ? 2 : 1 }
                end = min(end, text.count)
                if isFree, !key.isEmpty {
                    pairs.append(Pair(key: key, value: start..<end, end: min(end + 1, text.count)))
                }
            } else {
                while end < text.count, !KeywordString.separates(text[end]) { end += 1 }
                if isFree, !key.isEmpty { pairs.append(Pair(key: key, value: start..<end, end: end)) }
            }
            index = max(end, index + 1)
        }
    }

    private static func separates(_ byte: UInt8) -> Bool { byte <= 0x20 || byte == 0x3B || byte == 0x26 }

    /// What leads the string's host here, where it is one of `needs` with its port.
    func changes(_ needs: [LocalDependency]) -> [Rewriting.Change] {
        let hosts = pairs.filter { KeywordString.hostKeys.contains($0.key) }
        let ports = pairs.filter { $0.key == "port" }
        guard hosts.count == 1, ports.count <= 1, let host = hosts.first else { return [] }
        let name = String(decoding: text[host.value], as: UTF8.self).lowercased()
        if let port = ports.first {
            guard let number = Rewriting.number(text[port.value]),
                let need = needs.first(where: { $0.dependency.port == number && $0.hosts.contains(name) })
            else { return [] }
            return [
                Rewriting.Change(range: host.value, text: need.local.host),
                Rewriting.Change(range: port.value, text: "\(need.local.port)"),
            ]
        }
        let candidates = needs.filter { DefaultPorts.isOfKeywords($0.dependency.port) && $0.hosts.contains(name) }
        // A string of one pair says nothing of its kind: it has no keywords of a connection.
        guard candidates.count == 1, let need = candidates.first, pairs.count > 1 else { return [] }
        var changes = [Rewriting.Change(range: host.value, text: need.local.host)]
        if need.local.port != need.dependency.port {
            let separator =
                text[..<host.end].contains(0x3B) || text[host.end...].contains(0x3B)
                ? ";" : text.contains(0x26) ? "&" : " "
            changes.append(Rewriting.Change(range: host.end..<host.end, text: "\(separator)port=\(need.local.port)"))
        }
        return changes
    }
}
