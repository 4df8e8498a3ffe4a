/// The instructions of a Dockerfile, as far as it takes to say which one failed and what it builds on.
struct Dockerfile: Equatable, Sendable {
    /// One instruction, with its continuation lines.
    struct Instruction: Equatable, Sendable {
        /// The number of its first line, from 1.
        let line: Int
        /// The first word in capitals.
        let keyword: String
        /// The whole instruction on one line, with single spaces.
        let text: String
        /// Which `FROM` it stands below, from 0; -1 before the first.
        let stage: Int
    }

    /// An image that a stage is built on.
    struct Base: Equatable, Sendable {
        let line: Int
        let name: String
    }

    let instructions: [Instruction]
    private let defaults: [String: String]

    /// Takes a Dockerfile apart; whatever is no instruction is passed over.
    init(parsing text: String) {
        var escape: Character = "\\"
        var found: [Instruction] = []
        var stage = -1
        var pending = ""
        var start = 0
        var mayBeDirective = true
        var heredocs: [String] = []
        func finish() {
            let words = pending.split(whereSeparator: \.isWhitespace)
            pending = ""
            guard let first = words.first else { return }
            let keyword = first.uppercased()
            if keyword == "FROM" { stage += 1 }
            let text = words.joined(separator: " ")
            found.append(Instruction(line: start, keyword: keyword, text: text, stage: stage))
            if ["RUN", "COPY", "ADD"].contains(keyword) { heredocs = Dockerfile.heredocs(in: text) }
        }
        for (number, raw) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            if let end = heredocs.first {
                if raw.drop(while: { $0 == "\t" }) == end { heredocs.removeFirst() }
                continue
            }
            let line = raw.drop(while: \.isWhitespace)
            if line.hasPrefix("#") {
                let directive = line.dropFirst().filter { !$0.isWhitespace }.lowercased()
                if mayBeDirective, directive == "escape=`" { escape = "`" }
                mayBeDirective = mayBeDirective && directive.contains("=")
                continue
            }
            // Empty lines within an instruction do not end it.
            if line.isEmpty { continue }
            mayBeDirective = false
            if pending.isEmpty { start = number + 1 }
            var rest = line
            while rest.last?.isWhitespace == true { rest.removeLast() }
            if rest.last == escape {
                pending += rest.dropLast() + " "
            } else {
                pending += rest
                finish()
            }
        }
        if !pending.isEmpty { finish() }
        instructions = found
        var defaults: [String: String] = [:]
        for instruction in found where instruction.keyword == "ARG" && instruction.stage == -1 {
            for word in instruction.text.split(separator: " ").dropFirst() {
                guard let cut = word.firstIndex(of: "=") else { continue }
                defaults[String(word[..<cut])] = word[word.index(after: cut)...].filter { $0 != "\"" && $0 != "'" }
            }
        }
        self.defaults = defaults
    }

    /// The words that end the here-documents of an instruction.
    private static func heredocs(in text: String) -> [String] {
        text.matches(of: /<<-?(["']?)([A-Za-z_][A-Za-z0-9_]*)(["']?)/).map { String($0.2) }
    }

    /// The images that its stages are built on, without its own stages; `arguments` are the build's.
    func bases(_ arguments: [String: String] = [:]) -> [Base] {
        var stages: Set<String> = ["scratch"]
        var bases: [Base] = []
        for instruction in instructions where instruction.keyword == "FROM" {
            let words = instruction.text.split(separator: " ").dropFirst().filter { !$0.hasPrefix("--") }
            guard let first = words.first else { continue }
            let name = expanded(String(first), arguments)
            if !stages.contains(name.lowercased()) { bases.append(Base(line: instruction.line, name: name)) }
            if words.count == 3, words[1].lowercased() == "as" { stages.insert(words[2].lowercased()) }
        }
        return bases
    }

    /// A name with the arguments in it, as far as they are known.
    private func expanded(_ text: String, _ arguments: [String: String]) -> String {
        let values = defaults.merging(arguments) { _, given in given }
        return text.replacing(/\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))/) { match in
            let name = String(match.1 ?? match.3 ?? "")
            return values[name] ?? match.2.map(String.init) ?? ""
        }
    }

    /// The instruction that a builder shows as `shown`; `number` is where it should be, counted over the whole file, or in
    /// a stage where one is given.
    func instruction(shownAs shown: String, number: Int? = nil, stage: Int? = nil) -> Instruction? {
        let words = shown.split(whereSeparator: \.isWhitespace)
        guard let keyword = words.first?.uppercased() else { return nil }
        let text = words.joined(separator: " ")
        let inPlace = number.flatMap { number in
            let counted = stage.map { stage in instructions.filter { $0.stage == stage } } ?? instructions
            return counted.indices.contains(number - 1) ? counted[number - 1] : nil
        }
        if let inPlace, inPlace.keyword == keyword { return inPlace }
        let alike = instructions.filter { $0.keyword == keyword }
        if let same = alike.last(where: { $0.text == text }) { return same }
        // Builders show what variables stand for, and cut long instructions.
        let close = alike.map { ($0, Dockerfile.likeness($0.text, text)) }
        guard let best = close.max(by: { $0.1 < $1.1 }) else { return nil }
        return close.count == 1 || best.1 > keyword.count + 2 ? best.0 : nil
    }

    /// How many characters two texts have in common at their beginnings and ends.
    private static func likeness(_ one: String, _ other: String) -> Int {
        let start = zip(one, other).prefix { $0 == $1 }.count
        let end = zip(one.reversed(), other.reversed()).prefix { $0 == $1 }.count
        return start + min(end, max(0, min(one.count, other.count) - start))
    }
}
