/// Leads the values of variables from names of the cluster to the ports of this machine that stand for them.
///
/// A name is touched only where it stands as a host with the dependency's port: in a URL, in `host:port`, in the keywords of
/// a connection string, or in a variable whose name ends like `HOST` beside its `PORT`. A port that is not written is the
/// one of the URL's scheme, or of the program that has such keywords.
struct Rewriting: Sendable {
    let needs: [LocalDependency]

    /// All the variables, changed where they lead to a dependency.
    func applied(to variables: [String: String]) -> [String: String] {
        var result = variables
        for (key, value) in variables where !value.isEmpty {
            let changed = rewritten(value)
            if changed != value { result[key] = changed } else { rewritePair(key, value, variables, &result) }
        }
        return result
    }

    /// A value with its places led here.
    func rewritten(_ value: String) -> String {
        let text = Array(value.utf8)
        guard text.count <= 64 << 10 else { return value }
        var changes = urlChanges(text)
        for change in placeChanges(text) where !changes.contains(where: { $0.range.overlaps(change.range) }) {
            changes.append(change)
        }
        for change in KeywordString(text).changes(needs)
        where !changes.contains(where: { $0.range.overlaps(change.range) }) {
            changes.append(change)
        }
        var result = text
        for change in changes.sorted(by: { $0.range.lowerBound > $1.range.lowerBound }) {
            result.replaceSubrange(change.range, with: change.text.utf8)
        }
        return String(decoding: result, as: UTF8.self)
    }

    /// What is put in the place of some bytes.
    struct Change {
        let range: Range<Int>
        let text: String
    }

    // MARK: - URLs

    /// Hosts in the authorities of URLs, without ports too.
    private func urlChanges(_ text: [UInt8]) -> [Change] {
        var changes: [Change] = []
        for authority in Rewriting.authorities(text) {
            let defaultPort = DefaultPorts.ofScheme(authority.scheme)
            for element in Rewriting.elements(text, authority.hosts) {
                guard let place = Rewriting.place(text, element) else { continue }
                guard let port = place.port ?? defaultPort, let need = need(place.host, port) else { continue }
                let isSilent = place.port == nil && need.local.port == port
                changes.append(Change(range: element, text: isSilent ? need.local.host : "\(need.local)"))
            }
        }
        return changes
    }

    struct Authority {
        let scheme: String
        /// The hosts, without who the user is.
        let hosts: Range<Int>
        let all: Range<Int>
    }

    static func authorities(_ text: [UInt8]) -> [Authority] {
        var found: [Authority] = []
        var index = 0
        while index + 2 < text.count {
            guard text[index] == 0x3A, text[index + 1] == 0x2F, text[index + 2] == 0x2F else {
                index += 1
                continue
            }
            var begin = index
            while begin > 0, isSchemeByte(text[begin - 1]) { begin -= 1 }
            let start = index + 3
            var end = start
            while end < text.count, !endsAuthority(text[end]) { end += 1 }
            let user = text[start..<end].lastIndex(of: 0x40)
            if begin < index {
                found.append(
                    Authority(
                        scheme: String(decoding: text[begin..<index], as: UTF8.self).lowercased(),
                        hosts: (user.map { $0 + 1 } ?? start)..<end, all: start..<end))
            }
            index = end
        }
        return found
    }

    private static func isSchemeByte(_ byte: UInt8) -> Bool {
        isAlphanumeric(byte) || byte == 0x2B || byte == 0x2D || byte == 0x2E
    }

    /// `/ ? #`, white space, quotes and brackets that text around a URL has, and `;` of properties.
    private static func endsAuthority(_ byte: UInt8) -> Bool {
        byte <= 0x20 || "/?#\"'`<>(){}|\\;&".utf8.contains(byte)
    }

    /// The parts of a list between commas.
    private static func elements(_ text: [UInt8], _ range: Range<Int>) -> [Range<Int>] {
        var elements: [Range<Int>] = []
        var start = range.lowerBound
        for index in range where text[index] == 0x2C {
            elements.append(start..<index)
            start = index + 1
        }
        return elements + [start..<range.upperBound]
    }

    /// An element as `host` or `host:port`.
    private static func place(_ text: [UInt8], _ range: Range<Int>) -> (host: String, port: UInt16?)? {
        let parts = text[range].split(separator: 0x3A, omittingEmptySubsequences: false)
        let host = String(decoding: parts[0], as: UTF8.self).lowercased()
        switch parts.count {
        case 1: return (host, nil)
        case 2: return number(parts[1]).map { (host, $0) }
        default: return nil
        }
    }

    // MARK: - host:port

    /// `host:port` outside of URLs, with something around it that ends such a thing.
    private func placeChanges(_ text: [UInt8]) -> [Change] {
        let authorities = Rewriting.authorities(text).map(\.all)
        var changes: [Change] = []
        var index = 0
        while index < text.count {
            guard Rewriting.isHostByte(text[index]) else {
                index += 1
                continue
            }
            let start = index
            while index < text.count, Rewriting.isHostByte(text[index]) { index += 1 }
            guard index < text.count, text[index] == 0x3A, start == 0 || Rewriting.beginsPlace(text[start - 1]) else {
                continue
            }
            var end = index + 1
            while end < text.count, Rewriting.isDigit(text[end]) { end += 1 }
            guard let port = Rewriting.number(text[(index + 1)..<end]),
                end == text.count || Rewriting.endsPlace(text[end]),
                !authorities.contains(where: { $0.overlaps(start..<end) }),
                let need = need(String(decoding: text[start..<index], as: UTF8.self).lowercased(), port)
            else { continue }
            changes.append(Change(range: start..<end, text: "\(need.local)"))
            index = end
        }
        return changes
    }

    private static func beginsPlace(_ byte: UInt8) -> Bool { byte <= 0x20 || ",;@(=\"'[|".utf8.contains(byte) }

    private static func endsPlace(_ byte: UInt8) -> Bool { byte <= 0x20 || "/,;?#)\"']&|".utf8.contains(byte) }

    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    static func isAlphanumeric(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
    }

    static func isHostByte(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || "-._".utf8.contains(byte) || byte >= 0x80 }

    static func number(_ digits: ArraySlice<UInt8>) -> UInt16? {
        guard !digits.isEmpty, digits.first != 0x30, digits.allSatisfy(isDigit) else { return nil }
        return UInt16(String(decoding: digits, as: UTF8.self))
    }

    private func need(_ host: String, _ port: UInt16) -> LocalDependency? {
        needs.first { $0.dependency.port == port && $0.hosts.contains(host) }
    }

    // MARK: - Pairs of variables

    /// `DB_HOST` with `DB_PORT`.
    private func rewritePair(
        _ key: String, _ value: String, _ variables: [String: String], _ result: inout [String: String]
    ) {
        guard let sibling = Rewriting.portKey(of: key) else { return }
        let host = value.lowercased()
        let text = variables[sibling]
        // That of a Service of the variables' stem (`DB_PORT=tcp://…`) is no port.
        if let port = text.flatMap({ Rewriting.number(Array($0.utf8)[...]) }) {
            guard let need = need(host, port) else { return }
            (result[key], result[sibling]) = (need.local.host, "\(need.local.port)")
        } else {
            let candidates = needs.filter { $0.hosts.contains(host) }
            guard candidates.count == 1, let need = candidates.first else { return }
            result[key] = need.local.host
            // The program knows the port by heart, which is another one here.
            if text == nil, need.local.port != need.dependency.port { result[sibling] = "\(need.local.port)" }
        }
    }

    /// The variable that has the port beside one that has a host.
    static func portKey(of key: String) -> String? {
        let endings = ["HOSTNAME", "HOST", "ADDRESS", "ADDR", "SERVER"]
        // A program's own name.
        guard key.uppercased() != "HOSTNAME" else { return nil }
        for ending in endings where key.uppercased().hasSuffix(ending) {
            let stem = key.dropLast(ending.count)
            let isLower = key.suffix(ending.count).allSatisfy(\.isLowercase)
            return stem + (isLower ? "port" : "PORT")
        }
        return nil
    }
}
