internal import Glibc
internal import JSON

extension Configuration {
    /// The name that is looked for where a folder is given.
    public static let defaultFile = "loop.json"
    /// Bigger files are refused: they are not written by a person.
    static let largestFile = 1 << 20
    /// The version of the format that this loopd understands.
    static let formatVersion: Int64 = 1

    /// Reads and checks a `loop.json`; for a folder, the one in it.
    ///
    /// Every problem is in the result, not only the first one, in the order of the file. The configuration is `nil` when
    /// one of them is an error.
    public static func load(path: String) -> (Configuration?, [Problem]) {
        let file = isFolder(path) ? ProjectPath.join(path, defaultFile) : path
        let bytes: [UInt8]
        switch contents(of: file) {
        case .success(let read): bytes = read
        case .failure(let problem): return (nil, [problem])
        }
        let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? "."
        guard let directory = resolved(folder) else {
            return (nil, [Problem(file: file, "its folder cannot be found: \(String(cString: strerror(errno)))")])
        }
        return parse(bytes, file: file, directory: directory)
    }

    /// Checks the text of a `loop.json` as if it stood in `directory`, an absolute path.
    public static func parse(_ bytes: [UInt8], file: String, directory: String) -> (Configuration?, [Problem]) {
        let root: LocatedJSON
        do {
            root = try LocatedJSON(parsingJSON5: bytes)
        } catch {
            return (nil, [Problem(file: file, position: error.position, path: "$", error.reason)])
        }
        var reader = ConfigurationReader(file: file, directory: directory)
        let configuration = reader.configuration(.init(value: root, path: "$"))
        return (reader.hasErrors ? nil : configuration, Problem.inOrder(reader.problems))
    }

    private static func contents(of file: String) -> Result<[UInt8], Problem> {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let reason = errno
            let hint =
                reason == ENOENT ? missingHint(file) : "make it readable, or name another file with --file"
            return .failure(
                Problem(file: file, reason == ENOENT ? "no such file" : "cannot be read: \(text(reason))", hint: hint))
        }
        defer { _ = close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: largestFile + 1)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { return .failure(Problem(file: file, "cannot be read: \(text(errno))")) }
            if got == 0 { break }
            count += got
        }
        guard count <= largestFile else {
            return .failure(
                Problem(file: file, "bigger than 1 MiB", hint: "name the project's \(defaultFile) with --file"))
        }
        return .success(Array(bytes[..<count]))
    }

    /// What to do where there is no file: the nearest folder above may have it.
    private static func missingHint(_ file: String) -> String {
        var folder = ".."
        while file == defaultFile, let here = resolved(folder), here != "/" {
            if access("\(folder)/\(defaultFile)", F_OK) == 0 { return "there is one above: --file \(folder)" }
            folder += "/.."
        }
        return "run loopd in the folder that has \(defaultFile), or name the file with --file"
    }

    private static func text(_ code: Int32) -> String { String(cString: strerror(code)) }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func resolved(_ folder: String) -> String? {
        guard let resolved = realpath(folder, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }
}
