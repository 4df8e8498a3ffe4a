internal import Glibc

/// How much of a folder a builder gets as a build's context.
struct ContextSize: Equatable, Sendable {
    /// When a context is too large, and how long is counted at most.
    struct Limit: Sendable {
        /// In bytes.
        var size: Int64 = 1 << 30
        var entries = 300_000
        var time: Duration = .seconds(1)
    }

    /// In bytes; more where not everything was counted.
    var total: Int64 = 0
    /// The folders right below the context, by their sizes.
    var folders: [String: Int64] = [:]
    /// Whether everything was counted.
    var isWhole = true
    /// The file that says what is left out.
    var ignoreFile: String?

    /// Counts the files of a context that no ignore file leaves out; blocks for as long as the disk does, within the limit.
    static func measure(_ context: String, dockerfile: String, limit: Limit = Limit()) -> ContextSize {
        var size = ContextSize()
        var ignore = DockerIgnore()
        // That of the Dockerfile wins.
        for file in ["\(dockerfile).dockerignore", "\(context)/.dockerignore"] where size.ignoreFile == nil {
            guard let bytes = EngineSearch.contents(of: file, limit: 1 << 20) else { continue }
            size.ignoreFile = file
            ignore = DockerIgnore(parsing: String(decoding: bytes, as: UTF8.self))
        }
        let deadline = ContinuousClock.now + limit.time
        var left = limit.entries
        // Folders by their paths in the context, and which folder of the context they count for.
        var waiting: [(path: String, top: String?)] = [("", nil)]
        while let next = waiting.popLast() {
            guard let folder = opendir(next.path.isEmpty ? context : "\(context)/\(next.path)") else { continue }
            defer { closedir(folder) }
            while let entry = readdir(folder) {
                let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name == "." || name == ".." { continue }
                left -= 1
                if left < 0 || (left % 512 == 0 && ContinuousClock.now > deadline) {
                    size.isWhole = false
                    return size
                }
                let path = next.path.isEmpty ? name : "\(next.path)/\(name)"
                var status = stat()
                guard fstatat(dirfd(folder), name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
                let isFolder = status.st_mode & S_IFMT == S_IFDIR
                if ignore.leavesOut(path) {
                    // Something below may be taken in again.
                    if isFolder, ignore.hasExceptions { waiting.append((path, next.top ?? name)) }
                    continue
                }
                if isFolder {
                    waiting.append((path, next.top ?? name))
                } else if status.st_mode & S_IFMT == S_IFREG {
                    size.total += Int64(status.st_size)
                    if let top = next.top { size.folders[top, default: 0] += Int64(status.st_size) }
                }
            }
        }
        return size
    }

    /// What is said about a context that is too large.
    func warning(of context: String, limit: Limit = Limit()) -> String? {
        guard total > limit.size else { return nil }
        let largest = folders.sorted { ($0.value, $1.key) > ($1.value, $0.key) }.prefix(3)
            .map { "\($0.key) \(Figures.bytes($0.value))" }
        let sum = (isWhole ? "" : "more than ") + Figures.bytes(total)
        let advice =
            ignoreFile.map { "\($0) can leave out more" }
            ?? "there is no .dockerignore: what it leaves out need not be sent"
        return "the build context \(context) has \(sum)"
            + (largest.isEmpty ? "" : " (\(largest.joined(separator: ", ")))") + "; \(advice)"
    }
}
