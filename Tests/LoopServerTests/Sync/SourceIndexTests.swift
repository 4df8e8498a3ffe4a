import Glibc
import Testing
import Watcher
import Wire

@testable import LoopServer

@Suite("The index of local sources", .turn) struct SourceIndexTests {
    let project: ScratchTree

    init() throws { project = try ScratchTree() }

    func plan(_ rules: [(watch: [String], to: String)] = [(["app/**"], "/srv")]) throws -> ServicePlan {
        var service = Service(name: "web", root: project.path)
        service.rules = try rules.map { rule in
            Rule(
                watch: try rule.watch.map { try Glob($0) },
                sync: Sync(to: rule.to, from: nil, mirror: false, via: .automatic), then: [])
        }
        return ServicePlan(service, project: project.path)
    }

    var rules: IgnoreRules { get throws { try IgnoreRules(root: project.path, patterns: []) } }

    /// An index that has seen the whole tree.
    func index(_ plan: ServicePlan) throws -> SourceIndex {
        var index = SourceIndex(plan: plan, tree: LocalTree(root: project.path))
        _ = index.look(at: ChangeSet(paths: [], rescan: [.root]), rules: try rules)
        return index
    }

    func place(_ path: String, _ destination: Int = 0) -> Place {
        Place(destination: destination, path: RelativePath(path))
    }

    func remove(_ path: String) { ScratchTree.remove("\(project.path)/\(path)") }

    struct Case: CustomTestStringConvertible {
        let testDescription: String
        let act: @Sendable (ScratchTree) throws -> Void
        let paths: [String]
        let rescan: [String]
        let changed: [String: Need]
        let gone: [String]
    }

    static let cases = [
        Case(
            testDescription: "a new file", act: { try $0.write("app/new", "x") }, paths: ["app/new"], rescan: [],
            changed: ["new": .everything], gone: []),
        Case(
            testDescription: "other content", act: { try $0.write("app/a", "longer") }, paths: ["app/a"], rescan: [],
            changed: ["a": .everything], gone: []),
        Case(
            testDescription: "nothing changed", act: { _ in }, paths: ["app/a"], rescan: ["app/d"], changed: [:],
            gone: []),
        Case(
            testDescription: "a removed file", act: { unlink("\($0.path)/app/a") }, paths: ["app/a"], rescan: [],
            changed: ["a": .everything], gone: ["a"]),
        Case(
            testDescription: "a removed folder, told by its own name only",
            act: { ScratchTree.remove("\($0.path)/app/d") }, paths: ["app/d"], rescan: [],
            changed: ["d": .everything, "d/x": .everything], gone: ["d", "d/x"]),
        Case(
            testDescription: "a moved folder", act: { rename("\($0.path)/app/d", "\($0.path)/app/e") }, paths: [],
            rescan: ["app/d", "app/e"],
            changed: [
                "d": .everything, "d/x": .everything, "e": .everything, "e/x": .everything,
            ], gone: ["d", "d/x"]),
        Case(
            testDescription: "a folder that became a file",
            act: {
                ScratchTree.remove("\($0.path)/app/d")
                try $0.write("app/d", "file")
            }, paths: ["app/d"], rescan: [], changed: ["d": .everything, "d/x": .everything], gone: ["d/x"]),
        Case(
            testDescription: "a folder that became a link to one with the same names",
            act: {
                rename("\($0.path)/app/d", "\($0.path)/elsewhere")
                symlink("../elsewhere", "\($0.path)/app/d")
            }, paths: ["app/d"], rescan: ["app/d"], changed: ["d": .everything, "d/x": .everything], gone: ["d/x"]),
        Case(
            testDescription: "a folder's mode", act: { chmod("\($0.path)/app/d", 0o700) }, paths: ["app/d"],
            rescan: [], changed: ["d": .metadata], gone: []),
        Case(
            testDescription: "what is ignored from now on is left alone",
            act: { try $0.write(".gitignore", "a\nd/\n") }, paths: [], rescan: [""], changed: [:], gone: []),
        Case(
            testDescription: "a file that became a pipe",
            act: {
                unlink("\($0.path)/app/a")
                mkfifo("\($0.path)/app/a", 0o600)
            }, paths: ["app/a"], rescan: [], changed: ["a": .everything], gone: ["a"]),
        Case(
            testDescription: "a file that became a folder which is ignored",
            act: {
                try $0.write(".gitignore", "a/\n")
                unlink("\($0.path)/app/a")
                try $0.write("app/a/x", "ignored")
            }, paths: ["app/a"], rescan: [], changed: ["a": .everything], gone: ["a"]),
        Case(
            testDescription: "a folder that became a file which is ignored",
            act: {
                try $0.write(".gitignore", "d\n!d/\n")
                ScratchTree.remove("\($0.path)/app/d")
                try $0.write("app/d", "ignored")
            }, paths: [], rescan: ["app/d"], changed: ["d": .everything, "d/x": .everything], gone: ["d", "d/x"]),
        Case(
            testDescription: "a write through another name of a file",
            act: {
                link("\($0.path)/app/a", "\($0.path)/app/b")
                try $0.write("app/b", "other")
            }, paths: ["app/b"], rescan: [], changed: ["a": .everything, "b": .everything], gone: []),
        Case(
            testDescription: "another name of a file",
            act: { link("\($0.path)/app/a", "\($0.path)/app/b") }, paths: ["app/b"], rescan: [],
            changed: ["b": .everything], gone: []),
        Case(
            testDescription: "nothing is gone while the project's folder is not there",
            act: { rename($0.path, "\($0.path)-away") }, paths: ["app/a"], rescan: ["app/d"], changed: [:], gone: []),
    ]

    @Test("a look says what changed and what is gone", arguments: cases)
    func looks(testCase: Case) throws {
        try project.write("app/a", "one")
        try project.write("app/d/x", "two")
        var index = try index(try plan())
        // As after a delivery: the hashes are known, and old enough to be trusted.
        for (place, text) in [(place("a"), "one"), (place("d/x"), "two")] {
            let entry = try #require(index.items[place]?.entry)
            let content = ReadContent(digest: SHA256Digest(of: Array(text.utf8)), isCertain: true)
            index.learn(content, of: place, as: entry)
        }
        try testCase.act(project)
        defer { rename("\(project.path)-away", project.path) }
        let changes = ChangeSet(
            paths: Set(testCase.paths.map { RelativePath($0) }), rescan: Set(testCase.rescan.map { RelativePath($0) }))
        let findings = index.look(at: changes, rules: try rules)
        #expect(Dictionary(findings.changed.map { ("\($0.key.path)", $0.value) }) { $1 } == testCase.changed)
        #expect(index.gone.keys.map { "\($0.path)" }.sorted() == testCase.gone)
    }

    @Test("a folder that cannot be read hides its files; they are not gone")
    func keepsHidden() async {
        // A process of its own: it gives up root's rights, to which every folder is readable.
        await #expect(processExitsWith: .success) {
            let test = try SourceIndexTests()
            try test.project.write("app/d/x", "one")
            try test.project.write("app/a", "two")
            chmod(test.project.path, 0o755)
            var index = try test.index(try test.plan())
            let ignore = try test.rules
            chmod("\(test.project.path)/app/d", 0)
            let wasRoot = geteuid() == 0
            if wasRoot { seteuid(65534) }
            var findings = index.look(at: ChangeSet(paths: [], rescan: [.root]), rules: ignore)
            let more = index.look(at: ChangeSet(paths: [RelativePath("app/d/x")]), rules: ignore)
            if wasRoot { seteuid(0) }
            chmod("\(test.project.path)/app/d", 0o755)
            findings.changed.merge(more.changed) { $1 }
            #expect(findings.changed.keys.allSatisfy { $0 != test.place("d/x") })
            #expect(index.gone.isEmpty)
            #expect(index.items[test.place("d/x")] != nil)
        }
    }

    @Test("of two files with one place the first rule's has it; the other comes to light when that is gone")
    func sharesPlaces() throws {
        try project.write("a/x", "first")
        try project.write("b/x", "second")
        let plan = try plan([(["b/**"], "/srv"), (["a/**"], "/srv")])
        var index = try index(plan)
        #expect(index.items[place("x")]?.local == RelativePath("b/x"))
        // Touching or removing the loser means nothing.
        try project.write("a/x", "changed")
        #expect(index.look(at: ChangeSet(paths: [RelativePath("a/x")]), rules: try rules).changed.isEmpty)
        unlink("\(project.path)/b/x")
        let findings = index.look(at: ChangeSet(paths: [RelativePath("b/x")]), rules: try rules)
        #expect(findings.changed[place("x")] == .everything)
        #expect(index.items[place("x")]?.local == RelativePath("a/x"))
        #expect(index.gone.isEmpty)
        unlink("\(project.path)/a/x")
        _ = index.look(at: ChangeSet(paths: [], rescan: [RelativePath("a")]), rules: try rules)
        #expect(index.gone.keys.contains(place("x")))
    }

    @Test("the same bytes with another time ask for the time only, once their hash is known")
    func comparesContent() throws {
        try project.write("app/a", "one")
        var index = try index(try plan())
        let entry = try #require(index.items[place("a")]?.entry)
        index.learn(
            ReadContent(digest: SHA256Digest(of: Array("one".utf8)), isCertain: true), of: place("a"), as: entry)
        unlink("\(project.path)/app/a")
        try project.write("app/a", "one")
        let findings = index.look(at: ChangeSet(paths: [RelativePath("app/a")]), rules: try rules)
        #expect(findings.changed == [place("a"): .metadata])
        unlink("\(project.path)/app/a")
        try project.write("app/a", "two")
        let more = index.look(at: ChangeSet(paths: [RelativePath("app/a")]), rules: try rules)
        #expect(more.changed == [place("a"): .everything])
    }

    @Test("an ignore file that was edited and edited back between two looks is told by its own path")
    func ignoresThereAndBack() throws {
        try project.write("app/a", "one")
        try project.write("app/.gitignore", "a\n")
        var index = try index(try plan())
        #expect(index.items[place("a")] == nil)
        try project.write("app/.gitignore", "")
        let findings = index.look(at: ChangeSet(paths: [RelativePath("app/.gitignore")]), rules: try rules)
        #expect(findings.changed[place("a")] == .everything)
    }

    @Test("a hash of what a file was before is not taken for what it is")
    func learnsOnlyTheSame() throws {
        try project.write("app/a", "one")
        var index = try index(try plan())
        let old = try #require(index.items[place("a")]?.entry)
        unlink("\(project.path)/app/a")
        try project.write("app/a", "other")
        _ = index.look(at: ChangeSet(paths: [RelativePath("app/a")]), rules: try rules)
        index.learn(ReadContent(digest: SHA256Digest(of: Array("one".utf8)), isCertain: true), of: place("a"), as: old)
        #expect(index.items[place("a")]?.digest == nil)
    }

    @Test("a file written twice within one tick of the clock is told by its bytes", arguments: [true, false])
    func rereadsWithinATick(isCertain: Bool) throws {
        try project.write("app/a", "new")
        var index = try index(try plan())
        let entry = try #require(index.items[place("a")]?.entry)
        // What an early reader saw: other bytes under the very same times.
        let seen = ReadContent(digest: SHA256Digest(of: Array("old".utf8)), isCertain: isCertain)
        index.learn(seen, of: place("a"), as: entry)
        let findings = index.look(at: ChangeSet(paths: [RelativePath("app/a")]), rules: try rules)
        #expect(findings.changed == (isCertain ? [:] : [place("a"): .everything]))
        let written = entry.identity.changed
        #expect(!entry.isSettled(at: written + 1_000_000) && entry.isSettled(at: written + 20_000_000))
    }

    @Test("files that no rule takes are named, with what is in the service's folder only")
    func namesUnmatched() throws {
        try project.write("other.txt", "x")
        var index = try index(try plan())
        let findings = index.look(at: ChangeSet(paths: [RelativePath("other.txt")]), rules: try rules)
        #expect(findings.unmatched == [RelativePath("other.txt")])
    }
}
