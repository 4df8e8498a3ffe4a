package import Glibc
package import JSON

/// A project on disk, in a private folder that goes away with it.
package final class Project: Sendable {
    package let path: String

    package init() throws { path = try temporaryFolder("loopd-project") }

    deinit { Disk.remove(path) }

    package func write(_ name: String, _ text: String, mode: mode_t = 0o644) throws {
        try write(name, Array(text.utf8), mode: mode)
    }

    package func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o644) throws {
        try write(Array(name.utf8), bytes, mode: mode)
    }

    /// Writes a file whose name need not be UTF-8.
    package func write(_ name: [UInt8], _ bytes: [UInt8], mode: mode_t = 0o644) throws {
        try Disk.write(Array("\(path)/".utf8) + name, bytes, mode: mode)
    }

    package func folder(_ name: String) throws { try Disk.folder(Array("\(path)/\(name)".utf8)) }
    package func remove(_ name: String) { Disk.remove("\(path)/\(name)") }
    package func rename(_ name: String, to other: String) throws {
        try Disk.rename("\(path)/\(name)", to: "\(path)/\(other)")
    }
    package func link(_ name: String, to target: String) throws { try Disk.link(target, at: "\(path)/\(name)") }

    /// Replaces a file as editors do: a new one is renamed over it.
    package func replace(_ name: String, _ text: String) throws {
        try write("\(name)~", text)
        try rename("\(name)~", to: name)
    }

    /// Writes `loop.json`.
    package func configure(_ configuration: JSON) throws { try write("loop.json", configuration.pretty()) }

    package func tree(_ folder: String) async throws -> Tree { try await Tree.local("\(path)/\(folder)") }
}
