/// Takes secret values out of what programs print.
struct SecretMask: Equatable, Sendable {
    /// The longest first: one may be a part of another.
    private let values: [String]

    /// A mask of values; of one with several lines each line that is long enough to be told from other text.
    init(_ secrets: [String]) {
        var values: Set<String> = []
        for secret in secrets {
            let lines = secret.split(whereSeparator: \.isNewline).map { ProgramText.plain(String($0)) }
            values.formUnion(lines.count == 1 ? lines : lines.filter { $0.count >= 8 })
        }
        self.values = values.filter { !$0.isEmpty }.sorted { ($0.count, $0) > ($1.count, $1) }
    }

    /// A line with `***` wherever it has a secret.
    func masked(_ line: String) -> String {
        values.reduce(line) { $0.contains($1) ? $0.replacing($1, with: "***") : $0 }
    }

    /// The values of a build's secrets, and of its arguments that are named like secrets.
    static func secretArguments(_ arguments: [String: String]) -> [String] {
        arguments.filter { name, value in value.count >= 4 && isSecret(name) }.map(\.value)
    }

    /// Whether an argument's name is like a secret's.
    static func isSecret(_ name: String) -> Bool {
        let words = ["TOKEN", "SECRET", "PASS", "PWD", "KEY", "CREDENTIAL", "AUTH"]
        return words.contains { name.uppercased().contains($0) }
    }
}
