/// What a loader printed when it was asked to list a program's libraries, of which something is missing.
///
/// Only sentences that are known count; whatever else a loader complains about says nothing of the program.
struct LoaderOutput: Equatable, Sendable {
    /// A library that is there, without a version that is asked of it.
    struct MissingVersion: Hashable, Sendable {
        /// Where the library lies in the container.
        var library: String
        var version: String
    }

    var libraries: [String] = []
    var versions: [MissingVersion] = []
    /// What musl finds in no library; it knows no versions.
    var symbols: [String] = []

    /// Whether nothing is known to be missing.
    var isEmpty: Bool { libraries.isEmpty && versions.isEmpty && symbols.isEmpty }

    /// Reads what glibc's or musl's loader printed about `program`.
    init(_ text: String, program: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            if let library = LoaderOutput.library(line), library != program {
                if !libraries.contains(library) { libraries.append(library) }
            } else if let version = LoaderOutput.version(line) {
                if !versions.contains(version) { versions.append(version) }
            } else if let symbol = LoaderOutput.symbol(line), !symbols.contains(symbol) {
                symbols.append(symbol)
            }
        }
        // They are missing because the library is.
        if !libraries.isEmpty { symbols = [] }
    }

    /// The library in `PROGRAM: error while loading shared libraries: LIBRARY: cannot open shared object file: No such file
    /// or directory` and `LIBRARY => not found` (glibc), and in `Error loading shared library LIBRARY: No such file or
    /// directory (needed by PROGRAM)` (musl).
    private static func library(_ line: Substring) -> String? {
        if let start = line.firstRange(of: "error while loading shared libraries: ")?.upperBound,
            let end = line.firstRange(of: ": cannot open shared object file: No such file or directory")?.lowerBound,
            start <= end
        {
            return String(line[start..<end])
        }
        if line.hasSuffix(" => not found") {
            return String(line.drop(while: \.isWhitespace).dropLast(" => not found".count))
        }
        let musl = "Error loading shared library "
        if line.hasPrefix(musl), let end = line.firstRange(of: ": No such file or directory")?.lowerBound {
            return String(line[..<end].dropFirst(musl.count))
        }
        return nil
    }

    /// The version in "PROGRAM: LIBRARY: version `VERSION' not found (required by OBJECT)" (glibc).
    private static func version(_ line: Substring) -> MissingVersion? {
        guard let mark = line.firstRange(of: ": version `"),
            let end = line.firstRange(of: "' not found (required by ")?.lowerBound, mark.upperBound <= end
        else { return nil }
        let before = line[..<mark.lowerBound]
        let start = before.ranges(of: ": ").last?.upperBound ?? before.startIndex
        return MissingVersion(library: String(before[start...]), version: String(line[mark.upperBound..<end]))
    }

    /// The symbol in `Error relocating OBJECT: SYMBOL: symbol not found` (musl).
    private static func symbol(_ line: Substring) -> String? {
        guard line.hasPrefix("Error relocating "), line.hasSuffix(": symbol not found") else { return nil }
        let rest = line.dropLast(": symbol not found".count)
        return rest.ranges(of: ": ").last.map { String(rest[$0.upperBound...]) }
    }

    /// The version in what glibc's `libc.so.6` prints when it is run, such as `stable release version 2.36`.
    static func glibcVersion(_ text: String) -> String? {
        guard let start = text.firstRange(of: "release version ")?.upperBound else { return nil }
        let digits = text[start...].prefix { $0.isNumber || $0 == "." }
        let version = digits.last == "." ? digits.dropLast() : digits
        return version.isEmpty ? nil : String(version)
    }
}
