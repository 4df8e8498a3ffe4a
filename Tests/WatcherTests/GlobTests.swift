import Testing

@testable import Watcher

@Suite("Globs")
struct GlobTests {
    static let table: [(pattern: String, yes: [String], no: [String], fixed: String)] = [
        ("app/**", ["app/x", "app/x/y.py", "app/.hidden"], ["app", "apple/x", "b/app/x"], "app"),
        ("**/*.py", ["a.py", "a/b.py", "a/b/c.py"], ["a.pyc", "py"], ""),
        ("*.py", ["a.py", ".py"], ["a/b.py"], ""),
        ("requirements.txt", ["requirements.txt"], ["a/requirements.txt", "requirements_txt"], ""),
        ("src/main.go", ["src/main.go"], ["src/main.go/x", "main.go"], "src"),
        ("k8s/", ["k8s/a", "k8s/b/c"], ["k8s", "a/k8s/b"], "k8s"),
        ("./app/**", ["app/x"], ["x"], "app"),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["z", "a/b", "a/z/b"], "a"),
        ("a/**/b/**/c", ["a/b/c", "a/x/b/y/z/c", "a/b/b/c"], ["a/c", "a/b"], "a"),
        ("src/{web,api}/*.ts", ["src/web/a.ts", "src/api/b.ts"], ["src/db/a.ts", "src/web/x/a.ts"], "src"),
        ("{a,b/{c,d}}/x", ["a/x", "b/c/x", "b/d/x"], ["b/x", "c/x"], ""),
        ("{web,}/x", ["web/x", "x"], ["y/x"], ""),
        ("file{1,2}", ["file1", "file2"], ["file", "file12"], ""),
        ("[a-c]?.[!o]", ["ax.c", "bb.h"], ["dx.c", "a.c", "ax.o"], ""),
        ("[{]x", ["{x"], ["x"], ""),
        ("\\*\\{a\\}", ["*{a}"], ["x{a}"], ""),
        ("**", ["a", "a/b"], [""], ""),
        ("a*b*c", ["abc", "axbxc", "abbcc"], ["ab", "acb", "a/bc"], ""),
    ]

    @Test("patterns match what they say", arguments: table)
    func matching(pattern: String, yes: [String], no: [String], fixed: String) throws {
        let glob = try Glob(pattern)
        for path in yes { #expect(glob.matches(RelativePath(path)), "\(path)") }
        for path in no { #expect(!glob.matches(RelativePath(path)), "\(path)") }
        #expect(glob.fixedPart == RelativePath(fixed))
        for path in yes {
            var folder = RelativePath(path).parent
            while let here = folder {
                #expect(glob.canMatch(inside: here), "a walk must enter \(here) to find \(path)")
                folder = here.parent
            }
        }
    }

    @Test("a walk leaves out folders in which nothing can match")
    func pruning() throws {
        let glob = try Glob("src/{web,api}/**/*.ts")
        #expect(!glob.canMatch(inside: RelativePath("docs")))
        #expect(!glob.canMatch(inside: RelativePath("src/db")))
        #expect(glob.canMatch(inside: RelativePath("src/web/deep/er")))
    }

    @Test(
        "what is no glob is refused with the reason",
        arguments: [
            ("", "an empty pattern matches nothing"), ("/etc/**", "must be relative"),
            ("a/../b", "may not climb with .."),
            ("a[", "[ without its ]"), ("a\\", "ends in a backslash that escapes nothing"),
            ("{a", "braces do not pair, or make more than 1024 alternatives"),
            ("a}", "braces do not pair, or make more than 1024 alternatives"),
            (String(repeating: "{a,b}", count: 12), "braces do not pair, or make more than 1024 alternatives"),
            ("[[:nope:]]", "unknown character class"),
        ])
    func refused(pattern: String, reason: String) {
        #expect(throws: GlobError(pattern: pattern, reason: reason)) { try Glob(pattern) }
    }

    @Test("bytes that are not UTF-8 match wildcards")
    func bytes() throws {
        #expect(try Glob("a?/*").matches(RelativePath(bytes: [0x61, 0xff, 0x2f, 0xfe])))
    }

    @Test("a hostile pattern takes no exponential time")
    func hostile() throws {
        let glob = try Glob(String(repeating: "**/", count: 30) + String(repeating: "*a", count: 60) + "b")
        let path = RelativePath(Array(repeating: String(repeating: "a", count: 100), count: 30).joined(separator: "/"))
        #expect(!glob.matches(path))
    }
}
