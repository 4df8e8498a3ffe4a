internal import Glibc
internal import Reactor
internal import Wire

/// The shell script that puts a copied batch in its place: renames, then deletions, a line about each.
///
/// It travels as a file, because paths are bytes and a command line of the API is neither long nor binary.
struct CopyScript {
    private let target: String
    private var text: [UInt8]

    /// A script for a destination; its argument is the folder with the numbered contents.
    init(target: String) {
        self.target = target
        text = Array(
            """
            s=$1
            say() { if [ "$2" = 0 ]; then echo "OK $1"; else echo "NO $1 $3"; fi; }
            put() {
              if [ -n "$5" ] && command -v sha256sum >/dev/null 2>&1; then
                sum=$(sha256sum <"$s/$1"); sum=${sum%% *}
                if [ "$sum" != "$5" ]; then echo "NO $1 the content arrived damaged"; return; fi
              fi
              d=${2%/*}
              e=$(mkdir -p "$d" 2>&1 && chmod "$3" "$s/$1" 2>&1 && touch -d "@$4" "$s/$1" 2>/dev/null; mv -f "$s/$1" "$2" 2>&1)
              say "$1" $? "$e"
            }
            act() { n=$1; shift; e=$("$@" 2>&1); say "$n" $? "$e"; }

            """.utf8)
    }

    /// Adds an operation by its number in the batch.
    mutating func add(_ operation: FileOperation, number: Int, digest: SHA256Digest?) {
        let path = quoted(Array((target == "/" ? "" : target).utf8) + [UInt8(ascii: "/")] + operation.path)
        func line(_ parts: [[UInt8]]) { text += parts.joined(separator: [0x20]) + [0x0A] }
        func words(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }
        switch operation {
        case .place(_, _, let mode, let modified):
            line(
                words("put", "\(number)") + [path]
                    + words(String(mode & 0o777, radix: 8), "\(modified / 1_000_000_000)", "'\(digest?.hex ?? "")'"))
        case .makeFolder: line(words("act", "\(number)", "mkdir", "-p") + [path])
        case .link(_, let linkTarget): line(words("act", "\(number)", "ln", "-sfn") + [quoted(linkTarget), path])
        case .touch(_, let mode, let modified):
            line(words("act", "\(number)", "chmod", String(mode & 0o777, radix: 8)) + [path])
            line(words("touch", "-d", "@\(modified / 1_000_000_000)") + [path] + words("2>/dev/null"))
        case .remove(_, let isRecursive):
            // A folder in which the pod keeps files of its own stays, as it does by every other way.
            let remove =
                isRecursive
                ? "rm -rf \"$1\""
                : "if [ -d \"$1\" ] && [ ! -L \"$1\" ]; then rmdir \"$1\" 2>/dev/null; :; else rm -f \"$1\"; fi"
            line(words("act", "\(number)", "sh", "-c") + [quoted(Array(remove.utf8))] + words("loopd") + [path])
        }
    }

    /// Writes the script to a file.
    func write(to path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SystemError.last("create \(path)") }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, text, text.count) == text.count else { throw SystemError.last("write \(path)") }
    }

    /// Reads the script's output; an operation without a line was not reached.
    static func results(_ output: String, count: Int) -> [OperationResult] {
        let missing = OperationResult(code: EIO, text: Array("the container's shell did not get to it".utf8))
        var results = [OperationResult](repeating: missing, count: count)
        for line in output.split(separator: "\n") {
            let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
            guard parts.count > 1, let number = Int(parts[1]), results.indices.contains(number) else { continue }
            if parts[0] == "OK" {
                results[number] = OperationResult()
            } else if parts[0] == "NO" {
                let text = parts.count > 2 ? parts[2] : "failed"
                results[number] = OperationResult(code: code(text), text: Array(text.utf8))
            }
        }
        return results
    }

    /// The error number behind a program's words, for the remedy.
    private static func code(_ text: String) -> Int32 {
        let known: [(String, Int32)] = [
            ("Permission denied", EACCES), ("Read-only file system", EROFS), ("No space left", ENOSPC),
            ("Text file busy", ETXTBSY), ("Is a directory", EISDIR), ("Not a directory", ENOTDIR),
        ]
        return known.first { entry in text.utf8.count >= entry.0.utf8.count && contains(text, entry.0) }?.1 ?? EIO
    }

    private static func contains(_ text: String, _ part: String) -> Bool {
        let (text, part) = (Array(text.utf8), Array(part.utf8))
        return (0...(text.count - part.count)).contains { text[$0...].starts(with: part) }
    }

    private func quoted(_ bytes: [UInt8]) -> [UInt8] {
        let quote = UInt8(ascii: "'")
        return [quote] + bytes.flatMap { $0 == quote ? Array("'\\''".utf8) : [$0] } + [quote]
    }
}
