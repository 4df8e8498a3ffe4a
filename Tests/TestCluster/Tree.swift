internal import Reactor

/// A folder's contents: every path below it, in words that are equal only where files, links and folders are.
package struct Tree: Equatable, Sendable, CustomStringConvertible {
    /// Paths in hexadecimal, because names need not be UTF-8.
    package var entries: [String: String]

    /// Reads what `probe tree` printed.
    package init(_ text: String) {
        entries = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
            guard words.count == 6 else { continue }
            switch words[0] {
            case "d": entries[words[5]] = "folder"
            case "l": entries[words[5]] = "link to \(Tree.text(words[4]))"
            case "f":
                let mode = (UInt32(words[1], radix: 8) ?? 0) & 0o111
                let executable = mode == 0 ? "" : ", executable"
                entries[words[5]] = "\(words[2]) bytes, hash \(words[4]), modified \(words[3])\(executable)"
            default: entries[words[5]] = "something else"
            }
        }
    }

    /// A folder on the host.
    package static func local(_ folder: String) async throws -> Tree {
        Tree(try await Child.succeed([Built.probe, "tree", folder]).text)
    }

    /// What one has and the other has not, one line each.
    package func difference(from other: Tree) -> [String] {
        Set(entries.keys).union(other.entries.keys).sorted().compactMap { path in
            let (mine, its) = (entries[path], other.entries[path])
            return mine == its ? nil : "\(Tree.text(path)): \(mine ?? "nothing") ≠ \(its ?? "nothing")"
        }
    }

    /// The same with times to the second, all that `kubectl cp` carries.
    package func roundedTimes() -> Tree {
        var tree = self
        tree.entries = entries.mapValues { entry in
            guard let dot = entry.lastIndex(of: ".") else { return entry }
            return String(entry[..<dot] + entry[dot...].drop { $0 == "." || $0.isNumber })
        }
        return tree
    }

    /// Only the paths that `isWanted`, in text.
    package func filtered(_ isWanted: (String) -> Bool) -> Tree {
        var tree = self
        tree.entries = entries.filter { isWanted(Tree.text($0.key)) }
        return tree
    }

    /// The entry at a path.
    package subscript(path: String) -> String? {
        entries[path.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()]
    }

    package var paths: [String] { entries.keys.map(Tree.text).sorted() }
    package var description: String {
        entries.map { "\(Tree.text($0.key)): \($0.value)" }.sorted().joined(separator: "\n")
    }

    private static func text(_ hex: String) -> String {
        let digits = Array(hex.utf8)
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
