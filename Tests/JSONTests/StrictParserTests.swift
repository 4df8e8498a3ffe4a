import JSON
import Testing

@Suite("Strict JSON")
struct StrictParserTests {
    static let accepted: [(text: String, value: JSON)] = [
        ("null", .null), ("true", true), ("false", false), (" \t\r\n1 ", 1), ("0", 0), ("-0", 0), ("-1", -1),
        ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .double(9_223_372_036_854_775_808)), ("1.0", 1.0), ("1.5e3", 1500.0), ("1E-2", 0.01),
        ("1e+2", 100.0), ("0.1", 0.1), ("0e0", 0.0), ("\"\"", ""), ("\"a\"", "a"),
        (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"),
        (#""\u0041\u00e9\u20AC""#, "Aé€"), (#""\uD83D\ude00""#, "😀"), (#""\ud83d""#, "\u{FFFD}"),
        (#""\ud83dA""#, "\u{FFFD}A"), (#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"), (#""\ud83d\u0041""#, "\u{FFFD}A"),
        (#""\u0000""#, "\0"), ("\"\u{7F}\u{2028}\"", "\u{7F}\u{2028}"), ("[]", []), ("[ ]", []),
        ("[1,[2],{}]", [1, [2], [:]]),
        ("{}", [:]), ("{ }", [:]), (#"{"a":1, "b" : [true]}"#, ["a": 1, "b": [true]]), (#"{"":0}"#, ["": 0]),
        (#"{"a":1,"a":2}"#, ["a": 2]),
    ]

    @Test("every form of RFC 8259 is read", arguments: accepted)
    func accepts(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    static let refused: [(text: String, offset: Int)] = [
        ("", 0), (" ", 1), ("nul", 0), ("nullx", 4), ("True", 0), ("+1", 0), ("01", 2), ("-01", 3), ("-", 0), (".5", 0),
        ("1.", 2), ("1.e1", 2), ("1e", 2), ("1e+", 3), ("0x1", 1), ("NaN", 0), ("Infinity", 0), ("-Infinity", 0),
        ("1e400", 5),
        ("1 2", 2), ("[1", 2), ("[1,]", 3), ("[,1]", 1), ("[1 2]", 3), ("[", 1), ("]", 0), ("{", 1), ("{\"a\"", 4),
        ("{\"a\":", 5), ("{\"a\":1", 6), ("{\"a\":1,}", 7), ("{a:1}", 1), ("{'a':1}", 1), ("{\"a\" 1}", 5),
        ("{1:1}", 1),
        ("\"", 1), ("\"a", 2), ("'a'", 0), ("\"\n\"", 2), ("\"\t\"", 2), ("\"\\\"", 3), ("\"\\x41\"", 3),
        ("\"\\u+041\"", 3),
        ("\"\\u004\"", 6), ("\"\\u00g0\"", 5), ("// c\n1", 0), ("/* c */1", 0), ("[1}", 2), ("{\"a\":1]", 6),
        ("\u{FEFF}1", 0),
    ]

    @Test("what RFC 8259 does not allow is refused where it stands", arguments: refused)
    func refuses(text: String, offset: Int) {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: text) }
        #expect(error?.offset == offset)
    }

    @Test(
        "bytes that are not UTF-8 are refused",
        arguments: [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]] as [[UInt8]])
    func refusesOtherEncodings(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSON(parsing: [UInt8(ascii: "\"")] + bytes + [UInt8(ascii: "\"")]) }
        #expect(throws: JSONError.self) { try JSON(parsing: bytes) }
    }

    @Test("nesting is read to 512 levels and refused beyond", arguments: ["[", "{\"a\":"])
    func boundsDepth(open: String) async throws {
        let close = open == "[" ? "]" : "}"
        func nested(_ depth: Int) -> String {
            String(repeating: open, count: depth) + (open == "[" ? "" : "0") + String(repeating: close, count: depth)
        }
        // On a thread of the pool, whose stack is the smallest that parsing ever gets.
        let value = try await Task.detached { try JSON(parsing: nested(512)) }.value
        #expect(value.text == nested(512))
        #expect(throws: JSONError.self) { try JSON(parsing: nested(513)) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: open, count: 1_000_000)) }
    }

    @Test(
        "an object with 100,000 keys is read and looked up without going through all of them", .timeLimit(.minutes(5)))
    func bigObject() throws {
        let text = "{" + (0..<100_000).map { "\"key-\($0)\":\($0)" }.joined(separator: ",") + "}"
        let object = try #require(try JSON(parsing: text).object)
        #expect(object.count == 100_000)
        #expect((0..<100_000).allSatisfy { object["key-\($0)"] == .integer(Int64($0)) })
        #expect(object == object)
    }

    @Test("a list of a megabyte is read and written back byte for byte")
    func bigList() throws {
        let item =
            #"{"metadata":{"name":"web-7d4b9c6f5-x2x7k","labels":{"app":"web"}},"status":{"phase":"Running","n":1}}"#
        let text = #"{"items":["# + Array(repeating: item, count: 10_000).joined(separator: ",") + "]}"
        #expect(text.utf8.count > 1_000_000)
        #expect(try JSON(parsing: text).text == text)
    }
}
