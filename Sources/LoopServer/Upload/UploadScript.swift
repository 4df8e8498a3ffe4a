/// The conversation with a container's shell that puts the helper into the first place where it runs, and runs it there.
///
/// The script says one line at a time: `HAVE path` when a helper of the same version is there already, `NEED path` when it
/// waits for exactly the program's bytes, `LOST path` when what it got is not what was sent, so that the next place is
/// tried, and `NONE reason` at the end of its ideas. After `HAVE` or `DONE` the standard streams are the helper's. Nothing
/// marks the end of data but its count: an end of file on standard input can come before the data.
enum UploadScript {
    /// What the script says.
    enum Line: Equatable {
        case have(path: String)
        case need(path: String)
        case done(path: String)
        case lost(path: String, reason: String)
        case none(reason: String)

        init?(_ text: String) {
            let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
            guard parts.count == 2 else { return nil }
            switch parts[0] {
            case "HAVE": self = .have(path: parts[1])
            case "NEED": self = .need(path: parts[1])
            case "DONE": self = .done(path: parts[1])
            case "LOST":
                let fields = parts[1].split(separator: " ", maxSplits: 1).map(String.init)
                self = .lost(path: fields[0], reason: fields.count > 1 ? fields[1] : "")
            case "NONE": self = .none(reason: parts[1])
            default: return nil
            }
        }
    }

    /// The command that runs the script in a container.
    ///
    /// `places` are folders to try, in order. A helper that is there already is used unless `isNew` asks for a new one.
    static func command(_ program: HelperProgram, places: [String], isNew: Bool = false) -> [String] {
        ["sh", "-c", text, "loopd", program.folder, String(program.bytes.count), isNew ? "new" : "any"] + places
    }

    /// Where a helper may live, best first; a read-only root leaves the mounted ones.
    static func places(destinations: [String]) -> [String] {
        ["/tmp", "/run", "/var/tmp", "/var/run", "/dev/shm"] + destinations
    }

    /// Plain POSIX shell: it runs in dash, bash, busybox and toybox.
    ///
    /// A folder on a `noexec` mount shows when a two-line script is run from it, before anything large is sent. `head -c`
    /// may read ahead, which is harmless, because nothing is sent before the helper has answered. A program counts only when
    /// it says its own hash, which its folder is named for: a connection that is cut leaves a part of it, and to a shell an
    /// empty file is a program that succeeds. Where the place is full, the rest of the program is read all the same: else
    /// the next place would begin with it.
    static let text = """
        name=$1 size=$2 use=$3
        shift 3
        good() {
          case $("$1" version </dev/null 2>/dev/null) in
            *" ${name#.loopd-}"*) return 0 ;;
          esac
          return 1
        }
        [ "$use" = new ] || for d do
          h=$d/$name/helper
          if [ -x "$h" ] && good "$h"; then
            echo "HAVE $h"
            exec "$h" serve
          fi
        done
        why='no folder is writable'
        for d do
          [ -d "$d" ] || continue
          t=$d/$name
          (umask 077; mkdir -p "$t") 2>/dev/null || continue
          x=$t/try.$$
          if ! (printf '#!/bin/sh\\nexit 0\\n' >"$x" && chmod 700 "$x") 2>/dev/null; then
            [ -w "$t" ] && why="$d is full"
            rm -f "$x"; rmdir "$t" 2>/dev/null; continue
          fi
          if ! "$x" 2>/dev/null; then
            why="$d is mounted noexec"
            rm -f "$x"; rmdir "$t" 2>/dev/null; continue
          fi
          rm -f "$x"
          h=$t/helper
          n=$h.$$
          echo "NEED $h"
          if command -v head >/dev/null 2>&1 && command -v cat >/dev/null 2>&1
          then head -c "$size" 2>/dev/null | { cat >"$n"; cat >/dev/null; } 2>/dev/null
          else dd bs=1 count="$size" 2>/dev/null | { dd of="$n"; dd of=/dev/null; } 2>/dev/null
          fi
          if chmod 700 "$n" 2>/dev/null && good "$n" && mv -f "$n" "$h"; then
            echo "DONE $h"
            exec "$h" serve
          fi
          why="$d: $( (wc -c <"$n") 2>/dev/null || echo 0) of $size bytes fit, or the program does not run there"
          rm -f "$n"; rmdir "$t" 2>/dev/null
          echo "LOST $h $why"
        done
        echo "NONE $why"
        exit 75
        """
}
