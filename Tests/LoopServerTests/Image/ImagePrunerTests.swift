import Glibc
import HTTP
import JSON
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

@Suite("Old tags in a registry", .turn) struct ImagePrunerTests {
    private static func tag(_ number: Int) -> String {
        ImageHome.tag(ofHex: String(repeating: "0", count: 14) + "\(number + 10)")
    }

    private static func entries(_ numbers: some Sequence<Int>, ours: Bool = true) -> [PushedTags.Entry] {
        numbers.map { PushedTags.Entry(tag: tag($0), isOurs: ours) }
    }

    /// Each tag stands for content of its own, unless another is given.
    private static func digests(_ numbers: some Sequence<Int>) -> [String: String] {
        numbers.reduce(into: [:]) { $0[tag($1)] = "sha256:\($1)" }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var known = entries(1...7)
        var digests = ImagePrunerTests.digests(1...7)
        var used: Set<String> = []
        let gone: [Int]
    }

    private static let cases: [Case] = [
        Case(testDescription: "the newest five stay", gone: [1, 2]),
        Case(testDescription: "five are not too many", known: entries(3...7), digests: digests(3...7), gone: []),
        Case(testDescription: "one that a workload names stays", used: [tag(1)], gone: [2]),
        Case(testDescription: "one that a workload names by its digest stays", used: ["sha256:2"], gone: [1]),
        Case(
            testDescription: "one that somebody else has pushed stays",
            known: entries(1...2, ours: false) + entries(3...8), digests: digests(1...8), gone: [3]),
        Case(
            testDescription: "what this project does not know stays", known: entries(3...9), digests: digests(1...9),
            gone: [3, 4]),
        Case(
            testDescription: "content that an alias names stays",
            digests: digests(1...7).merging(["dev": "sha256:1"]) { $1 },
            gone: [2]),
        Case(
            testDescription: "content that a newer tag names stays",
            digests: digests(1...7).merging([tag(7): "sha256:2"]) { $1 },
            gone: [1]),
        Case(
            testDescription: "content of two old tags goes at once",
            digests: digests(1...7).merging([tag(1): "sha256:2"]) { $1 }, gone: [1, 2]),
        Case(testDescription: "what is not there is nothing to delete", digests: digests(2...7), gone: [2]),
    ]

    @Test("what goes and what stays", arguments: cases)
    func decides(_ one: Case) {
        let pruning = ImagePruning(known: one.known, digests: one.digests, used: one.used)
        #expect(pruning.obsolete.values.flatMap(\.self).sorted() == one.gone.map(Self.tag))
    }

    @Test(
        "only tags that loopd makes are its own",
        arguments: [
            ("loopd-0123456789abcdef", true), ("loopd-0123456789ABCDEF", false), ("loopd-0123456789abcde", false),
            ("dev", false), ("loopd-0123456789abcdef0", false), ("xloopd-0123456789abcdef", false),
        ])
    func own(tag: String, isOwn: Bool) { #expect(ImagePruning.isOwn(tag) == isOwn) }

    // MARK: Memory

    @Test("what was pushed is remembered in its order, and what was there already is not this project's")
    func memory() throws {
        let folder = try ScratchTree()
        let path = try #require(PushedTags.path(of: "/p", on: ["kind-dev"], in: folder.path))
        let other = try #require(PushedTags.path(of: "/p", on: ["kind-other"], in: folder.path))
        #expect(path != other)
        var tags = PushedTags(path: path)
        for number in [1, 2, 3] { tags.remember(Self.tag(number), in: "r:1/web", isNew: true) }
        tags.remember(Self.tag(1), in: "r:1/web", isNew: false)
        tags.remember(Self.tag(4), in: "r:1/web", isNew: false)
        let expected = Self.entries([2, 3, 1]) + Self.entries([4], ours: false)
        #expect(tags.tags == ["r:1/web": expected])
        #expect(PushedTags(path: path).tags == ["r:1/web": expected])
        #expect(PushedTags(path: other).others(of: "r:1/web") == Set([1, 2, 3, 4].map(Self.tag)))
        #expect(tags.others(of: "r:1/web").isEmpty)
        tags.forget([Self.tag(2), "none"], in: "r:1/web")
        #expect(PushedTags(path: path).tags["r:1/web"]?.first?.tag == Self.tag(3))
        try folder.write(
            String(path.dropFirst(folder.path.count + 1)), "{\"repositories\": {\"r\": [1, {\"tag\": \"latest\"}]}")
        #expect(PushedTags(path: path).tags.isEmpty)
        for number in 0..<300 {
            tags.remember(
                ImageHome.tag(ofHex: String(repeating: "a", count: 13) + "\(number + 100)"), in: "x", isNew: true)
        }
        #expect(tags.tags["x"]?.count == PushedTags.limit)
    }

    @Test("every content that anything in the cluster names is in use: in revisions, variables, digests and releases")
    func used() async throws {
        let digest = "sha256:" + String(repeating: "ab", count: 32)
        let object: JSON = [
            "spec": [
                "template": [
                    "spec": [
                        "containers": [
                            [
                                "image": .string("r:1/web:\(Self.tag(1))"),
                                "env": [["name": "IMAGE", "value": .string("r:1/run:\(Self.tag(2))")]],
                            ]
                        ]
                    ]
                ]
            ],
            "data": ["run.sh": .string("start r:1/x:\(Self.tag(3))\nstart r:1/x:\(Self.tag(4)), loopd-00, loopd-")],
            "status": ["imageID": .string("docker-pullable://r:1/web@\(digest)")],
        ]
        var found: Set<String> = []
        UsedContent.collect(object.bytes, into: &found)
        #expect(found == Set((1...4).map(Self.tag) + [digest]))
        // As `loopd rollback` keeps it, and as helm does: through gzip, in Base64, in the Secret's own Base64.
        let text = Array(#"[{"image": "web:\#(Self.tag(5))"}]"#.utf8)
        #expect(try await UsedContent.unpacked(Base64.encode(text)) == text)
        let packed = try await Child.run(Launch(["gzip", "-c"]), input: text).standardOutput
        let twice = Base64.encode(Array(Base64.encode(packed).utf8))
        #expect(try await UsedContent.unpacked(twice) == text)
        #expect(try await UsedContent.unpacked(Base64.encode(packed)) == text)
        await #expect(throws: (any Error).self) {
            try await UsedContent.unpacked(Base64.encode(Array(packed.prefix(20))))
        }
    }

    // MARK: Registries

    /// A registry in memory.
    private final class Twin: PrunableRegistry {
        let digests: Mutex<[String: String]>
        let deleted = Mutex<[String]>([])
        let answer: Deletion
        /// What happens when a tag is asked for right before it is deleted.
        let onAsked = Mutex<(@Sendable () async -> Void)?>(nil)

        init(_ digests: [String: String], answer: Deletion = .done) {
            self.digests = Mutex(digests)
            self.answer = answer
        }

        func tags(in repository: String) async throws -> [String] { digests.withLock { $0.keys.sorted() } }
        func digest(of tag: String, in repository: String) async throws -> String? {
            await onAsked.withLock { $0 }?()
            return digests.withLock { $0[tag] }
        }
        func delete(_ digest: String, in repository: String) async throws -> Deletion {
            guard answer == .done else { return answer }
            deleted.withLock { $0.append(digest) }
            digests.withLock { digests in digests = digests.filter { $0.value != digest } }
            return .done
        }
    }

    private struct Refused: Error {}

    private func pruner(
        _ twin: Twin, isPrivate: Bool = true, used: @escaping @Sendable () async throws -> Set<String> = { [] },
        told: Lines = Lines()
    ) async -> ImagePruner {
        let pruner = ImagePruner(
            PushedTags(path: nil), registry: { _ in twin }, isPrivate: { _ in isPrivate }, used: used
        ) { told.add($0) }
        for number in 1...10 { await pruner.remember(Self.tag(number), in: "localhost:5000/web", isNew: true) }
        return pruner
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    @Test("old ones go, and are forgotten")
    func prunes() async throws {
        let twin = Twin(Self.digests(1...10))
        let pruner = await pruner(twin, used: { [Self.tag(2)] })
        #expect(await pruner.prune("localhost:5000/web").sorted() == [1, 3, 4, 5].map(Self.tag))
        #expect(await pruner.prune("localhost:5000/web") == [])
        #expect(twin.deleted.withLock { $0.sorted() } == [1, 3, 4, 5].map { "sha256:\($0)" })
        // 2 is in use, and 6 to 10 become old: that is worth to look once there are five new ones.
        for number in 11...15 {
            twin.digests.withLock { $0[Self.tag(number)] = "sha256:\(number)" }
            #expect(await pruner.prune(Self.place) == [])
            await build(number, pruner)
        }
        #expect(await pruner.prune(Self.place).sorted() == (6...10).map(Self.tag))
        #expect(twin.digests.withLock { $0.keys.sorted() } == [2, 11, 12, 13, 14, 15].map(Self.tag))
    }

    private static let place = "localhost:5000/web"

    private func build(_ number: Int, _ pruner: ImagePruner) async {
        await pruner.begin(Self.place)
        await pruner.end(Self.place, BuiltImage(reference: "registry:5000/web:\(Self.tag(number))"))
    }

    @Test("what grows is pruned beside the builds")
    func beside() async throws {
        let twin = Twin(Self.digests(1...10))
        let pruner = await pruner(twin)
        let task = Task { await pruner.run() }
        await build(10, pruner)
        try await within(.seconds(240), "old ones go", state: { "\(twin.deleted.withLock { $0 })" }) {
            while twin.deleted.withLock({ $0.count }) < 5 { try await Task.sleep(for: .milliseconds(5)) }
        }
        task.cancel()
        await task.value
        #expect(twin.digests.withLock { $0.keys.sorted() } == (6...10).map(Self.tag))
    }

    @Test("a registry that others pull from is left alone")
    func shared() async throws {
        let (twin, told) = (Twin(Self.digests(1...10)), Lines())
        let pruner = await pruner(twin, isPrivate: false, told: told)
        #expect(await pruner.prune(Self.place) == [])
        #expect(twin.deleted.withLock { $0.isEmpty } && told.all.isEmpty)
    }

    @Test("while an image is built nothing goes that it may come to, and afterwards it is looked at again")
    func building() async throws {
        let twin = Twin(Self.digests(1...10))
        let pruner = await pruner(twin)
        // A build begins when everything has been looked at, and comes to the content of an old image.
        let asked = Mutex(0)
        twin.onAsked.withLock {
            $0 = {
                if asked.withLock({
                    $0 += 1; return $0
                }) == 11 {
                    await pruner.begin(Self.place)
                }
            }
        }
        #expect(await pruner.prune(Self.place) == [])
        #expect(twin.deleted.withLock { $0.isEmpty })
        #expect(await pruner.prune(Self.place) == [])
        await pruner.end(
            Self.place, BuiltImage(reference: "localhost:5000/web:\(Self.tag(1))", isUnchanged: true))
        #expect(await pruner.prune(Self.place).sorted() == (2...6).map(Self.tag))
        #expect(twin.digests.withLock { $0.keys.contains(Self.tag(1)) })
    }

    @Test("a repository with very many tags is left alone, and named once")
    func many() async throws {
        let digests = Self.digests(1...10).merging((0...ImagePruner.tagLimit).map { ("v\($0)", "x\($0)") }) { $1 }
        let (twin, told) = (Twin(digests), Lines())
        let pruner = await pruner(twin, told: told)
        for _ in 1...3 {
            #expect(await pruner.prune(Self.place) == [])
            for number in 11...15 { await pruner.remember(Self.tag(number), in: Self.place, isNew: true) }
        }
        #expect(
            told.all == ["old images stay in localhost:5000/web: it has 511 tags, too many to look through"])
    }

    @Test("where it is not known what is in use, nothing goes")
    func uncertain() async throws {
        let twin = Twin(Self.digests(1...10))
        let pruner = await pruner(twin, used: { throw Refused() })
        #expect(await pruner.prune("localhost:5000/web") == [])
        #expect(twin.deleted.withLock { $0.isEmpty })
    }

    @Test(
        "a registry that deletes nothing is named once",
        arguments: [
            (Deletion.off, "it does not delete (REGISTRY_STORAGE_DELETE_ENABLED=true allows it)"),
            (.refused, "this login may not delete there"),
        ])
    func off(answer: Deletion, why: String) async throws {
        let (twin, told) = (Twin(Self.digests(1...10), answer: answer), Lines())
        let pruner = await pruner(twin, told: told)
        for _ in 1...3 {
            #expect(await pruner.prune(Self.place) == [])
            for number in 11...15 { await pruner.remember(Self.tag(number), in: Self.place, isNew: true) }
        }
        #expect(told.all == ["old images stay in localhost:5000: \(why)"])
    }

    @Test(
        "Debian's docker-registry, with and without deletion",
        .enabled(if: DockerRegistry.obstacle == nil, "\(DockerRegistry.obstacle ?? "")"),
        arguments: [true, false])
    func real(deletes: Bool) async throws {
        try await DockerRegistry.run(deletes: deletes) { server in
            let host = server.name
            let registry = Registry(host)
            let told = Lines()
            let pruner = ImagePruner(
                PushedTags(path: nil), registry: { Registry($0) }, isPrivate: { await Registry.isNearby($0) },
                used: { [] }
            ) { told.add($0) }
            var tags: [String] = []
            for number in 1...10 {
                var image = ImageContent(scratch: .host)
                image.configure { $0.setVariable("NUMBER", to: "\(number)") }
                let tag = ImageHome.tag(ofHex: image.digest.hex)
                _ = try await registry.push(image, to: "web", tags: number == 2 ? [tag, "dev"] : [tag])
                await pruner.remember(tag, in: "\(host)/web", isNew: true)
                tags.append(tag)
            }
            // The second one has an alias: to delete its manifest would delete that, too.
            #expect(
                await pruner.prune("\(host)/web").sorted()
                    == (deletes ? [0, 2, 3, 4].map { tags[$0] }.sorted() : []))
            #expect(try await registry.head(tags[0], in: "web") == nil || !deletes)
            for tag in [tags[1]] + tags.suffix(5) + ["dev"] {
                #expect(try await registry.head(tag, in: "web") != nil, "\(tag)")
            }
            #expect(told.all.count == (deletes ? 0 : 1))
        }
    }
}
