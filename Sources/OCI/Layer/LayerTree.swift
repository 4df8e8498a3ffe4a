internal import Glibc

/// The entries of a layer in the order in which they are written, with the folders above them.
enum LayerTree {
    /// What folders have that are usually not 0755.
    private static let usualModes: [[UInt8]: UInt16] = [
        Array("tmp".utf8): 0o1777, Array("var/tmp".utf8): 0o1777, Array("root".utf8): 0o700,
    ]
    private static let longestPath = 4096

    /// Checks the entries, sorts them by their bytes, and puts missing folders in.
    static func complete(_ entries: [LayerEntry]) throws(LayerProblem) -> [LayerEntry] {
        var all: [[UInt8]: LayerEntry] = [:]
        all.reserveCapacity(entries.count * 2)
        for var entry in entries {
            entry.path = try path(entry.path)
            if case .link(let target) = entry.content,
                target.isEmpty || target.contains(0) || target.count > longestPath
            {
                throw .path("\(text(entry.path)): a link needs a target")
            }
            // The root has its owner and mode from the base image.
            if entry.path.isEmpty {
                guard entry.content == .folder else { throw .path("a file needs a path in the image") }
                continue
            }
            all[entry.path] = entry
        }
        for path in Array(all.keys) { try addFolders(above: path, to: &all) }
        return all.values.sorted { precedes($0.path, $1.path) }
    }

    private static func addFolders(above path: [UInt8], to all: inout [[UInt8]: LayerEntry]) throws(LayerProblem) {
        var path = path
        while let slash = path.lastIndex(of: UInt8(ascii: "/")) {
            path.removeSubrange(slash...)
            if let there = all[path] {
                guard there.content == .folder else {
                    throw .path("\(text(path)) is both a file and a folder of the layer")
                }
                return
            }
            all[path] = LayerEntry(path, .folder, mode: usualModes[path])
        }
    }

    /// The path without slashes around it and with one between two names.
    private static func path(_ given: [UInt8]) throws(LayerProblem) -> [UInt8] {
        guard given.count <= longestPath else { throw .path("\(text(given)): a path of more than 4096 bytes") }
        guard !given.contains(0) else { throw .path("\(text(given)): a path with a null byte") }
        var result: [UInt8] = []
        for part in given.split(separator: UInt8(ascii: "/")) {
            if part.elementsEqual([0x2E]) { continue }
            guard !part.elementsEqual([0x2E, 0x2E]) else {
                throw .path("\(text(given)): \"..\" in a path of an image")
            }
            guard !part.starts(with: ".wh.".utf8) else {
                throw .path("\(text(given)): names that begin with .wh. stand for removed files in images")
            }
            if !result.isEmpty { result.append(UInt8(ascii: "/")) }
            result += part
        }
        return result
    }

    private static func text(_ path: [UInt8]) -> String { String(decoding: path, as: UTF8.self) }

    private static func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                guard let first = left.baseAddress, let second = right.baseAddress else { return !right.isEmpty }
                let order = memcmp(first, second, min(left.count, right.count))
                return order == 0 ? left.count < right.count : order < 0
            }
        }
    }
}
