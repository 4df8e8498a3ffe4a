import Glibc
import JSON
import Reactor
import Testing

@testable import loopd

@Suite("Variables for other programs", .timeLimit(.minutes(5)))
struct VariableFormatTests {
    /// The environment of a shell that has read a text.
    private func read(_ command: String, _ text: String) async throws -> [String: String] {
        let environment = ["PATH": getenv("PATH").map { String(cString: $0) } ?? ""]
        let output = try await Child.run(Launch(["sh", "-c", command, "sh", text], environment: environment))
        #expect(output.status.isSuccess, "\(output.errorText)")
        var found: [String: String] = [:]
        for entry in output.text.split(separator: "\0") {
            let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            found[parts[0]] = parts.count > 1 ? parts[1] : ""
        }
        return found
    }

    @Test("a shell reads back every value as it was", arguments: [VariableFormat.shell, .dotenv])
    func shell(format: VariableFormat) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the values: \(seed)")
        var random = Numbers(state: seed)
        let pieces = [
            "'", "\"", "$", "\\", "`", "\n", " ", "#", "=", "é", "A", "$(A)", "${PATH}", "\\n", "!", "\t", "*", ";",
        ]
        var variables: [(String, String)] = [("EMPTY", ""), ("PLAIN", "a-b/c.d:1"), ("_x1", "'")]
        for number in 0..<200 {
            let length = Int.random(in: 1...10, using: &random)
            let value = (0..<length).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
            variables.append(("V\(number)", value))
        }
        let text = format.lines(variables).joined(separator: "\n")
        let found = try await read("set -a; eval \"$1\"; env -0", text)
        for (name, value) in variables { #expect(found[name] == value, "seed \(seed): \(name)") }
    }

    private static let dotenv: [(value: String, written: String)] = [
        ("plain", "plain"), ("", "''"), ("a b", "'a b'"), ("$x", "'$x'"), ("say \"hi\"", "'say \"hi\"'"),
        ("one\ntwo", "'one\ntwo'"), ("it's", "\"it's\""), ("it's $5", "\"it's \\$5\""),
        ("#no comment", "'#no comment'"),
    ]

    @Test(
        "a .env file has single quotes, in which readers take all as it is, and double ones only for these",
        arguments: dotenv)
    func quoting(value: String, written: String) {
        #expect(VariableFormat.dotenv.lines([("A", value)]) == ["A=\(written)"])
    }

    @Test("a name that no shell can export is left out and told, and is in the JSON")
    func names() throws {
        let variables = [("a.b", "1"), ("9x", "2"), ("x-y", "3"), ("GOOD_1", "4")]
        for format in [VariableFormat.shell, .dotenv] {
            #expect(format.lines(variables).count == 1 && format.leftOut(variables) == ["a.b", "9x", "x-y"])
        }
        let json = try JSON(parsing: Array(VariableFormat.json.lines(variables).joined().utf8))
        #expect(json == ["a.b": "1", "9x": "2", "x-y": "3", "GOOD_1": "4"])
        #expect(VariableFormat.json.leftOut(variables) == [])
    }

    private struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ state >> 29
        }
    }
}
