/// Help from the tables of commands and options.
enum HelpText {
    static func overview() -> String {
        var lines = [
            "loopd: save a file, and the running pod has it.", "", "Usage: loopd COMMAND [OPTION…]", "", "Commands:",
        ]
        lines += aligned(Command.shown.map { ("\($0.rawValue) \($0.argumentsText)", $0.summary) })
        lines += [
            "", "Start here, in a folder with a loop.json:", "", "  loopd check", "  loopd watch", "",
            "\"loopd help COMMAND\" explains one with its options. Exit codes: 0 done, 1 the work failed, 2 bad usage or",
            "bad loop.json, 3 the cluster could not be reached or its context is not allowed, 130 interrupted.",
        ]
        return lines.joined(separator: "\n")
    }

    static func command(_ command: Command) -> String {
        let usage = ["loopd", command.rawValue, command.argumentsText].filter { !$0.isEmpty }.joined(separator: " ")
        var lines = [
            "\(usage) [OPTION…]", "", "\(command.summary.prefix(1).uppercased())\(command.summary.dropFirst()).",
        ]
        if !command.details.isEmpty { lines += ["", command.details] }
        lines += ["", "Options:"] + aligned(command.options.map { (spelling($0, command), $0.summary(for: command)) })
        if !command.examples.isEmpty {
            lines += ["", "Examples:"]
            lines += aligned(command.examples.map { ($0.command, $0.what.isEmpty ? "" : "# \($0.what)") })
        }
        return lines.joined(separator: "\n")
    }

    private static func spelling(_ option: Option, _ command: Command) -> String {
        let short = option.short.map { "\($0), " } ?? "    "
        return short + option.long + (option.value(for: command).map { " \($0)" } ?? "")
    }

    private static func aligned(_ rows: [(String, String)]) -> [String] {
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { left, right in
            right.isEmpty ? "  \(left)" : "  \(left)\(String(repeating: " ", count: width - left.count + 3))\(right)"
        }
    }
}
