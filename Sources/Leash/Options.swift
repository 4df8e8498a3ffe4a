import CAgent

/// What the command line asks for.
struct Options {
    /// How long the group may take to end by itself after SIGTERM.
    var grace: Int64 = 500
    var hold: Int32 = 0
    /// Whether the holder is told the program's pid, as four bytes on the hold descriptor, which is a socket then.
    var reports = false
    /// Whether only the program's own group is held: what it starts as a daemon stays.
    var isGroupOnly = false
    /// The program and its arguments, ended by a null pointer as `execvp` wants them.
    let program: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>

    init?(_ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>, count: Int) {
        var index = 1
        while index < count, let argument = arguments[index], strcmp(argument, "--") != 0 {
            if strcmp(argument, "--group") == 0 {
                isGroupOnly = true
                index += 1
                continue
            }
            if strcmp(argument, "--report") == 0 {
                reports = true
                index += 1
                continue
            }
            guard index + 1 < count, let text = arguments[index + 1] else { return nil }
            var end: UnsafeMutablePointer<CChar>?
            let number = strtol(text, &end, 10)
            guard text[0] != 0, end?.pointee == 0, number >= 0, number <= 1 << 30 else { return nil }
            if strcmp(argument, "--grace-ms") == 0 {
                grace = Int64(number)
            } else if strcmp(argument, "--hold-fd") == 0 {
                hold = Int32(number)
            } else {
                return nil
            }
            index += 2
        }
        guard index + 1 < count else { return nil }
        program = arguments + index + 1
    }
}

/// Writes one line to standard error.
func complain(_ text: StaticString) {
    _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
    _ = write(2, "\n", 1)
}
