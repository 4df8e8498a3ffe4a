import Glibc
import Testing

@testable import Watcher

@Suite("Change sets alone keep a copy of the tree true", .timeLimit(.minutes(5)))
struct ConvergenceTests {
    /// What a follower of change sets knows of a tree.
    private struct Copy {
        var entries: [RelativePath: TreeEntry] = [:]

        mutating func apply(_ changes: ChangeSet, _ rules: IgnoreRules) {
            for top in changes.rescan {
                entries = entries.filter { !$0.key.isInside(top) }
                scan(top, rules)
            }
            var entries = entries
            TreeScan.look(at: changes.paths, rules: rules) { path, entry in
                entries[path] = entry.map(Self.comparable)
            }
            self.entries = entries
        }

        mutating func scan(_ top: RelativePath, _ rules: IgnoreRules) {
            var found: [TreeEntry] = []
            TreeScan.walk(at: top, rules: rules) {
                found.append($0)
                return true
            }
            for entry in found { entries[entry.path] = Self.comparable(entry) }
        }

        /// A folder's times and size follow its entries; the time of the last change and the number of names
        /// move with every rename and link.
        private static func comparable(_ entry: TreeEntry) -> TreeEntry {
            var entry = entry
            (entry.changed, entry.links) = (0, 0)
            if entry.kind == .directory { (entry.modified, entry.size) = (0, 0) }
            return entry
        }
    }

    @Test("after any random operations, with rests at any moment, the copy equals the disk", arguments: 0..<8)
    func random(round: Int) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the random operations: \(seed)")
        var random = SeededGenerator(seed: seed)
        try await WatchedFolder.ready(prepare: { try $0.write(".gitignore", "*.log\nout/\n") }) { folder, disk in
            let rules = try IgnoreRules(root: disk.path)
            var copy = Copy()
            copy.scan(.root, rules)
            for _ in 0..<12 {
                for _ in 0..<Int.random(in: 1...120, using: &random) { Self.operate(disk, &random) }
                copy.apply(try await folder.changes(), rules)
                var truth = Copy()
                truth.scan(.root, rules)
                copy.entries = copy.entries.filter { !$0.key.description.hasPrefix("sentinel-") }
                truth.entries = truth.entries.filter { !$0.key.description.hasPrefix("sentinel-") }
                let differing = Set(copy.entries.filter { truth.entries[$0.key] != $0.value }.keys)
                    .union(truth.entries.filter { copy.entries[$0.key] != $0.value }.keys)
                try #require(differing.isEmpty, "seed \(seed)")
            }
        }
    }

    @Test("what changes while the watches are being set is in the comparison after `ready`, or in an event")
    func duringStart() async throws {
        try await WatchedFolder.with(prepare: { disk in
            for number in 0..<900 { try disk.folders("d\(number % 30)/e\(number / 30)/f") }
        }) { folder in
            let disk = folder.disk
            let writer = Task.detached {
                for round in 0..<400 {
                    let place = "d\(round * 7 % 30)/e\(round * 11 % 29)"
                    try disk.write("\(place)/f/file", "\(round)")
                    if round % 10 == 0 { try disk.folders("\(place)/n\(round)/deep") }
                    if round % 10 == 5 { _ = rename(disk.at(place), disk.at("d\(round % 30)/moved\(round)")) }
                    if round % 10 == 5 { try disk.folders("\(place)/f") }
                }
            }
            try await folder.wait { if case .ready = $0 { true } else { false } }
            let rules = try IgnoreRules(root: disk.path)
            var copy = Copy()
            copy.scan(.root, rules)
            try await writer.value
            copy.apply(try await folder.changes(), rules)
            var truth = Copy()
            truth.scan(.root, rules)
            let sentinel = RelativePath("sentinel-1")
            (copy.entries[sentinel], truth.entries[sentinel]) = (nil, nil)
            #expect(copy.entries == truth.entries)
        }
    }

    /// One operation on random names; many of them fail, as they would for anybody.
    private static func operate(_ disk: Disk, _ random: inout SeededGenerator) {
        func path() -> String {
            let names = ["a", "b", "c", "d.log", "out", "e"]
            return (0..<Int.random(in: 1...4, using: &random)).map { _ in names.randomElement(using: &random) ?? "a" }
                .joined(separator: "/")
        }
        let (one, other) = (path(), path())
        switch Int.random(in: 0..<14, using: &random) {
        case 0...3: try? disk.folder(one)
        case 4...6: try? disk.write(one, "\(random.next())")
        case 7, 8: _ = rename(disk.at(one), disk.at(other))
        case 9: unlink(disk.at(one))
        case 10: _ = try? disk.shell("rm -rf '\(one)'")
        case 11: try? disk.mode(one, [0o700, 0o755].randomElement(using: &random) ?? 0o755)
        case 12: try? disk.link(one, to: "../\(other)")
        default:
            // Out of the tree and in again by another name.
            guard rename(disk.at(one), disk.at("../outside")) == 0 else { return }
            if rename(disk.at("../outside"), disk.at(other)) != 0 { _ = try? disk.parent.shell("rm -rf outside") }
        }
    }
}
