import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("The recordings of a real cluster") struct RecordingTests {
    /// Every file below the recordings' folder, by its path there.
    static let files: [String] = {
        var found: [String] = []
        func visit(_ relative: String) {
            guard let folder = opendir("\(Recording.folder)/\(relative)") else { return }
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name.hasPrefix(".") { continue }
                let path = relative.isEmpty ? name : "\(relative)/\(name)"
                if entry.pointee.d_type == UInt8(DT_DIR) { visit(path) } else { found.append(path) }
            }
        }
        visit("")
        return found.sorted()
    }()

    @Test("there are recordings") func areThere() {
        #expect(Self.files.count >= 90)
    }

    @Test("each is read, and written so that it reads the same", arguments: files.filter { $0.hasSuffix(".json") })
    func roundTrip(file: String) throws {
        let json = try Recording.json(file)
        #expect(try JSON(parsing: json.bytes) == json)
        #expect(try JSON(parsing: json.pretty()) == json)
    }

    @Test(
        "a watch's lines are the same however the connection cuts them",
        arguments: files.filter { $0.hasSuffix(".jsonl") }, [1, 7, 4096])
    func watches(file: String, size: Int) throws {
        let bytes = try Recording.bytes(file)
        var cut = WatchLines(limit: 1 << 20)
        var lines: [[UInt8]] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            lines += try cut.split(Array(bytes[start..<min(start + size, bytes.count)]))
        }
        #expect(lines == (try Recording.lines(file)))
        for line in lines { #expect(try JSON(parsing: line)["object"]?["kind"]?.string != nil) }
    }

    @Test("a workload's pods are found by the selector that its recording has")
    func selectors() throws {
        let lists =
            Self.files.filter { $0.hasPrefix("deployments/") } + ["objects/statefulset.json", "objects/daemonset.json"]
        for file in lists {
            let object = try Recording.json(file)
            for workload in object["items"]?.array ?? [object] {
                #expect(workload.selectorText.hasPrefix("app="), "\(file): \(workload.selectorText)")
            }
        }
    }
}
