import Glibc
import Testing

@testable import Watcher

@Suite("Walking trees", .timeLimit(.minutes(5)))
struct TreeScanTests {
    @Test("every kind of entry is visited once, folders before their contents, ignored ones not at all")
    func walk() async throws {
        try await Disk.withFolder { disk in
            try disk.folders("a/b/empty")
            try disk.write("a/b/file", "12345")
            try disk.mode("a/b/file", 0o4755)
            try disk.link("a/link", to: "../nowhere")
            try disk.link("a/loop", to: ".")
            try disk.shell(
                "mkfifo pipe; mkdir -p out/x; echo 1 > out/x/f; echo 'out/' > .gitignore; touch -d @7.5 a/b/file")
            let rules = try IgnoreRules(root: disk.path)
            var found: [TreeEntry] = []
            TreeScan.walk(rules: rules) {
                found.append($0)
                return true
            }
            let names = found.map(\.path.description)
            #expect(Set(names) == ["a", "a/b", "a/b/empty", "a/b/file", "a/link", "a/loop", "pipe", ".gitignore"])
            #expect(names.count == 8)
            #expect(try #require(names.firstIndex(of: "a/b")) < #require(names.firstIndex(of: "a/b/file")))
            let file = try #require(found.first { $0.path == RelativePath("a/b/file") })
            #expect(file.kind == .file && file.mode == 0o4755 && file.size == 5 && file.modified == 7_500_000_000)
            #expect(found.first { $0.path == RelativePath("a/link") }?.target == Array("../nowhere".utf8))
            #expect(found.first { $0.path == RelativePath("pipe") }?.kind == .other)
        }
    }

    @Test("a walk can begin anywhere and leave folders out")
    func part() async throws {
        try await Disk.withFolder { disk in
            try disk.folders("a/b/c")
            try disk.folders("a/skip/x")
            try disk.write(".gitignore", "*.log")
            try disk.write("a/b/x.log")
            let rules = try IgnoreRules(root: disk.path)
            func names(_ place: String) -> [String] {
                var names: [String] = []
                TreeScan.walk(at: RelativePath(place), rules: rules) {
                    names.append($0.path.description)
                    return !$0.path.lastComponent.elementsEqual("skip".utf8)
                }
                return names.sorted()
            }
            #expect(names("a") == ["a", "a/b", "a/b/c", "a/skip"])
            #expect(names("a/b/x.log") == [])
            #expect(names("nowhere") == [])
            #expect(TreeScan.entry(at: RelativePath("a"), rules: rules)?.kind == .directory)
            #expect(TreeScan.entry(at: RelativePath("gone"), rules: rules) == nil)
        }
    }
}

@Suite("The table of watched folders")
struct WatchTreeTests {
    @Test("names and descriptors follow folders that come and go, and memory is used again")
    func churn() throws {
        let scope = try IgnoreRules(root: "/").rootScope()
        var tree = WatchTree(root: scope)
        tree.claim(1, for: WatchTree.root)
        var random = SeededGenerator(seed: 11)
        var model: [Int32: String] = [:]
        var nextWatch: Int32 = 2
        for step in 0..<20_000 {
            if model.count < 300 || Int.random(in: 0..<2, using: &random) == 0 {
                let parent = model.randomElement(using: &random)
                let node = try #require(tree.node(watch: parent?.key ?? 1))
                let name = "folder-\(step)"
                tree.claim(nextWatch, for: tree.add(Array(name.utf8), below: node))
                model[nextWatch] = (parent.map { $0.value + "/" } ?? "") + name
                nextWatch += 1
            } else if let victim = model.randomElement(using: &random) {
                let released = Set(tree.remove(try #require(tree.node(watch: victim.key))))
                let gone = model.filter { $0.value == victim.value || $0.value.hasPrefix(victim.value + "/") }
                #expect(released == Set(gone.keys))
                for watch in gone.keys { model[watch] = nil }
            }
        }
        #expect(tree.watchCount == model.count + 1)
        for (watch, path) in model {
            #expect(tree.path(of: try #require(tree.node(watch: watch))).description == path)
        }
    }

    @Test("the ignore files of folders that come and go take no place for ever")
    func scopes() throws {
        let rules = try IgnoreRules(root: "/")
        var tree = WatchTree(root: rules.rootScope())
        let git = IgnoreFile(lines: ["last"])
        let own = IgnoreRules.Scope(files: IgnoreScope(outer: nil, depth: 0, git: git, loop: IgnoreFile()))
        for round in 0..<70_000 {
            let outer = tree.add(Array("outer".utf8), below: WatchTree.root)
            tree.setScope(rules.rootScope(), of: outer)
            let inner = tree.add(Array("inner".utf8), below: outer)
            tree.setScope(own, of: inner)
            if round == 69_999 { #expect(tree.scope(of: inner).isSame(as: own)) }
            _ = tree.remove(outer)
        }
    }

    @Test("a descriptor belongs to the folder that claimed it last")
    func claims() throws {
        var tree = WatchTree(root: try IgnoreRules(root: "/").rootScope())
        let old = tree.add(Array("old".utf8), below: WatchTree.root)
        tree.claim(5, for: old)
        let new = tree.add(Array("new".utf8), below: WatchTree.root)
        tree.claim(5, for: new)
        #expect(tree.remove(old).isEmpty)
        #expect(tree.node(watch: 5) == new)
    }

    @Test("cut-off inotify records are left out")
    func records() {
        var bytes = [UInt8](repeating: 0, count: 32)
        bytes[0] = 7
        bytes[12] = 16
        bytes.replaceSubrange(16..<19, with: Array("abc".utf8))
        for length in 0...bytes.count {
            var found: [Inotify.Record] = []
            bytes.prefix(length).withUnsafeBytes { buffer in Inotify.Record.parse(buffer) { found.append($0) } }
            #expect(found.count == (length == 32 ? 1 : 0))
            #expect(found.first.map { $0.watch == 7 && $0.name.elementsEqual("abc".utf8) } ?? true)
        }
    }
}
