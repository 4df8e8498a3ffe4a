internal import Glibc

/// Paths of `loop.json`, by their text alone: what they mean on disk is looked at when they are used.
enum ProjectPath {
    /// Why a path cannot be used.
    enum Failure: Error, Equatable {
        case absolute
        case escapes
    }

    /// A relative path without `.`, empty and `..` parts; empty for the folder itself.
    ///
    /// One that leads out is an error.
    static func relative(_ text: String) -> Result<String, Failure> {
        guard !text.hasPrefix("/"), text != "~", !text.hasPrefix("~/") else {
            return .failure(.absolute)
        }
        var parts: [Substring] = []
        for part in text.split(separator: "/") where part != "." {
            guard part != ".." else { return .failure(.escapes) }
            parts.append(part)
        }
        return .success(parts.joined(separator: "/"))
    }

    /// An absolute path without `.` and empty parts, and without a trailing slash unless it is `/`.
    ///
    /// `nil` when it is not absolute or has a `..`.
    static func absolute(_ text: String) -> String? {
        guard text.hasPrefix("/") else { return nil }
        let parts = text.split(separator: "/").filter { $0 != "." }
        return parts.contains("..") ? nil : "/" + parts.joined(separator: "/")
    }

    /// A path that may lie anywhere: absolute, relative to a folder, or in the home folder with `~/`.
    static func anywhere(_ text: String, from folder: String) -> String {
        guard text == "~" || text.hasPrefix("~/"), let home = getenv("HOME") else { return join(folder, text) }
        return join(String(cString: home), String(text.dropFirst(2)))
    }

    /// What remains of an absolute path below a folder, empty for the folder itself; `nil` where it lies outside.
    static func below(_ folder: String, _ path: String) -> String? {
        if path == folder { return "" }
        let prefix = folder.hasSuffix("/") ? folder : folder + "/"
        return path.hasPrefix(prefix) ? String(path.dropFirst(prefix.count)) : nil
    }

    /// A path below a folder.
    static func join(_ folder: String, _ path: String) -> String {
        if path.isEmpty { return folder }
        if path.hasPrefix("/") { return path }
        return folder.hasSuffix("/") ? folder + path : folder + "/" + path
    }
}
