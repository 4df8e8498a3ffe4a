import Testing

@testable import LoopServer

@Suite("References to variables", .turn)
struct VariableExpansionTests {
    private static let known = ["A": "one", "B": "$(A)", "C": "", "with space": "x", "D": "$$"]

    private static let table: [(text: String, expanded: String)] = [
        ("", ""), ("plain", "plain"), ("$(A)", "one"), ("<$(A)$(C)$(A)>", "<oneone>"),
        // What a value refers to in turn stays as it is.
        ("$(B)", "$(A)"), ("$(D)(A)", "$$(A)"),
        // Unknown names stay.
        ("$(X)", "$(X)"), ("$()", "$()"), ("$(a)", "$(a)"), ("$(with space)", "x"), ("$(A $(A)", "$(A $(A)"),
        // Two dollars are one, and refer to nothing.
        ("$$(A)", "$(A)"), ("$$$(A)", "$one"), ("$$$$(A)", "$$(A)"), ("$$", "$"), ("$$$", "$$"),
        // What is no reference.
        ("$", "$"), ("$A", "$A"), ("${A}", "${A}"), ("$(A", "$(A"), ("$(A$$", "$(A$"), ("100$", "100$"),
        ("é$(A)é$é", "éoneé$é"),
    ]

    @Test("a reference becomes its value, and everything else stays", arguments: table)
    func expansion(text: String, expanded: String) {
        #expect(VariableExpansion.expand(text) { VariableExpansionTests.known[$0] } == expanded)
    }

    /// The same in other words: by the first of the rest.
    private static func model(_ text: ArraySlice<Unicode.Scalar>) -> String {
        guard let first = text.first else { return "" }
        if text.starts(with: "$$".unicodeScalars) { return "$" + model(text.dropFirst(2)) }
        if text.starts(with: "$(".unicodeScalars), let end = text.firstIndex(of: ")") {
            var name = String.UnicodeScalarView()
            name.append(contentsOf: text[(text.startIndex + 2)..<end])
            return (known[String(name)] ?? "$(\(String(name)))") + model(text[(end + 1)...])
        }
        return String(first) + model(text.dropFirst())
    }

    @Test("any text is expanded as a second reading of the rules has it")
    func fuzz() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the expansions: \(seed)")
        var random = SeededGenerator(seed: seed)
        let pieces = ["$", "$", "$", "(", "(", ")", ")", "A", "B", "C", "D", "X", " ", "é", "\n", "$(A)", "$$"]
        for _ in 0..<20_000 {
            let length = Int.random(in: 0...14, using: &random)
            let text = (0..<length).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            let expanded = VariableExpansion.expand(text) { VariableExpansionTests.known[$0] }
            #expect(expanded == VariableExpansionTests.model(Array(text.unicodeScalars)[...]), "seed \(seed): \(text)")
        }
    }
}
