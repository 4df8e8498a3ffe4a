import JSON
import Testing

@Suite("Writing JSON")
struct JSONWriterTests {
    static let lines: [(value: JSON, text: String)] = [
        (.null, "null"), (true, "true"), (.integer(.min), "-9223372036854775808"), (1.5, "1.5"), (1.0, "1.0"),
        (.double(.infinity), "null"), (.double(.nan), "null"), ("é😀", "\"é😀\""),
        ("\"\\/\n\r\t\u{0}\u{1F}\u{7F}", "\"\\\"\\\\/\\n\\r\\t\\u0000\\u001f\u{7F}\""), ([], "[]"), ([:], "{}"),
        (["b": [1, nil], "a": [:]], #"{"b":[1,null],"a":{}}"#),
    ]

    @Test("a value is one line", arguments: lines)
    func line(value: JSON, text: String) {
        #expect(value.text == text)
    }

    @Test("pretty text is indented by level")
    func pretty() {
        let value: JSON = ["a": [1, ["b": true]], "c": [], "d": [:]]
        #expect(
            value.pretty() == """
                {
                  "a": [
                    1,
                    {
                      "b": true
                    }
                  ],
                  "c": [],
                  "d": {}
                }
                """)
    }
}
