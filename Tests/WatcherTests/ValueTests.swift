import Testing

@testable import Watcher

@Suite("Paths and change sets")
struct ValueTests {
    @Test("a path falls into its parts and grows by names")
    func parts() {
        let path = RelativePath("./a//b/c.py/")
        #expect(path.description == "a/b/c.py")
        #expect(path.parent == RelativePath("a/b"))
        #expect(path.lastComponent.elementsEqual("c.py".utf8))
        #expect(path.components.count == 3)
        #expect(RelativePath("a").parent == .root)
        #expect(RelativePath.root.parent == nil)
        #expect(RelativePath.root.appending("x") == RelativePath("x"))
        #expect(RelativePath("a").appending("x/y") == RelativePath("a/x/y"))
        #expect(RelativePath("") == .root && RelativePath(".") == .root)
    }

    @Test(
        "inside means the folder itself or below, not a longer name",
        arguments: [
            ("a/b", "a", "b"), ("a", "a", ""), ("ab", "a", nil), ("a", "", "a"), ("b/a", "a", nil), ("", "a", nil),
        ] as [(String, String, String?)])
    func inside(path: String, folder: String, rest: String?) {
        #expect(RelativePath(path).isInside(RelativePath(folder)) == (rest != nil))
        #expect(RelativePath(path).relative(to: RelativePath(folder)) == rest.map { RelativePath($0) })
    }

    @Test(
        "a path is shown on one line, whatever its bytes",
        arguments: [
            (Array("plain é".utf8), "plain é"), ([0x61, 0xff], "a\\xff"), ([0x61, 0x0a, 0x62], "a\\x0ab"),
            (Array("back\\slash".utf8), "back\\x5cslash"), ([0xe2, 0x82], "\\xe2\\x82"), ([0xc2, 0x85], "\\xc2\\x85"),
            ([], "."),
            ([0xe2, 0x82, 0x41], "\\xe2\\x82A"),
        ] as [([UInt8], String)])
    func description(bytes: [UInt8], text: String) {
        #expect(RelativePath(bytes: bytes).description == text)
    }

    @Test("merged batches look once at each place")
    func merge() {
        var set = ChangeSet(
            paths: [RelativePath("a/x"), RelativePath("b")], unfinished: [RelativePath("b")], firstEvent: 5,
            lastEvent: 9)
        set.merge(
            ChangeSet(
                paths: [RelativePath("b"), RelativePath("c")], rescan: [RelativePath("a"), RelativePath("a/y")],
                firstEvent: 10, lastEvent: 12))
        #expect(set.names == ["b", "c", "a/**"])
        #expect(set.unfinished.isEmpty)
        #expect((set.firstEvent, set.lastEvent) == (5, 12))
        #expect(set.covers(RelativePath("a/anything/below")) && !set.covers(RelativePath("d")))
    }

    @Test("too many paths become a rescan of the root")
    func collapse() {
        let set = ChangeSet(paths: Set((0...ChangeSet.pathLimit).map { RelativePath("f\($0)") }))
        #expect(set.rescan == [.root] && set.paths.isEmpty)
    }
}

@Suite("Mailbox", .timeLimit(.minutes(5)))
struct MailboxTests {
    private let a = RelativePath("a")

    @Test("batches that nobody took merge, and hints give way to them")
    func merging() async {
        let mailbox = Mailbox()
        mailbox.put(.finished(a))
        mailbox.put(.settled(ChangeSet(paths: [a])))
        mailbox.put(.finished(RelativePath("b")))
        mailbox.put(.settled(ChangeSet(paths: [RelativePath("b")])))
        mailbox.close()
        #expect(await mailbox.next() == .settled(ChangeSet(paths: [a, RelativePath("b")])))
        #expect(await mailbox.next() == nil)
    }

    @Test("a hint comes once, however often a file is written")
    func hints() async {
        let mailbox = Mailbox()
        for _ in 0..<3 { mailbox.put(.finished(a)) }
        #expect(await mailbox.next() == .finished(a))
        mailbox.put(.ready(folders: 1))
        #expect(await mailbox.next() == .ready(folders: 1))
    }

    @Test("memory is bounded without a reader")
    func bounded() async {
        let mailbox = Mailbox()
        for number in 0..<10_000 {
            mailbox.put(.unreadable(UnreadableFolder(path: RelativePath("\(number)"), code: 13)))
            mailbox.put(.finished(RelativePath("\(number)")))
            mailbox.put(.rootVanished)
        }
        mailbox.close()
        var count = 0
        while await mailbox.next() != nil { count += 1 }
        #expect(count <= Mailbox.noticeLimit + Mailbox.hintLimit + 1)
    }

    @Test("a waiting reader is woken by an event, by the end and by its cancellation")
    func waiting() async {
        let mailbox = Mailbox()
        async let first = mailbox.next()
        mailbox.put(.rootVanished)
        #expect(await first == .rootVanished)
        let reader = Task { await mailbox.next() }
        reader.cancel()
        #expect(await reader.value == nil)
        async let last = mailbox.next()
        mailbox.close()
        #expect(await last == nil)
    }
}
