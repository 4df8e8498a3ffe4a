import Glibc
import JSON
import OCI
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("Old tags in a registry", .timeLimit(.minutes(3))) struct ImagePrunerTests {
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

    @Test("every image of a namespace's objects is in use, those of old revisions too")
    func images() throws {
        var found: Set<String> = []
        for name in ["objects/replicasets.json", "objects/statefulset.json"] {
            KubeClient.collectImages(try Recording.json(name), into: &found)
        }
        #expect(found.count > 1 && found.allSatisfy { !$0.isEmpty })
        var revision: Set<String> = []
        KubeClient.collectImages(
            [
                "data": [
                    "spec": [
                        "template": [
                            "spec": ["containers": [["image": "web:1"]], "initContainers": [["image": "i:2"]]]
                        ]
                    ]
                ]
            ],
            into: &revision)
        #expect(revision == ["web:1", "i:2"])
    }

    // MARK: Registries

    /// A registry in memory.
    private final class Twin: PrunableRegistry {
        let digests: Mutex<[String: String]>
        let deleted = Mutex<[String]>([])
        let deletes: Bool

        init(_ digests: [String: String], deletes: Bool = true) {
            self.digests = Mutex(digests)
            self.deletes = deletes
        }

        func tags(in repository: String) async throws -> [String] { digests.withLock { $0.keys.sorted() } }
        func digest(of tag: String, in repository: String) async throws -> String? { digests.withLock { $0[tag] } }
        func delete(_ digest: String, in repository: String) async throws -> Bool {
            guard deletes else { return false }
            deleted.withLock { $0.append(digest) }
            digests.withLock { digests in digests = digests.filter { $0.value != digest } }
            return true
        }
    }

    private struct Refused: Error {}

    private func pruner(
        _ twin: Twin, used: @escaping @Sendable () async throws -> Set<String> = { [] }, told: Lines = Lines()
    ) async -> ImagePruner {
        let pruner = ImagePruner(PushedTags(path: nil), registry: { _ in twin }, used: used) { told.add($0) }
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
        let pruner = await pruner(twin, used: { ["registry:5000/web:\(Self.tag(2))"] })
        #expect(await pruner.prune("localhost:5000/web") == [1, 3, 4, 5].map(Self.tag))
        #expect(await pruner.prune("localhost:5000/web") == [])
        #expect(twin.deleted.withLock { $0.sorted() } == [1, 3, 4, 5].map { "sha256:\($0)" })
        let home = ImageHome.registry(RegistryNames(push: "localhost:5000", pull: "registry:5000"))
        for number in 11...14 {
            twin.digests.withLock { $0[Self.tag(number)] = "sha256:\(number)" }
            await pruner.prune(
                after: BuiltImage(reference: "registry:5000/web:\(Self.tag(number))"), of: "web", in: home)
        }
        // 2 is in use, and 6 to 9 are old: that is worth to look.
        #expect(twin.digests.withLock { $0.keys.sorted() } == [2, 10, 11, 12, 13, 14].map(Self.tag))
    }

    @Test("where it is not known what is in use, nothing goes")
    func uncertain() async throws {
        let twin = Twin(Self.digests(1...10))
        let pruner = await pruner(twin, used: { throw Refused() })
        #expect(await pruner.prune("localhost:5000/web") == [])
        #expect(twin.deleted.withLock { $0.isEmpty })
    }

    @Test("a registry that deletes nothing is named once")
    func off() async throws {
        let (twin, told) = (Twin(Self.digests(1...10), deletes: false), Lines())
        let pruner = await pruner(twin, told: told)
        #expect(await pruner.prune("localhost:5000/web") == [])
        #expect(await pruner.prune("localhost:5000/web") == [])
        #expect(
            told.all == [
                "old images stay in localhost:5000: it does not delete (REGISTRY_STORAGE_DELETE_ENABLED=true allows it)"
            ])
    }

    @Test(
        "Debian's docker-registry, with and without deletion",
        .enabled(if: DebianRegistry.isInstalled, "docker-registry is not installed (apt-get install docker-registry)"),
        arguments: [true, false])
    func real(deletes: Bool) async throws {
        try await DebianRegistry.run(deletes: deletes) { host in
            let registry = Registry(host)
            let told = Lines()
            let pruner = ImagePruner(PushedTags(path: nil), registry: { Registry($0) }, used: { [] }) { told.add($0) }
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

/// Debian's registry on a port of its own, for as long as a test takes.
enum DebianRegistry {
    static let isInstalled = access("/usr/bin/docker-registry", X_OK) == 0

    static func run(deletes: Bool, _ body: (_ host: String) async throws -> Void) async throws {
        let folder = try ScratchTree()
        try folder.write(
            "config.yml",
            """
            version: 0.1
            log: {level: info, accesslog: {disabled: true}}
            storage: {filesystem: {rootdirectory: \(folder.path)/content}, delete: {enabled: \(deletes)}}
            http: {addr: "127.0.0.1:0"}
            """)
        var launch = Launch(["docker-registry", "serve", "\(folder.path)/config.yml"])
        launch.standardOutput = .null
        let child = try await Child.spawn(launch)
        var said = ""
        var port: Substring?
        while port == nil, let bytes = try await child.standardError?.read(), !bytes.isEmpty {
            said += String(decoding: bytes, as: UTF8.self)
            guard let place = said.firstRange(of: "listening on 127.0.0.1:") else { continue }
            let digits = said[place.upperBound...].prefix(while: \.isNumber)
            if digits.endIndex < said.endIndex { port = digits }
        }
        let drain = Task { while let bytes = try? await child.standardError?.read(), !bytes.isEmpty {} }
        let result: Result<Void, any Error>
        do {
            try await body("127.0.0.1:\(try #require(port, "\(said)"))")
            result = .success(())
        } catch {
            result = .failure(error)
        }
        child.signal(SIGKILL)
        _ = await child.wait()
        drain.cancel()
        try result.get()
    }
}
