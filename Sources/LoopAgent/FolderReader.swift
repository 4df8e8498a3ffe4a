import CAgent

/// The names in a folder, read piece by piece.
final class FolderReader {
    private let folder: Int32
    private var buffer = Bytes(repeating: 0, count: 8 << 10)
    private var position = 0
    private var count = 0

    /// Reads the folder that a descriptor stands for, from its beginning; `nil` when it cannot be opened.
    convenience init?(_ folder: Int32) {
        self.init(opened: cagent_open(folder, ".", CAGENT_READ | CAGENT_DIRECTORY, 0))
    }

    /// Takes an open folder.
    init?(opened folder: Int32) {
        guard folder >= 0 else { return nil }
        self.folder = folder
    }

    deinit {
        close(folder)
    }

    /// For calls relative to the folder.
    var descriptor: Int32 { folder }

    /// The next name but `.` and `..`, or `nil` at the end.
    func next() throws(SystemFailure) -> Bytes? {
        while true {
            if position == count {
                position = 0
                let got = cagent_read_folder(folder, &buffer, buffer.count)
                count = max(0, got)
                guard got >= 0 else { throw .last() }
                if got == 0 { return nil }
            }
            // struct linux_dirent64: inode (8), offset (8), length (2), type (1), name.
            let start = position + 19
            position += Int(buffer[position + 16]) | Int(buffer[position + 17]) << 8
            var end = start
            while buffer[end] != 0 { end += 1 }
            let name = Array(buffer[start..<end])
            if name != [46], name != [46, 46] { return name }
        }
    }
}
