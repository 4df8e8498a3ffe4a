import Glibc
import Testing
import Watcher

@testable import LoopServer

@Suite("The journal", .turn) struct JournalTests {
    let folder: ScratchTree
    let destinations = [Destination(path: "/srv", mirror: false, isListedWhole: true)]
    let plan: ServicePlan

    init() throws {
        folder = try ScratchTree()
        var service = Service(name: "web", root: folder.path)
        service.rules = [
            Rule(
                watch: [try Glob("app/**")], sync: Sync(to: "/srv", from: nil, mirror: false, via: .automatic), then: []
            )
        ]
        plan = ServicePlan(service, project: folder.path)
    }

    var path: String { folder.path + "/journal" }
    func open() -> Journal { Journal(path: path, destinations: destinations) }
    func place(_ path: String) -> Place { Place(destination: 0, path: RelativePath(path)) }
    let id = ContainerInstance.ID(podUID: "pod", containerID: "run")

    /// An index of what is on disk, and the journal told of it.
    func look(_ index: inout SourceIndex, _ journal: inout Journal) throws {
        let rules = try IgnoreRules(root: folder.path, patterns: [])
        let findings = index.look(at: ChangeSet(paths: [], rescan: [.root]), rules: rules)
        journal.note(findings.changed.keys, in: index)
    }

    /// A journal that has seen `a` and an odd name stay, `b` go, wrote `a`, and told a container of it all.
    func fill() throws {
        var index = SourceIndex(plan: plan, tree: LocalTree(root: folder.path))
        var journal = open()
        try folder.write("app/a", "one")
        try folder.write("app/odd\n K\u{1}name", "odd")
        try folder.write("app/b", "two")
        try look(&index, &journal)
        unlink(folder.path + "/app/b")
        try look(&index, &journal)
        journal.wrote([place("a"), place("b")])
        journal.tell(id, index.serial)
    }

    @Test("remembers what was seen, gone, written and told; rewriting it changes nothing")
    func roundTrips() throws {
        try fill()
        for _ in 0..<3 {
            let journal = open()
            #expect(journal.seen == [place("a"), place("odd\n K\u{1}name")])
            #expect(journal.gone == [place("b"): 1])
            #expect(journal.serial == 1)
            let written = ["a", "b", "odd\n K\u{1}name"].filter { journal.hasWritten(place($0)) }
            #expect(written == ["a", "b"])
            #expect(journal.toldSerial(id) == 1)
        }
    }

    @Test("of more deletions than a limit the older half is forgotten")
    func forgets() {
        var gone = Dictionary(uniqueKeysWithValues: (1...9).map { (place("\($0)"), UInt64($0)) })
        gone.forgetOldest(past: 9)
        #expect(gone.count == 9)
        gone.forgetOldest(past: 8)
        #expect(gone.values.sorted() == [5, 6, 7, 8, 9])
    }

    @Test("torn anywhere, it keeps what came before, and invents nothing")
    func survivesTearing() throws {
        try fill()
        let whole = try #require(ScratchTree.contents(path))
        let names: Set<Place> = [place("a"), place("b"), place("odd\n K\u{1}name")]
        for length in 0..<whole.count {
            unlink(path)
            try folder.write("journal", Array(whole[..<length]))
            let journal = open()
            #expect(journal.seen.isSubset(of: names), "torn after \(length) bytes")
            #expect(Set(journal.gone.keys).isSubset(of: [place("b")]))
        }
    }

    @Test("a place of a destination that is not there any more is forgotten, and the rest stays")
    func forgetsDestinations() throws {
        try folder.write("journal", Array("K/old\0x\0G/old\0y\u{0}7\0K/srv\0a\0".utf8))
        let journal = open()
        #expect(journal.seen == [place("a")])
        #expect(journal.gone.isEmpty)
        #expect(journal.serial == 7)
    }

    @Test("remembers a limited number of containers, the newest")
    func limitsContainers() throws {
        do {
            var journal = open()
            for number in 1...1000 { journal.tell(.init(podUID: "pod", containerID: "\(number)"), UInt64(number)) }
        }
        let journal = open()
        #expect(journal.toldSerial(.init(podUID: "pod", containerID: "1000")) == 1000)
        #expect(journal.toldSerial(.init(podUID: "pod", containerID: "745")) == 745)
        // The first reading still has all of them; what it left is what the next one finds.
        _ = consume journal
        #expect(open().toldSerial(.init(podUID: "pod", containerID: "744")) == 0)
    }

    @Test("a second loopd reads it and takes it from nobody")
    func leavesTheOwner() throws {
        try fill()
        var first = open()
        var second = open()
        #expect(second.seen == first.seen)
        second.tell(id, 5)
        first.tell(id, 9)
        _ = consume first
        _ = consume second
        #expect(open().toldSerial(id) == 9)
    }

    @Test("a full disk costs what could not be written, not what was there", .enabled(if: geteuid() == 0))
    func survivesFullDisk() async throws {
        try fill()
        let before = try #require(ScratchTree.contents(path))
        // The draft cannot be made where a folder has its name.
        try folder.folder("journal.new/x")
        do {
            var journal = open()
            journal.tell(id, 99)
        }
        #expect(ScratchTree.contents(path) == before)
    }

    @Test("without a file it remembers nothing, and says nothing")
    func worksWithoutFile() {
        var journal = Journal(path: nil, destinations: destinations)
        journal.wrote([place("a")])
        let hasWritten = journal.hasWritten(place("a"))
        #expect(hasWritten)
        #expect(journal.seen.isEmpty)
    }
}
