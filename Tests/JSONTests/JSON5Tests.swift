import JSON
import Testing

@Suite("JSON5 with places")
struct JSON5Tests {
    static let accepted: [(text: String, value: JSON)] = [
        ("{a: 1}", ["a": 1]), ("{$a_1: 1, _b: 2, é: 3}", ["$a_1": 1, "_b": 2, "é": 3]), ("{'a': 'b',}", ["a": "b"]),
        ("[1, 2,]", [1, 2]), ("[]", []), ("{}", [:]), ("{\\u0061b: 1}", ["ab": 1]),
        ("{true: 1, null: 2}", ["true": 1, "null": 2]),
        ("// one\n/* two\n * three **/ 1 // four", 1), ("\u{FEFF}1", 1), ("\u{A0}\u{2003}\u{2028}1\u{B}\u{C}", 1),
        ("0x1F", 31), ("-0xa", -10), ("0X0", 0), (".5", 0.5), ("5.", 5.0), ("-.5", -0.5), ("+1", 1), ("+.5e1", 5.0),
        ("5.e1", 50.0),
        ("1e3", 1000.0), ("0", 0), ("-0", 0), ("9223372036854775807", .integer(.max)),
        ("0x7fffffffffffffff", .integer(.max)),
        ("-0x8000000000000000", .integer(.min)), ("'it\\'s'", "it's"), ("\"it's\"", "it's"),
        ("'say \"x\"'", "say \"x\""),
        ("'a\\\nb'", "ab"), ("'a\\\r\nb'", "ab"), ("'a\\\u{2028}b'", "ab"), ("'\\x41\\v\\0\\q\\/'", "A\u{B}\0q/"),
        ("'\\uD83D\\uDE00'", "😀"), ("'\u{2028}\t'", "\u{2028}\t"), ("'https://x /* y */'", "https://x /* y */"),
        ("{a:{b:[{c:null}]}}", ["a": ["b": [["c": nil]]]]), ("[true,false,null]", [true, false, nil]),
    ]

    @Test("JSON5 is read", arguments: accepted)
    func accepts(text: String, value: JSON) throws {
        #expect(try LocatedJSON(parsingJSON5: text).json == value)
    }

    @Test("every strict text means the same in JSON5", arguments: StrictParserTests.accepted)
    func strictSubset(text: String, value: JSON) throws {
        // Half a surrogate pair is the one exception: in a file that a person wrote, it is a mistake.
        guard !text.contains("\\ud83d"), !text.contains("\\ude00\\u") else { return }
        #expect(try LocatedJSON(parsingJSON5: text).json == value)
    }

    static let refused: [(text: String, place: String, reason: String)] = [
        ("", "1:1", "the file ends where a value should be"),
        ("  // c", "1:7", "the file ends where a value should be"),
        ("Infinity", "1:1", "Infinity is not allowed"), ("[NaN]", "1:2", "NaN is not allowed"),
        ("-Infinity", "1:1", "Infinity and NaN are not allowed"), ("01", "1:1", "a number with a leading zero"),
        ("0x", "1:3", "a hexadecimal digit should follow"), (".", "1:1", "not a number"), ("+", "1:1", "not a number"),
        ("1e", "1:3", "a digit should follow the exponent"), ("1.2.3", "1:1", "not a number; text stands in quotes"),
        ("5ms", "1:1", "not a number; text stands in quotes"), ("0xfg", "1:1", "not a number; text stands in quotes"),
        ("1e999", "1:1", "a number out of range"), ("0xffffffffffffffff", "1:1", "a number out of range"),
        ("yes", "1:1", "yes is not a value; text stands in quotes"), ("1 2", "1:3", "something follows the value"),
        ("{\n  a: 1\n  b: 2\n}", "3:3", "a comma or } should be here, not \"b\""),
        ("{a: 1", "1:6", "the file ends before the } of the object that begins at 1:1"),
        ("{\n  a: [1,\n", "3:1", "the file ends before the ] of the array that begins at 2:6"),
        ("{a", "1:3", "the file ends before the } of the object that begins at 1:1"),
        ("{a 1}", "1:4", "a colon should follow the key \"a\""), ("{1: 1}", "1:2", "a key should be here, not \"1\""),
        ("{,}", "1:2", "a key should be here, not \",\""), ("[,]", "1:2", "a value should be here, not \",\""),
        ("{a: }", "1:5", "a value should be here, not \"}\""), ("[1}", "1:3", "a comma or ] should be here, not \"}\""),
        ("'a\nb'", "1:1", "the string does not end on its line"), ("['a", "1:2", "the string does not end"),
        ("'\\1'", "1:2", "an escape by octal digits"), ("'\\00'", "1:2", "an escape by octal digits"),
        ("'\\x4'", "1:2", "2 hexadecimal digits should follow"), ("'\\ud83d'", "1:2", "half of a surrogate pair"),
        ("{\\u00: 1}", "1:2", "\\u and four hexadecimal digits should be here"),
        ("/* a", "1:1", "the comment does not end"),
        ("1 / 2", "1:3", "a comment begins with // or /*"), ("#", "1:1", "a value should be here, not \"#\""),
    ]

    @Test("what is wrong is named where it stands", arguments: refused)
    func refuses(text: String, place: String, reason: String) {
        let error = #expect(throws: LocatedJSONError.self) { try LocatedJSON(parsingJSON5: text) }
        #expect(error?.description == "\(place): \(reason)")
    }

    @Test("bytes that are not UTF-8 are refused where they stand")
    func encoding() {
        let error = #expect(throws: LocatedJSONError.self) {
            try LocatedJSON(parsingJSON5: Array("{\n  é: \"".utf8) + [0xFF] + Array("\"}".utf8))
        }
        #expect(error?.description == "2:7: not UTF-8")
        #expect(throws: LocatedJSONError.self) { try LocatedJSON(parsingJSON5: [0xE2, 0x82]) }
    }

    @Test("values and keys know their line and column, counted in characters")
    func places() throws {
        let text = "// é\r\n{\n\t\"é😀\": 1, b: [\r\n  'x',\r  {c: null}\n]}"
        let root = try LocatedJSON(parsingJSON5: text)
        #expect(root.position == Position(line: 2, column: 1))
        guard case .object(let members) = root.kind, case .array(let elements) = members[1].value.kind,
            case .object(let inner) = elements[1].kind
        else {
            Issue.record("not the tree that was written")
            return
        }
        #expect(members.map(\.keyPosition.description) == ["3:2", "3:11"])
        #expect(members.map(\.value.position.description) == ["3:8", "3:14"])
        #expect(elements.map(\.position.description) == ["4:3", "5:3"])
        #expect(inner[0].keyPosition == Position(line: 5, column: 4))
        #expect(inner[0].value.position == Position(line: 5, column: 7))
    }

    @Test("a repeated key is kept, so that it can be reported")
    func repeatedKeys() throws {
        let root = try LocatedJSON(parsingJSON5: "{a: 1, 'a': 2}")
        guard case .object(let members) = root.kind else {
            Issue.record("not an object")
            return
        }
        #expect(members.map(\.key) == ["a", "a"])
        #expect(members.map(\.keyPosition.column) == [2, 8])
        #expect(root.json == ["a": 2])
    }

    @Test("nesting is bounded")
    func depth() async throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try await Task.detached { try LocatedJSON(parsingJSON5: nested(128)) }.value.json.text == nested(128))
        #expect(throws: LocatedJSONError.self) { try LocatedJSON(parsingJSON5: nested(129)) }
        #expect(throws: LocatedJSONError.self) {
            try LocatedJSON(parsingJSON5: String(repeating: "{a:[", count: 100_000))
        }
    }
}
