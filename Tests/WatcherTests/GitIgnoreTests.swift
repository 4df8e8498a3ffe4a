import Glibc
import Testing

@testable import Watcher

/// Numbers that are the same for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    /// SplitMix64.
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite("Ignore files mean what git takes them to mean", .enabled(if: Disk.has("git")), .timeLimit(.minutes(5)))
struct GitIgnoreTests {
    @Test("thousands of generated trees and patterns are ignored as git ignores them")
    func generated() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the generated ignore files: \(seed)")
        var random = SeededGenerator(seed: seed)
        try await Disk.withFolder { disk in
            try disk.shell("git init -q .")
            var paths: [(path: String, isDirectory: Bool)] = []
            for number in 0..<120 {
                let tree = "t\(number)"
                try disk.folder(tree)
                var folders = [tree]
                for _ in 0..<Int.random(in: 3...10, using: &random) {
                    guard let parent = folders.randomElement(using: &random) else { continue }
                    let folder = "\(parent)/\(Self.name(&random))"
                    guard mkdir(disk.at(folder), 0o755) == 0 else { continue }
                    folders.append(folder)
                    paths.append((folder, true))
                }
                for _ in 0..<25 {
                    guard let parent = folders.randomElement(using: &random) else { continue }
                    let file = "\(parent)/\(Self.name(&random))"
                    guard access(disk.at(file), F_OK) != 0 else { continue }
                    try disk.write(file)
                    paths.append((file, false))
                }
                for (index, folder) in folders.enumerated()
                where index == 0 || Int.random(in: 0..<4, using: &random) == 0 {
                    let lines = (0..<Int.random(in: 1...5, using: &random)).map { _ in Self.pattern(&random) }
                    let end = ["\n", "\r\n"].randomElement(using: &random) ?? "\n"
                    try disk.write("\(folder)/.gitignore", lines.joined(separator: end) + end)
                }
            }
            try Self.compare(disk, paths, seed: seed)
        }
    }

    /// One hand-made ignore file with the paths of a tree it is asked about; `/` at the end makes a folder.
    static let cases: [(rules: String, paths: [String])] = [
        ("*.log\n!keep.log\n", ["a.log", "keep.log", "d/keep.log"]),
        ("/only\n", ["only", "d/only"]),
        ("d/only\n", ["d/only", "e/d/only"]),
        ("folder/\n", ["folder/", "folder/x", "d/folder"]),
        ("out\n!out/keep\n", ["out/", "out/keep"]),
        ("out/*\n!out/keep\n", ["out/", "out/keep", "out/other"]),
        ("**/deep\n", ["deep", "a/deep", "a/b/deep"]),
        ("a/**\n", ["a/", "a/b/", "a/b/c"]),
        ("ab**/*\n", ["ab", "abc", "abd/x", "a/ab", "aab"]),
        ("a/**/z\n", ["a/z", "a/b/z", "a/b/c/z", "z"]),
        ("a**/b\nc/d**\n", ["a/", "a/b", "ab", "axx/", "axx/b", "axx/y/b", "c/d", "c/dx/", "c/dx/y", "c/e"]),
        ("a**/**\n", ["a", "ab/", "ab/c", "b"]), ("a**/b/**\n", ["a", "ab/", "ab/c"]),
        ("?**/b\n", ["a/b", "ax/b", "ab", "ax/y/b"]),
        ("/**\n!/*/\n", ["a", "b/", "b/c"]),
        ("**\n", ["a", "b/c"]),
        ("\\#hash\n#comment\n\\!bang\n", ["#hash", "#comment", "!bang"]),
        ("trail   \nkept\\ \n", ["trail", "kept ", "kept"]),
        ("[a-c]x\n[!a]y\n[^b]z\n", ["ax", "dx", "ay", "by", "az", "bz"]),
        ("[]]x\n[]-]y\n[a-]z\n", ["]x", "-y", "]y", "-z", "az"]),
        ("[[:alpha:][:digit:]]x\n[[:nope:]]y\n", ["ax", "1x", "_x", "ny"]),
        ("open[\nback\\\nx[\\]]\n", ["open[", "back\\", "back", "x]"]),
        ("?\n", ["a", "ab", "é"]),
        ("*\n!*/\n!*.py\n", ["a", "a.py", "d/", "d/b.py", "d/c"]),
        ("a//b\n/\n//\n", ["a/b"]),
        ("\u{feff}bom\n", ["bom"]),
        (".*\n!.keep\n", [".hidden", ".keep", "d/.hidden"]),
        ("a?b\nc[/]d\ne*f\n", ["a/b", "c/d", "e/f", "axb", "eyyf"]),
        ("***/x\ny/***\n", ["x", "a/x", "y/", "y/z"]),
        ("foo\\/bar\nfoo\\*\n", ["foo/", "foo/bar", "foo*", "foox"]),
    ]

    @Test("the rules that people get wrong", arguments: cases)
    func handMade(rules: String, paths: [String]) async throws {
        try await Disk.withFolder { disk in
            try disk.shell("git init -q .")
            try disk.folder("t0")
            try disk.write("t0/.gitignore", rules)
            for path in paths {
                let parts = path.split(separator: "/").map(String.init)
                try disk.folders("t0/" + parts.dropLast().joined(separator: "/"))
                if path.hasSuffix("/") { try disk.folders("t0/\(path)") } else { try disk.write("t0/\(path)") }
            }
            let asked = paths.map { ("t0/" + ($0.hasSuffix("/") ? String($0.dropLast()) : $0), $0.hasSuffix("/")) }
            try Self.compare(disk, asked, seed: 0)
        }
    }

    @Test("files above the root and the repository's own exclude count, a worktree's too")
    func above() async throws {
        try await Disk.withFolder { disk in
            try disk.shell(
                """
                git init -q -b one repo && cd repo && mkdir -p sub/root .git/info && echo '*.above' > .gitignore
                echo '/root/anchored' > sub/.gitignore && echo '*.excluded' > .git/info/exclude
                git -c user.name=n -c user.email=e@e add -A && git -c user.name=n -c user.email=e@e commit -qm one
                git worktree add -q ../tree -b two && mkdir -p ../tree/sub/root
                """)
            for top in ["repo", "tree"] {
                let rules = try IgnoreRules(root: disk.at("\(top)/sub/root"))
                for name in ["a.above", "anchored", "b.excluded", "d/c.above"] {
                    #expect(rules.isIgnored(RelativePath(name), isDirectory: false), "\(top) \(name)")
                }
                #expect(!rules.isIgnored(RelativePath("d/anchored"), isDirectory: false))
            }
        }
    }

    /// Asks git about all paths at once, and the rules of each tree about its own.
    private static func compare(_ disk: Disk, _ paths: [(path: String, isDirectory: Bool)], seed: UInt64) throws {
        try disk.write(".git/asked", paths.map { $0.path + "\0" }.joined())
        // check-ignore fails when nothing is ignored, which is an answer too.
        let answer = try disk.shell("git check-ignore --no-index -z --stdin < .git/asked; [ $? -le 1 ]")
        let ignored = Set(answer.split(separator: "\0").map(String.init))
        var rules: [String: IgnoreRules] = [:]
        for (path, isDirectory) in paths {
            let tree = String(path.prefix { $0 != "/" })
            let own = try rules[tree] ?? IgnoreRules(root: disk.at(tree))
            rules[tree] = own
            let relative = RelativePath(String(path.dropFirst(tree.count + 1)))
            let found = own.isIgnored(relative, isDirectory: isDirectory)
            #expect(found == ignored.contains(path), "\(path), seed \(seed)\n\(disk.read("\(tree)/.gitignore"))")
        }
    }

    private static func name(_ random: inout SeededGenerator) -> String {
        let names = [
            "a", "b", "ab", "abc", "a.log", "b.log", "x.py", "build", "src", ".env", "a b", "c-d", "Z", "!n", "#h",
            "[x]", "é",
        ]
        return names.randomElement(using: &random) ?? "a"
    }

    private static func pattern(_ random: inout SeededGenerator) -> String {
        let pieces = [
            "a", "b", "ab", "*", "?", "*.log", "[a-c]", "[!b]", "**", "build", "src", "*b*", "a*", ".e*", "\\#h",
            "\\!n",
            "\\[x]", "[[:alpha:]]", "[[:upper:]]", "a b", "x.p?", "***", "a**", "[]x]", "c[,-.]d", "é", "[\\a]", "\\a",
            "[a", "[^a-z]", "ab**", "s**",
        ]
        var text = (0..<Int.random(in: 1...3, using: &random))
            .map { _ in pieces.randomElement(using: &random) ?? "a" }.joined(separator: "/")
        switch Int.random(in: 0..<12, using: &random) {
        case 0, 1, 2: text = "!" + text
        case 3: text = "/" + text
        case 4, 5: text += "/"
        case 6: text += " "
        case 7: text = "!/" + text + "/"
        case 8: text = "# " + text
        default: break
        }
        return text
    }
}
