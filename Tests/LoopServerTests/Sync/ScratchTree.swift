import Glibc
import TestCluster
import Testing

/// A private folder for one test, removed at its end.
final class ScratchTree: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/loopd-test-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        path = String(cString: try #require(made))
    }

    deinit { ScratchTree.remove(path) }

    func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws {
        try write(name, Array(text.utf8), mode: mode)
    }

    func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o644) throws {
        try Disk.write(Array("\(path)/\(name)".utf8), bytes, mode: mode)
    }

    func folder(_ name: String) throws { try Disk.folder(Array("\(path)/\(name)".utf8)) }

    func read(_ name: String) -> String? {
        guard let bytes = ScratchTree.contents("\(path)/\(name)") else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    static func contents(_ path: String) -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = Glibc.read(file, &buffer, buffer.count)
            guard got > 0 else { return bytes }
            bytes += buffer[..<got]
        }
    }

    /// Everything below a folder by its path, in words that are equal only when the trees are.
    static func snapshot(_ root: String, skipping: Set<String> = []) -> [String: String] {
        var found: [String: String] = [:]
        func visit(_ relative: String) {
            guard let folder = opendir(relative.isEmpty ? root : "\(root)/\(relative)") else { return }
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: entry.pointee.d_name) { pointer in
                    pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name == "." || name == ".." { continue }
                let path = relative.isEmpty ? name : "\(relative)/\(name)"
                if skipping.contains(path) { continue }
                found[path] = describe("\(root)/\(path)")
                if found[path] == "folder" { visit(path) }
            }
        }
        visit("")
        return found
    }

    private static func describe(_ path: String) -> String {
        var status = stat()
        guard lstat(path, &status) == 0 else { return "nothing" }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return "folder"
        // Reading one would wait for a writer.
        case S_IFIFO: return "pipe"
        case S_IFLNK:
            var target = [CChar](repeating: 0, count: 4096)
            let count = readlink(path, &target, target.count)
            return
                "link to \(String(decoding: target.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self))"
        default:
            var hash: UInt64 = 0xcbf2_9ce4_8422_2325
            for byte in contents(path) ?? [] { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            let modified = "\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
            return "file \(status.st_size) \(hash) \(status.st_mode & 0o111) \(modified)"
        }
    }

    static func remove(_ path: String) {
        for (name, kind) in snapshot(path).sorted(by: { $0.key > $1.key }) {
            _ = kind == "folder" ? rmdir("\(path)/\(name)") : unlink("\(path)/\(name)")
        }
        rmdir(path)
    }
}
