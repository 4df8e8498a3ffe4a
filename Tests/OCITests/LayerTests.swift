import Glibc
import Reactor
import TestCluster
import Testing

@testable import OCI

@Suite("Layers", .timeLimit(.minutes(5)))
struct LayerTests {
    private static func bytes(_ layer: Layer) async throws -> [UInt8] {
        var all: [UInt8] = []
        while Int64(all.count) < layer.descriptor.size {
            all += try await layer.blob.read(at: Int64(all.count), count: 1 << 20)
        }
        return all
    }

    /// What Debian's tar says of a layer.
    private static func listing(_ bytes: [UInt8]) async throws -> [String] {
        let scratch = try Scratch()
        let file = try scratch.write("layer.tar", bytes)
        let output = try await Child.succeed(
            [
                "tar", "--list", "--verbose", "--numeric-owner", "--full-time", "--utc", "--quoting-style=literal",
                "-f", file,
            ])
        return output.text.split(separator: "\n").map { line in
            line.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
        }
    }

    @Test("a layer is a tar of its files, folders and links, in order, with the folders above them")
    func content() async throws {
        let scratch = try Scratch()
        let program = try scratch.write("program", "run", mode: 0o700)
        let layer = try await Layer.pack([
            LayerEntry("/srv/app/z.txt", .bytes(Array("hello".utf8))), .file("/usr/local/bin/program", from: program),
            LayerEntry("tmp/x", .bytes([]), mode: 0o600, user: 7, group: 8),
            LayerEntry("srv/app/link", .link(Array("z.txt".utf8))),
            LayerEntry("srv/app/", .folder, mode: 0o775),
        ])
        #expect(layer.descriptor.mediaType == MediaType.Family.oci.layer)
        #expect(layer.diffID == layer.descriptor.digest)
        let bytes = try await Self.bytes(layer)
        #expect(Digest(of: bytes) == layer.descriptor.digest)
        let time = "1970-01-01 00:00:00"
        #expect(
            try await Self.listing(bytes) == [
                "drwxr-xr-x 0/0 0 \(time) srv/", "drwxrwxr-x 0/0 0 \(time) srv/app/",
                "lrwxrwxrwx 0/0 0 \(time) srv/app/link -> z.txt", "-rw-r--r-- 0/0 5 \(time) srv/app/z.txt",
                "drwxrwxrwt 0/0 0 \(time) tmp/", "-rw------- 7/8 0 \(time) tmp/x", "drwxr-xr-x 0/0 0 \(time) usr/",
                "drwxr-xr-x 0/0 0 \(time) usr/local/", "drwxr-xr-x 0/0 0 \(time) usr/local/bin/",
                "-rwxr-xr-x 0/0 3 \(time) usr/local/bin/program",
            ])
    }

    @Test("the same files give the same digest, in whatever order, of whatever age and umask")
    func reproducible() async throws {
        var generator = Seeded()
        let scratch = try Scratch()
        var first: [LayerEntry] = []
        var second: [LayerEntry] = []
        for number in 0..<200 {
            let content = noise(Int.random(in: 0..<3000, using: &generator), seed: UInt64(number) + 1)
            let one = try scratch.write("one/\(number)", content, mode: 0o644)
            let two = try scratch.write("two/\(number)", content, mode: 0o664)
            var times = [timespec(tv_sec: number * 1000, tv_nsec: 5), timespec(tv_sec: number * 1000, tv_nsec: 5)]
            #expect(utimensat(AT_FDCWD, two, &times, 0) == 0)
            let path = "srv/\(number % 7)/é-\(number)"
            first.append(.file(path, from: one))
            second.append(.file("/\(path)", from: two))
        }
        let layer = try await Layer.pack(first)
        let again = try await Layer.pack(second.shuffled(using: &generator))
        #expect(layer.diffID == again.diffID, "seed \(generator.seed)")
    }

    @Test("long names, names that are not ASCII and large sizes go into PAX headers that tar reads")
    func pax() async throws {
        let long = (0..<30).map { "folder-\($0)" }.joined(separator: "/") + "/file"
        let entries: [LayerEntry] = [
            LayerEntry(long, .bytes([1])), LayerEntry("grün/☃", .bytes([2])),
            LayerEntry("link", .link(Array(String(repeating: "t/", count: 90).utf8))),
            LayerEntry("huge-owner", .bytes([3]), user: 3_000_000_000, group: 2_500_000),
        ]
        let lines = try await Self.listing(try await Self.bytes(try await Layer.pack(entries)))
        #expect(lines.contains { $0.hasSuffix(" \(long)") })
        #expect(lines.contains { $0.hasSuffix(" grün/☃") })
        #expect(lines.contains { $0.hasSuffix(" link -> \(String(repeating: "t/", count: 90))") })
        #expect(lines.contains { $0.contains(" 3000000000/2500000 ") })
        // The record counts its own length, whatever number of digits that has.
        for count in 101...1100 {
            let head = TarHeader.bytes(.init(path: [UInt8](repeating: 0x61, count: count), kind: .file, mode: 0o644))
            let text = String(decoding: head.dropFirst(512).prefix { $0 != 0x0A }, as: UTF8.self)
            #expect(Int(text.prefix { $0 != " " }) == text.utf8.count + 1)
        }
        let size: Int64 = 9 << 30
        let head = TarHeader.bytes(.init(path: [0x61], kind: .file, size: size, mode: 0o644))
        #expect(String(decoding: head, as: UTF8.self).contains(" size=\(size)\n"))
    }

    @Test("any part of a planned layer is that part of the whole", arguments: 0..<4)
    func parts(round: Int) async throws {
        var generator = Seeded()
        let scratch = try Scratch()
        var entries: [LayerEntry] = []
        for number in 0..<Int.random(in: 1..<30, using: &generator) {
            let content = noise(Int.random(in: 0..<9000, using: &generator), seed: UInt64(number) + 1)
            entries.append(
                number % 3 == 0
                    ? LayerEntry("a/\(number)", .bytes(content))
                    : .file("b/\(number)", from: try scratch.write("\(number)", content)))
        }
        let plan = try TarPlan(entries)
        let whole = try await plan.read(at: 0, count: Int(plan.size) + 1)
        #expect(Int64(whole.count) == plan.size)
        for _ in 0..<50 {
            let offset = Int.random(in: 0...whole.count, using: &generator)
            let count = Int.random(in: 0..<20000, using: &generator)
            let part = try await plan.read(at: Int64(offset), count: count)
            #expect(part == Array(whole[offset..<min(whole.count, offset + count)]), "seed \(generator.seed)")
        }
    }

    @Test("a large layer is not kept in memory, and is the same")
    func large() async throws {
        let scratch = try Scratch()
        let file = try scratch.write("large", noise(33 << 20))
        let layer = try await Layer.pack([.file("large", from: file)])
        guard case .tar = layer.blob.source else {
            Issue.record("it is kept")
            return
        }
        #expect(Digest(of: try await Self.bytes(layer)) == layer.diffID)
    }

    @Test(
        "what no image can hold is refused",
        arguments: [
            (LayerEntry("../etc/passwd", .bytes([])), "\"..\""), (LayerEntry("a/../b", .bytes([])), "\"..\""),
            (LayerEntry("", .bytes([])), "needs a path"), (LayerEntry("a/.wh.b", .bytes([])), ".wh."),
            (LayerEntry([0x61, 0], .bytes([])), "null byte"), (LayerEntry("l", .link([])), "needs a target"),
            (LayerEntry("f", .file(Array("/nowhere/at/all".utf8))), "/nowhere/at/all: No such file"),
            (LayerEntry("f", .file(Array("/tmp".utf8))), "not an ordinary file"),
            (LayerEntry("f", .file(Array("/dev/null".utf8))), "not an ordinary file"),
        ])
    func refused(entry: LayerEntry, reason: String) async throws {
        await #expect {
            try await Layer.pack([entry])
        } throws: { "\($0)".contains(reason) }
    }

    @Test("a path cannot be both a file and a folder, and of two files with one path the last one holds")
    func conflicts() async throws {
        await #expect(throws: LayerProblem.path("a is both a file and a folder of the layer")) {
            try await Layer.pack([LayerEntry("a", .bytes([])), LayerEntry("a/b", .bytes([]))])
        }
        let layer = try await Layer.pack([LayerEntry("a", .bytes([1])), LayerEntry("/a", .bytes([2]))])
        #expect(layer.diffID == (try await Layer.pack([LayerEntry("a", .bytes([2]))])).diffID)
    }
}
