/// What somebody who mistyped a name most likely meant.
public enum NearestName {
    /// The candidate nearest to `name` by edits, without regard to case; `nil` when none is near enough to be a slip of
    /// the fingers.
    public static func of(_ name: String, among candidates: [String]) -> String? {
        let typed = Array(name.lowercased().utf8)
        guard typed.count <= 64 else { return nil }
        let limit = max(1, typed.count / 3)
        let near = candidates.map { (candidate: $0, edits: edits(typed, Array($0.lowercased().utf8))) }
        return near.filter { $0.edits <= limit }.min { $0.edits < $1.edits }?.candidate
    }

    /// How many insertions, deletions, replacements and swaps of neighbours lead from one text to the other.
    static func edits(_ from: [UInt8], _ to: [UInt8]) -> Int {
        var beforeLast: [Int] = []
        var last = Array(0...to.count)
        for (row, byte) in from.enumerated() {
            var line = [row + 1]
            for (column, other) in to.enumerated() {
                var best = min(last[column] + (byte == other ? 0 : 1), last[column + 1] + 1, line[column] + 1)
                if row > 0, column > 0, byte == to[column - 1], from[row - 1] == other {
                    best = min(best, beforeLast[column - 1] + 1)
                }
                line.append(best)
            }
            (beforeLast, last) = (last, line)
        }
        return last[to.count]
    }
}
