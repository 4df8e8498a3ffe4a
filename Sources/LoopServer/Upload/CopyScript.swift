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
            nl='
            '
            say() {
              if [ "$2" = 0 ]; then echo "OK $1"; return; fi
              e=${3%%"$nl"*}; printf '%s\\n' "NO $1 ${e:-failed}"
            }
            # Nothing on the way from the destination may be a link, which could lead out of it.
            way() {
              p=$t r=$1
              while :; do
                case $r in */*) ;; *) return 0;; esac
                p=$p/${r%%/*} r=${r#*/}
                if [ -L "$p" ]; then e="a link is in the way"; return 1; fi
              done
            }
            folder() {
              if ! way "$2"; then say "$1" 1 "$e"; return; fi
              f=$t/$2
              if [ -d "$f" ] && [ ! -L "$f" ]; then say "$1" 0; return; fi
              e=$(rm -f "$f" 2>&1 && mkdir -p "$f" 2>&1 && chmod "$3" "$f" 2>&1)
              say "$1" $? "$e"
            }
            link() {
              if ! way "$2"; then say "$1" 1 "$e"; return; fi
              f=$t/$2
              if [ -d "$f" ] && [ ! -L "$f" ]; then say "$1" 1 "Is a directory"; return; fi
              e=$(mkdir -p "${f%/*}/" 2>&1 && ln -sfn -- "$3" "$f" 2>&1)
              say "$1" $? "$e"
            }
            touched() {
              if ! way "$2"; then say "$1" 1 "$e"; return; fi
              e=$(chmod "$3" "$t/$2" 2>&1)
              say "$1" $? "$e"
              touch -d "@$4" "$t/$2" 2>/dev/null
            }
            # A folder in which the pod keeps files of its own stays, as it does by every other way.
            gone() {
              if ! way "$2"; then say "$1" 0; return; fi
              f=$t/$2
              if [ "$3" = all ]; then e=$(rm -rf "$f" 2>&1)
              elif [ -d "$f" ] && [ ! -L "$f" ]; then rmdir "$f" 2>/dev/null; e=; :
              else e=$(rm -f "$f" 2>&1)
              fi
              say "$1" $? "$e"
            }
            put() {
              if ! way "$2"; then say "$1" 1 "$e"; return; fi
              f=$t/$2
              # mv would put the file into it, or behind the link.
              if [ -L "$f" ]; then rm -f "$f"; fi
              if [ -d "$f" ]; then say "$1" 1 "Is a directory"; return; fi
              if [ -n "$5" ] && command -v sha256sum >/dev/null 2>&1; then
                sum=$(sha256sum <"$s/$1"); sum=${sum%% *}
                if [ "$sum" != "$5" ]; then echo "NO $1 the content arrived damaged"; return; fi
              fi
              e=$(mkdir -p "${f%/*}/" 2>&1 && chmod "$3" "$s/$1" 2>&1 && { touch -d "@$4" "$s/$1" 2>/dev/null; mv -f "$s/$1" "$f" 2>&1; })
              say "$1" $? "$e"
            }

            """.utf8)
        text += Array("t=".utf8) + quoted(Array((target == "/" ? "" : target).utf8)) + [0x0A]
    }

    /// Adds an operation by its number in the batch.
    mutating func add(_ operation: FileOperation, number: Int, digest: SHA256Digest?) {
        let path = quoted(operation.path)
        func line(_ parts: [[UInt8]]) { text += parts.joined(separator: [0x20]) + [0x0A] }
        func words(_ words: String...) -> [[UInt8]] { words.map { Array($0.utf8) } }
        switch operation {
        case .place(_, _, let mode, let modified):
            line(
                words("put", "\(number)") + [path]
                    + words(String(mode & 0o777, radix: 8), "\(modified / 1_000_000_000)", "'\(digest?.hex ?? "")'"))
        case .makeFolder(_, let mode):
            line(words("folder", "\(number)") + [path] + words(String(mode & 0o777, radix: 8)))
        case .link(_, let linkTarget): line(words("link", "\(number)") + [path, quoted(linkTarget)])
        case .touch(_, let mode, let modified):
            line(
                words("touched", "\(number)") + [path]
                    + words(String(mode & 0o777, radix: 8), "\(modified / 1_000_000_000)"))
        case .remove(_, let isRecursive):
            line(words("gone", "\(number)") + [path] + words(isRecursive ? "all" : "one"))
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
            ("a link is in the way", EXDEV),
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
