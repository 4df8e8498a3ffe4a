import HTTP
import JSON
import Testing

@testable import Playground

@Suite("Logs")
struct LogTests {
    private static func records(_ lines: [String]) -> [UInt8] {
        var formatter = LogFormatter(source: .stdout)
        return lines.enumerated().flatMap { index, line in
            formatter.records(of: Array(line.utf8), at: Timestamp(seconds: 1000 + index))
        }
    }

    @Test("bytes become one record a line, whatever their chunks were")
    func chunks() throws {
        let whole = Self.records(["one\ntwo\n"])
        var formatter = LogFormatter(source: .stdout)
        var pieces: [UInt8] = []
        for byte in "one\ntwo\n".utf8 { pieces += formatter.records(of: [byte], at: Timestamp(seconds: 1000)) }
        #expect(pieces == whole)
        var filter = LogFilter(try LogOptions([], now: .now))
        #expect(filter.text(of: pieces) == Array("one\ntwo\n".utf8))
    }

    @Test("a line longer than a record, and a last line without an end, come back as they were")
    func longLines() throws {
        let line = String(repeating: "x", count: 3 * LogFormatter.longest + 7)
        var formatter = LogFormatter(source: .stderr)
        let bytes =
            formatter.records(of: Array("\(line)\nrest".utf8), at: .now) + formatter.remainder(at: .now)
        var filter = LogFilter(try LogOptions([], now: .now))
        #expect(filter.text(of: bytes) == Array("\(line)\nrest".utf8))
    }

    @Test("times, limits and beginnings are as asked for")
    func options() throws {
        let bytes = Self.records(["a\n", "b\n", "c\n"])
        func text(_ query: [(name: String, value: String)], now: Int = 2000) throws -> String {
            var filter = LogFilter(try LogOptions(query, now: Timestamp(seconds: now)))
            return String(decoding: filter.text(of: bytes), as: UTF8.self)
        }
        #expect(try text([("timestamps", "true")]).hasPrefix("1970-01-01T00:16:40.000000Z a\n"))
        #expect(try text([("sinceSeconds", "10")], now: 1011) == "b\nc\n")
        #expect(try text([("limitBytes", "3")]) == "a\nb")
        #expect(throws: StatusError.self) { try text([("tailLines", "-1")]) }
    }

    @Test("a log is followed to its end", .onRunc, .timeLimit(.minutes(5)))
    func follow() async throws {
        try await Laboratory.run { lab in
            let script = "echo one; until test -e /tmp/go; do sleep 0.02; done; echo two >&2; echo three"
            try lab.create("talk", spec: ["restartPolicy": "Never", "containers": [Laboratory.script(script)]])
            try await lab.until("talk", "runs") { pod in
                pod.at("status", "containerStatuses")?[0]?.at("state", "running") != nil
            }
            async let all = lab.log("talk", "follow=true")
            _ = try await lab.output("talk", ["touch", "/tmp/go"])
            let text = try await all.text
            #expect(Set(text.split(separator: "\n")) == ["one", "two", "three"])
            #expect(text.hasPrefix("one\n"))
            #expect(try await lab.log("talk", "tailLines=1").text.split(separator: "\n").count == 1)
            let missing = try await lab.log("talk", "previous=true")
            #expect(missing.status == 400)
            #expect(missing.text.contains("previous terminated container \\\"app\\\" in pod \\\"talk\\\" not found"))
        }
    }
}
