import Glibc
import Testing
import Watcher
import Wire

@testable import LoopServer

@Suite("The difference of two trees") struct TreeDiffTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        var wanted: [String: LocalEntry] = [:]
        var present: [Entry] = []
        var gone: Set<String> = []
        var ours: Set<String> = []
        var mirror = false
        var needs: [String: Need] = [:]
        var replaced: Set<String> = []
        var doubtful: [String] = []
        var leftAlone: [String] = []
    }

    private static func local(_ type: mode_t, size: Int = 3, mode: mode_t = 0o644, time: Int = 5) -> LocalEntry {
        var status = stat()
        status.st_mode = type | mode
        status.st_size = size
        status.st_mtim.tv_sec = time
        let entry = LocalEntry(status, target: Array("to".utf8))
        return entry ?? local(S_IFREG)
    }

    private static func remote(
        _ path: String, _ kind: Entry.Kind, size: UInt64 = 3, mode: UInt32 = 0o644, time: Int64 = 5, target: String = ""
    ) -> Entry {
        Entry(
            path: Array(path.utf8), kind: kind, mode: mode,
            stamp: FileStamp(size: size, modified: time * 1_000_000_000), target: Array(target.utf8))
    }

    private static let file = local(S_IFREG)
    private static let folder = local(S_IFDIR, mode: 0o755)
    private static let link = local(S_IFLNK)

    static let cases = [
        Case(testDescription: "nothing and nothing"),
        Case(testDescription: "a missing file", wanted: ["a": file], needs: ["a": .everything]),
        Case(
            testDescription: "the same size is in doubt", wanted: ["a": file], present: [remote("a", .file)],
            doubtful: ["a"]),
        Case(
            testDescription: "another size", wanted: ["a": file], present: [remote("a", .file, size: 4)],
            needs: ["a": .everything]),
        Case(
            testDescription: "two empty files are equal", wanted: ["a": local(S_IFREG, size: 0)],
            present: [remote("a", .file, size: 0)]),
        Case(
            testDescription: "another time of what loopd wrote", wanted: ["a": file],
            present: [remote("a", .file, time: 6)], ours: ["a"], needs: ["a": .metadata], doubtful: ["a"]),
        Case(
            testDescription: "another time of what the image brought", wanted: ["a": file],
            present: [remote("a", .file, time: 6)], doubtful: ["a"]),
        Case(
            testDescription: "another exec bit", wanted: ["a": local(S_IFREG, mode: 0o755)],
            present: [remote("a", .file)], needs: ["a": .metadata], doubtful: ["a"]),
        Case(
            testDescription: "only who may read differs", wanted: ["a": file],
            present: [remote("a", .file, mode: 0o600)], doubtful: ["a"]),
        Case(testDescription: "two folders", wanted: ["a": folder], present: [remote("a", .folder)]),
        Case(
            testDescription: "the same link", wanted: ["a": link], present: [remote("a", .link, target: "to")]),
        Case(
            testDescription: "a link elsewhere", wanted: ["a": link], present: [remote("a", .link, target: "off")],
            needs: ["a": .everything]),
        Case(
            testDescription: "a link in a file's place", wanted: ["a": file],
            present: [remote("a", .link, target: "to")], needs: ["a": .everything]),
        Case(
            testDescription: "a folder in a file's place", wanted: ["a": file], present: [remote("a", .folder)],
            needs: ["a": .everything], replaced: ["a"]),
        Case(
            testDescription: "a link in a folder's place", wanted: ["a": folder],
            present: [remote("a", .link, target: "to")], needs: ["a": .everything], replaced: ["a"]),
        Case(
            testDescription: "a pipe in a file's place", wanted: ["a": file], present: [remote("a", .other)],
            needs: ["a": .everything]),
        Case(
            testDescription: "what is gone here is removed there", present: [remote("a", .file)], gone: ["a"],
            needs: ["a": .everything]),
        Case(testDescription: "what is gone in both places asks for nothing", gone: ["a"]),
        Case(
            testDescription: "what is only there is left alone, named by its top",
            wanted: ["known": folder],
            present: [
                remote("known", .folder), remote("known/x", .folder), remote("known/x/y", .file),
                remote("theirs", .folder), remote("theirs/z", .file),
            ], leftAlone: ["known/x", "theirs"]),
        Case(
            testDescription: "a mirror removes it", present: [remote("theirs", .folder), remote("theirs/z", .file)],
            mirror: true, needs: ["theirs": .everything, "theirs/z": .everything]),
    ]

    @Test("says what to do", arguments: cases)
    func compares(testCase: Case) {
        let diff = TreeDiff(
            wanted: Dictionary(testCase.wanted.map { (RelativePath($0.key), $0.value) }) { $1 },
            present: Dictionary(testCase.present.map { (RelativePath(bytes: $0.path), $0) }) { $1 },
            gone: Set(testCase.gone.map { RelativePath($0) }), ours: { testCase.ours.contains("\($0)") },
            mirror: testCase.mirror)
        #expect(Dictionary(diff.needs.map { ("\($0.key)", $0.value) }) { $1 } == testCase.needs)
        #expect(Set(diff.replaced.map { "\($0)" }) == testCase.replaced)
        #expect(diff.doubtful.map { "\($0)" } == testCase.doubtful)
        #expect(diff.leftAlone.map { "\($0)" } == testCase.leftAlone)
    }
}
