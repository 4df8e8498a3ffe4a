import Testing

@testable import Watcher

@Suite("Settling")
struct SettlingTests {
    /// One line of the table: events as `millisecond:path sign`, batches as `millisecond:paths`.
    ///
    /// The signs: `+` created, `~` written to, `.` closed after writing, `-` removed, `>` renamed within the tree, `@`
    /// attributes, `*` subtree.
    struct Marble: Sendable, CustomTestStringConvertible {
        let name: String
        let events: String
        let batches: String
        var testDescription: String { name }
    }

    static let table = [
        Marble(name: "a finished write leaves after 5 ms", events: "0:a.", batches: "5:a"),
        Marble(name: "every event begins the quiet anew", events: "0:a. 4:b. 8:c.", batches: "13:a,b,c"),
        Marble(name: "two saves apart are two batches", events: "0:a. 20:a.", batches: "5:a 25:a"),
        Marble(name: "a new file waits for its close", events: "0:a+ 20:a~ 30:a.", batches: "35:a"),
        Marble(name: "a file left open leaves after 50 ms", events: "0:a~", batches: "50:a?"),
        Marble(name: "writing on does not prolong the wait", events: "0:a~ 30:a~ 40:a~", batches: "50:a?"),
        Marble(name: "what was left open comes again when closed", events: "0:a~ 60:a.", batches: "50:a? 65:a"),
        Marble(
            name: "a log holds nobody back after its first batch", events: "0:l~ 60:l~ 70:a.",
            batches: "50:l? 75:a 310:l?"),
        Marble(
            name: "a log that is written to leaves every 250 ms", events: "0:l~ 60:l~ 200:l~ 320:l~",
            batches: "50:l? 310:l? 570:l?"),
        Marble(name: "a removed file waits for its successor, at most 50 ms", events: "0:a-", batches: "50:a"),
        Marble(name: "remove then add is one change", events: "0:a- 10:a+ 11:a.", batches: "16:a"),
        Marble(name: "renamed away and written anew is one change", events: "0:a- 0:b. 20:a+ 22:a.", batches: "27:a,b"),
        Marble(name: "a rename within the tree waits for nothing", events: "0:a- 0:a> 0:b.", batches: "5:a,b"),
        Marble(name: "a passing temporary file holds nothing back", events: "0:t+ 1:t- 1:a.", batches: "6:a,t"),
        Marble(name: "attributes alone leave after 5 ms", events: "0:a@", batches: "5:a"),
        Marble(name: "attributes do not close a file", events: "0:a+ 1:a@", batches: "50:a?"),
        Marble(name: "a wait ends with its own path only", events: "0:a- 10:b. 40:c.", batches: "50:a,b,c"),
        Marble(name: "a second wait has 50 ms of its own", events: "0:a- 40:b- 60:a.", batches: "90:a,b"),
        Marble(
            name: "a storm leaves after 250 ms in any case",
            events: (0..<100).map { "\($0 * 4):f\($0)." }.joined(separator: " "),
            batches: "250:" + (0...62).map { "f\($0)" }.joined(separator: ",")
                + " 401:" + (63...99).map { "f\($0)" }.joined(separator: ",")),
        Marble(name: "a subtree leaves like a finished write", events: "0:d*", batches: "5:d/**"),
        Marble(name: "what lies in such a subtree is not repeated", events: "0:d/x. 1:d* 2:d/y.", batches: "7:d/**"),
        Marble(
            name: "a log in a folder that goes is forgotten", events: "0:d/l~ 60:d* 70:d/l~",
            batches: "50:d/l? 65:d/** 120:d/l?"),
    ]

    @Test("batches leave when they should", arguments: table)
    func marbles(_ marble: Marble) throws {
        #expect(try Self.run(marble.events) == marble.batches)
    }

    @Test("nothing is due while nothing happens")
    func idle() {
        var settling = Settling(WatchOptions())
        #expect(settling.deadline() == nil)
        #expect(settling.settle(at: .max / 2) == nil)
    }

    @Test("after lost events nobody is taken for a writer")
    func forgotten() {
        var settling = Settling(WatchOptions())
        settling.record(RelativePath("a"), .open, at: 0)
        settling.forgetWriters()
        #expect(settling.deadline() == 5_000_000)
    }

    /// Plays the events with a clock that jumps from one moment to the next.
    private static func run(_ script: String) throws -> String {
        var settling = Settling(WatchOptions())
        var left: [String] = []
        func settle(before end: UInt64) {
            while let deadline = settling.deadline(), deadline <= end {
                guard let changes = settling.settle(at: deadline) else { return }
                let open = Set(changes.unfinished.map(\.description))
                let names = changes.names.sorted(by: byNumber).map { open.contains($0) ? $0 + "?" : $0 }
                left.append("\(deadline / 1_000_000):\(names.joined(separator: ","))")
            }
        }
        for event in script.split(separator: " ") {
            let parts = event.split(separator: ":")
            let now = try #require(UInt64(parts[0])) * 1_000_000
            let path = RelativePath(String(parts[1].dropLast()))
            // An event at the very moment of a deadline counts as later.
            settle(before: now)
            switch parts[1].last {
            case "+": settling.record(path, .open, created: true, at: now)
            case "~": settling.record(path, .open, at: now)
            case ".": settling.record(path, .finished, at: now)
            case "-": settling.record(path, .removed, at: now)
            case ">": settling.record(path, .renamed, at: now)
            case "@": settling.record(path, .attributes, at: now)
            default: settling.rescan(path, at: now)
            }
        }
        settle(before: .max / 2)
        return left.joined(separator: " ")
    }

    private static func byNumber(_ left: String, _ right: String) -> Bool {
        (left.count, left) < (right.count, right)
    }
}
