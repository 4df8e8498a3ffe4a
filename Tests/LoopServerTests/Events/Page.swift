import Glibc
import Testing

/// The page that promises programs what they get.
enum Page {
    /// The lines of `docs/events.md`.
    static func events() throws -> [String] {
        let root = #filePath.dropLast("Tests/LoopServerTests/Events/Page.swift".count)
        let file = try #require(fopen("\(root)docs/events.md", "r"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        while case let byte = getc(file), byte != EOF { bytes.append(UInt8(byte)) }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}
