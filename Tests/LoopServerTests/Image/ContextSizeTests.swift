import Glibc
import Synchronization
import Testing

@testable import LoopServer

@Suite("How large a build's context is", .turn) struct ContextSizeTests {
    private static let rules: [(pattern: String, path: String, isOut: Bool)] = [
        ("node_modules", "node_modules/a/b.js", true), ("node_modules", "web/node_modules/a.js", false),
        ("**/node_modules", "web/node_modules/a.js", true), ("*.log", "a.log", true), ("*.log", "logs/a.log", false),
        ("**/*.log", "logs/deep/a.log", true), ("/build", "build/x", true), ("build/", "build/x", true),
        ("docs/**", "docs/a/b", true), ("?.txt", "a.txt", true), ("?.txt", "ab.txt", false),
        ("[a-c].txt", "b.txt", true), ("[^a-c].txt", "b.txt", false), ("a\\*b", "a*b", true), ("a\\*b", "axb", false),
        ("# comment", "# comment", false), ("*\n!keep", "keep/file", false), ("*\n!keep", "other", true),
        ("docs\n!docs/README.md\ndocs/README.*", "docs/README.md", true), ("./src", "src/a", true),
        (" src ", "src", true),
    ]

    @Test("a .dockerignore leaves out what docker leaves out", arguments: rules.indices)
    func ignore(number: Int) {
        let (pattern, path, isOut) = ContextSizeTests.rules[number]
        #expect(DockerIgnore(parsing: pattern).leavesOut(path) == isOut, "\(pattern): \(path)")
    }

    /// The same figures in thousandths.
    private static let limit = ContextSize.Limit(size: 1 << 20)

    private func measure(_ tree: ScratchTree) -> ContextSize {
        ContextSize.measure(tree.path, dockerfile: "\(tree.path)/Dockerfile", limit: ContextSizeTests.limit)
    }

    private func tree(_ files: [String: Int]) throws -> ScratchTree {
        let tree = try ScratchTree()
        for (path, size) in files {
            try tree.write(path, "")
            try #require(truncate("\(tree.path)/\(path)", size) == 0)
        }
        return tree
    }

    private static let files = [
        "node_modules/a/big": 700 << 10, "data/dump.sql": 500 << 10, "target/debug/app": 100 << 10, "src/main.c": 1000,
        "Dockerfile": 100,
    ]

    @Test("a context over 1 GB without a .dockerignore names its three biggest folders")
    func large() throws {
        let tree = try tree(ContextSizeTests.files)
        #expect(ContextSize.Limit().size == 1 << 30)
        #expect(
            measure(tree).warning(of: tree.path, limit: ContextSizeTests.limit)
                == "the build context \(tree.path) has 1.3 MB (node_modules 716.8 KB, data 512.0 KB, target 102.4 KB); "
                + "there is no .dockerignore: what it leaves out need not be sent")
    }

    @Test("what is left out is not counted, by the Dockerfile's own file rather than the context's")
    func ignored() throws {
        let tree = try tree(ContextSizeTests.files)
        try tree.write(".dockerignore", "node_modules\n")
        #expect(measure(tree).warning(of: tree.path, limit: ContextSizeTests.limit) == nil)
        try tree.write("Dockerfile.dockerignore", "src\n")
        let warning = measure(tree).warning(of: tree.path, limit: ContextSizeTests.limit)
        #expect(warning?.hasSuffix("Dockerfile.dockerignore can leave out more") == true)
        try tree.write("Dockerfile.dockerignore", "*\n!src\n")
        #expect(measure(tree).total == 1000)
    }

    @Test("counting ends at its limit, and says that there is more")
    func bounded() throws {
        let tree = try tree(["a/1": 2 << 10, "b/1": 1, "c/1": 1])
        var limit = ContextSize.Limit()
        limit.entries = 5
        let size = ContextSize.measure(tree.path, dockerfile: "\(tree.path)/Dockerfile", limit: limit)
        #expect(!size.isWhole)
    }

    @Test("a context is looked at once in a session")
    func once() async throws {
        let tree = try tree(ContextSizeTests.files)
        let notices = Mutex<[String]>([])
        let survey = ContextSurvey(limit: ContextSizeTests.limit) { kind in
            if case .notice(let text) = kind { notices.withLock { $0.append(text) } }
        }
        for _ in 0..<3 { await survey.look(at: tree.path, dockerfile: "\(tree.path)/Dockerfile") }
        #expect(notices.withLock { $0.count } == 1)
    }
}
