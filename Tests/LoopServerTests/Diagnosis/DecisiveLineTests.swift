@testable import LoopServer
import Testing

@Suite("The decisive lines of a log")
struct DecisiveLineTests {
    struct Log: Sendable, CustomTestStringConvertible {
        let language: String
        let text: String
        let lines: [String]
        var testDescription: String { language }
    }

    static let logs = [
        Log(
            language: "Python",
            text: """
                INFO starting
                Traceback (most recent call last):
                  File "/srv/app.py", line 3, in <module>
                    import flaskk
                ModuleNotFoundError: No module named 'flaskk'

                """, lines: ["ModuleNotFoundError: No module named 'flaskk'"]),
        Log(
            language: "Node.js",
            text: """
                /srv/index.js:3
                    throw new Error('no DATABASE_URL');
                    ^

                Error: no DATABASE_URL
                    at Object.<anonymous> (/srv/index.js:3:11)
                    at Module._compile (node:internal/modules/cjs/loader:1554:14)

                Node.js v22.14.0
                """, lines: ["Error: no DATABASE_URL"]),
        Log(
            language: "npm",
            text: """
                > web@1.0.0 start
                Error: Cannot find module '/srv/server.js'
                    at node:internal/modules/cjs/loader:1228:15
                npm error code 1
                npm error path /srv
                npm error A complete log of this run can be found in: /root/.npm/_logs/x.log
                """, lines: ["Error: Cannot find module '/srv/server.js'"]),
        Log(
            language: "Go",
            text: """
                2026/11/21 00:40:30 listening
                panic: runtime error: invalid memory address or nil pointer dereference
                [signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47f4c1]

                goroutine 1 [running]:
                main.(*Server).Run(0x0)
                \t/src/main.go:12 +0x1d
                main.main()
                \t/src/main.go:5 +0x2a
                exit status 2
                """, lines: ["panic: runtime error: invalid memory address or nil pointer dereference"]),
        Log(
            language: "Rust",
            text: """
                thread 'main' panicked at src/main.rs:2:5:
                called `Option::unwrap()` on a `None` value
                note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
                """,
            lines: ["thread 'main' panicked at src/main.rs:2:5:", "called `Option::unwrap()` on a `None` value"]),
        Log(
            language: "Java",
            text: """
                Exception in thread "main" java.lang.IllegalStateException: cannot start
                \tat com.example.Main.main(Main.java:7)
                Caused by: java.net.ConnectException: Connection refused
                \tat java.base/sun.nio.ch.Net.connect0(Native Method)
                \t... 11 more
                """, lines: ["Caused by: java.net.ConnectException: Connection refused"]),
        Log(
            language: "a shell", text: "starting\n/start.sh: line 3: server: not found\n",
            lines: ["/start.sh: line 3: server: not found"]),
        Log(
            language: "JSON",
            text: """
                {"level":"error","msg":"bind: address already in use"}
                {"level":"info","msg":"shutting down","error":null}
                """, lines: ["{\"level\":\"error\",\"msg\":\"bind: address already in use\"}"]),
        Log(language: "colours", text: "\u{1B}[31mFATAL\u{1B}[0m no port\r\n", lines: ["FATAL no port"]),
        Log(language: "nothing that tells", text: "one\n\ntwo\nthree\nfour\n\n", lines: ["two", "three", "four"]),
        Log(language: "nothing", text: "", lines: []),
    ]

    @Test("say why a program ended, without its stack", arguments: logs)
    func choice(_ log: Log) {
        let lines = log.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(DecisiveLines.choose(lines).lines == log.lines)
    }

    @Test("times, numbers and addresses do not make another error of it")
    func material() {
        let one = DecisiveLines.material("2026-11-21T00:40:30Z panic: bad port 80 at 0xc0001234")
        let other = DecisiveLines.material("2026-11-22T10:11:12Z panic: bad port 80 at 0xc000ffff")
        #expect(one == other)
        #expect(one != DecisiveLines.material("2026-11-22T10:11:12Z panic: bad host at 0xc000ffff"))
    }

    @Test("a long line is cut")
    func long() {
        let line = "error: " + String(repeating: "x", count: 5000)
        #expect(DecisiveLines.choose([line]).lines[0].count < 500)
    }
}
