internal import Watcher

extension Glob {
    /// Everything below a folder, by its path relative to the pattern's base; empty is the base itself.
    static func folder(_ path: String) -> [Glob] { pattern(path.isEmpty ? "**" : escaped(path) + "/**") }

    /// One file.
    static func file(_ path: String) -> [Glob] { pattern(escaped(path)) }

    /// What may be a file or a folder.
    static func fileOrFolder(_ path: String) -> [Glob] { path.isEmpty ? folder(path) : file(path) + folder(path) }

    private static func pattern(_ text: String) -> [Glob] { (try? Glob(text)).map { [$0] } ?? [] }

    /// A path whose characters mean only themselves.
    private static func escaped(_ path: String) -> String {
        path.reduce(into: "") { text, character in
            if "*?[]{}\\,!".contains(character) { text.append("\\") }
            text.append(character)
        }
    }
}
