public import JSON

/// One thing that is wrong, or doubtful, in `loop.json`.
public struct Problem: Error, Equatable, Sendable, CustomStringConvertible {
    /// Whether loopd can work with the file all the same.
    public enum Severity: String, Sendable {
        case error
        case warning
    }

    /// Whether loopd can work with the file all the same.
    public var severity: Severity
    /// The file as the user named it.
    public var file: String
    /// Where in the file; `nil` where the file as a whole is meant.
    public var position: Position?
    /// The value's place in the tree: `$.services.web.rules[0].sync.to`.
    public var path: String
    /// What is wrong, in plain words.
    public var message: String
    /// What to do about it.
    public var hint: String?

    /// A problem by its parts.
    public init(
        _ severity: Severity = .error, file: String, position: Position? = nil, path: String = "$", _ message: String,
        hint: String? = nil
    ) {
        self.severity = severity
        self.file = file
        self.position = position
        self.path = path
        self.message = message
        self.hint = hint
    }

    /// One line: `file:line:column: $.path: what is wrong (what to do)`.
    public var description: String {
        let place = position.map { "\(file):\($0)" } ?? file
        let mark = severity == .warning ? "warning: " : ""
        return Printable.text("\(place): \(path): \(mark)\(message)" + (hint.map { " (\($0))" } ?? ""))
    }

    /// Problems in the order of the file; those without a place first, and of one place in the order they were found.
    static func inOrder(_ problems: [Problem]) -> [Problem] {
        let start = Position(line: 0, column: 0)
        let numbered = problems.enumerated().map {
            (place: $0.element.position ?? start, number: $0.offset, problem: $0.element)
        }
        return numbered.sorted { ($0.place, $0.number) < ($1.place, $1.number) }.map(\.problem)
    }
}
